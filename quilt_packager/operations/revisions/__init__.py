"""Revisions of packages, and their differences."""
