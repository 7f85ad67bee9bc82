"""Listing of a source folder into an ordered inventory."""
