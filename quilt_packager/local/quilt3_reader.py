"""Opens packages with quilt3 and verifies every byte: a program of its own, run as a module.

It writes one line of JSON a package. A process of its own, because quilt3 reads its settings and
its telemetry switch at import, and neither the user's settings nor ours have a part in a demo.
"""

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache


def main(arguments: Sequence[str]) -> None:
    """Read packages.

    Args:
        arguments: The registry's bucket, and the packages' names.
    """
    registry, *names = arguments
    for package in read_packages(registry, names):
        sys.stdout.write(json.dumps(package) + "\n")


def read_packages(registry: str, names: Sequence[str]) -> Iterator[dict[str, object]]:
    """Browse, fetch and verify packages as any user of quilt3 would.

    Args:
        registry: The registry's bucket.
        names: The packages' names.

    Yields:
        Of each package its name, top hash, message, metadata, entries, and whether all the bytes
        of its entries have the size and the hash that it says.
    """
    import botocore.session  # noqa: PLC0415 - and this one comes with it
    import quilt3  # noqa: PLC0415 - importing this module alone must not touch the user's home

    # quilt3 makes a session for each of its clients, which would all read botocore's models.
    botocore.session.create_loader = cache(botocore.session.create_loader)
    for name in names:
        package = quilt3.Package.browse(name, registry=f"s3://{registry}")
        with tempfile.TemporaryDirectory() as folder:
            package.fetch(folder)
            verified = package.verify(folder)
        yield {
            "name": name,
            "top_hash": package.top_hash,
            "metadata": package.meta,
            "entries": [[key, entry.size, entry.hash["value"]] for key, entry in package.walk()],
            "verified": verified,
        }


if __name__ == "__main__":
    main(sys.argv[1:])
