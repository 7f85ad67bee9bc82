"""Makes `python -m quilt_packager.cli` the same as `quilt-packager`."""

from quilt_packager.cli import main

main()
