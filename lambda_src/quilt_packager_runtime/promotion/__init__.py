"""Promotion of revisions to other registries."""
