"""Checksums of objects, by the cheapest route."""
