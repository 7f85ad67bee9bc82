"""Packages that a run has read from: found before a package is published, recorded after it."""
