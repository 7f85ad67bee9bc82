"""Coalescing of upload events into folders."""
