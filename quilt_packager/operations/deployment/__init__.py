"""Deployed engines: their resources, credentials and queues."""
