"""Benchmarks that compare this engine with quilt3: `make bench`."""
