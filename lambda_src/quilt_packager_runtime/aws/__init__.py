"""Clients of AWS services."""
