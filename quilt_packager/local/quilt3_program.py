"""Uses packages with quilt3, as a person does. Run as a module.

`read` opens packages and verifies every byte, and writes one line of JSON for each. `add` publishes
a revision with a further object. It needs its own process because quilt3 reads its settings and its
telemetry switch at import, and a demo must not use the user's settings.
"""

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache


def main(arguments: Sequence[str]) -> None:
    """Run `read BUCKET NAME...`, or `add BUCKET NAME KEY URI`."""
    command, registry, *names = arguments
    if command == "add":
        add_object(registry, *names)
        return
    for package in read_packages(registry, names):
        sys.stdout.write(json.dumps(package) + "\n")


def add_object(registry: str, name: str, logical_key: str, uri: str) -> None:
    """Publish a revision with a further object; all entries stay where they are."""
    import quilt3  # noqa: PLC0415 - its import touches the user's home

    location = f"s3://{registry}"
    package = quilt3.Package.browse(name, registry=location)
    package.set(logical_key, uri)
    package.push(name, location, message="Add notes", selector_fn=lambda _key, _entry: False)


def read_packages(registry: str, names: Sequence[str]) -> Iterator[dict[str, object]]:
    """Browse, fetch and verify packages as a quilt3 user would.

    Yields:
        The fields of `ReadPackage` for each package.
    """
    import botocore.session  # noqa: PLC0415 - imported by quilt3
    import quilt3  # noqa: PLC0415 - its import touches the user's home

    # quilt3 creates a session for each client, and each would read botocore's models.
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
