"""The tree of a revision: the revisions that it was made from, and those that were made from it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import msgspec
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import NoSuchKey
from quilt_packager_runtime.formats.manifest import MAX_LINE_BYTES
from quilt_packager_runtime.formats.outcome import OutcomeFields
from quilt_packager_runtime.lineage.index import LineageIndex, package_of
from quilt_packager_runtime.registry.publish import Package
from quilt_packager_runtime.registry.run_fields import INPUT_PACKAGES, read_metadata

MAX_REVISIONS = 500
"""Maximum number of revisions in a tree."""

Direction = Literal["up", "down"]


class Run(msgspec.Struct, frozen=True):
    """The run of a revision, by its metadata. Unknown texts are empty."""

    id: str = ""
    workflow: str = ""
    ended: str = ""


class Node(msgspec.Struct, frozen=True):
    """A revision in a tree.

    Attributes:
        revision: The revision, as a `quilt+s3` URI.
        registry: Bucket of the registry.
        package_name: Name of the package.
        top_hash: Top hash.
        published: Time when its manifest was written; None if it does not exist any more.
        run: The run that made it.
        input_packages: The revisions that it was made from, according to its metadata.
        inputs: Those of them that the tree has.
        users: The revisions that were made from it, if the tree has them.
        is_cut: The tree has more of them.
    """

    revision: str
    registry: str
    package_name: str
    top_hash: str
    published: datetime | None = None
    run: Run = Run()
    input_packages: tuple[str, ...] = ()
    inputs: tuple["Node", ...] = ()
    users: tuple["Node", ...] = ()
    is_cut: bool = False

    def walk(self) -> Iterator["Node"]:
        """Yield the revision and all others of its tree, which may be there several times."""
        yield self
        for each in (*self.inputs, *self.users):
            yield from each.walk()


class LineageReader:
    """Reads trees.

    Args:
        s3: S3.
        index: The index, for trees down; None to read up only.
    """

    def __init__(self, s3: S3, index: LineageIndex | None) -> None:
        self._s3 = s3
        self._index = index
        self._left = MAX_REVISIONS

    async def read(self, package: Package, top_hash: str, *, up: int = 0, down: int = 0) -> Node:
        """Read the tree of a revision.

        Args:
            package: The package.
            top_hash: Top hash of the revision.
            up: Number of steps to inputs.
            down: Number of steps to users.

        Raises:
            PackagerError: S3 or DynamoDB did not respond, or refused.
        """
        root = await self._read_node(package.link(top_hash))
        above = await self._grow(root, "up", up, frozenset())
        below = await self._grow(root, "down", down, frozenset())
        is_cut = above.is_cut or below.is_cut
        return msgspec.structs.replace(root, inputs=above.inputs, users=below.users, is_cut=is_cut)

    async def _grow(
        self, node: Node, direction: Direction, steps: int, path: frozenset[str]
    ) -> Node:
        """Add the next revisions of one direction, and theirs."""
        path |= {node.revision}
        following = node.input_packages if direction == "up" else self._users_of(node, steps)
        found = []
        for each in following if steps else ():
            if each in path or not self._left:
                continue
            self._left -= 1
            found.append(await self._grow(await self._read_node(each), direction, steps - 1, path))
        is_cut = len(found) < len(following)
        if direction == "up":
            return msgspec.structs.replace(node, inputs=tuple(found), is_cut=is_cut)
        return msgspec.structs.replace(node, users=tuple(found), is_cut=is_cut)

    def _users_of(self, node: Node, steps: int) -> tuple[str, ...]:
        if self._index is None or not steps:
            return ()
        uses = sorted(self._index.uses(package_of(node.revision)))
        return tuple(each.revision for each in uses if each.input == node.revision)

    async def _read_node(self, revision: str) -> Node:
        fields = parse_revision(revision)
        manifest = Package(fields.registry or "", "").manifest(fields.top_hash or "")
        node = Node(
            revision, fields.registry or "", fields.package_name or "", fields.top_hash or ""
        )
        body = await self._s3.read_if_exists(manifest, max_bytes=MAX_LINE_BYTES + 1)
        if body is None:
            return node
        try:
            head = await self._s3.head_object(manifest)
        except NoSuchKey:
            return node
        metadata = read_metadata(body.data)
        inputs = metadata.get(INPUT_PACKAGES)
        return msgspec.structs.replace(
            node,
            published=_time(head.headers.get("last-modified", "")),
            run=Run(*(_text(metadata, name) for name in ("run_id", "workflow_name", "end_time"))),
            input_packages=tuple(filter(is_revision, inputs)) if isinstance(inputs, list) else (),
        )


def parse_revision(revision: str) -> OutcomeFields:
    """Return the registry, the package and the top hash of a `quilt+s3` URI of a revision.

    Example:
        >>> parse_revision("quilt+s3://packages#package=runs/42@98bd").package_name
        'runs/42'
    """
    registry, _, rest = revision.removeprefix("quilt+s3://").partition("#package=")
    name, _, top_hash = rest.rpartition("@")
    return OutcomeFields(registry=registry, package_name=name, top_hash=top_hash)


def is_revision(value: object) -> bool:
    """Return whether a value is the `quilt+s3` URI of a revision. Others write metadata too."""
    return isinstance(value, str) and parse_revision(value).link == value


def _text(metadata: dict[str, Any], name: str) -> str:
    value = metadata.get(name)
    return value if isinstance(value, str) else ""


def _time(http_date: str) -> datetime | None:
    try:
        return parsedate_to_datetime(http_date).astimezone(UTC)
    except ValueError:
        return None
