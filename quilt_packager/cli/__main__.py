"""Runs `python -m quilt_packager.cli` as `quilt-packager`."""

from quilt_packager.cli import main

main()
