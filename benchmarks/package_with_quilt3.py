"""Package a folder with quilt3 and its defaults.

No data is copied into the registry, and a package equal to the latest revision is not pushed, so
that both sides do the same work and write the same manifest.

Run as a process: `python -m benchmarks.package_with_quilt3 BUCKET PREFIX REGISTRY PACKAGE`.
"""

import sys
from contextlib import redirect_stdout

import quilt3


def main() -> None:
    """Package a folder, and print the top hash."""
    bucket, prefix, registry, name = sys.argv[1:]
    with redirect_stdout(sys.stderr):
        package = quilt3.Package()
        package.set_dir("/", f"s3://{bucket}/{prefix}")
        pushed = package.push(
            name,
            registry=f"s3://{registry}",
            message=f"Packaged from s3://{bucket}/{prefix}",  # the default of this engine
            selector_fn=lambda *_: False,
            force=True,
            dedupe=True,
        )
    sys.stdout.write(pushed.top_hash)


if __name__ == "__main__":
    main()
