"""Packaging requests, from messages and events."""
