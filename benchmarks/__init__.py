"""Measurements, two sides in one run: `make bench`."""
