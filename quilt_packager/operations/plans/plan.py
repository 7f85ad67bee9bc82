"""What a plan tells: of the package, its objects, and what packaging them would take."""

import msgspec
from quilt_packager_runtime.errors import Explanation

from quilt_packager.operations.plans.estimates import Estimate
from quilt_packager.operations.plans.sampling import Basis


class Contents(msgspec.Struct, frozen=True):
    """What the folder holds.

    Attributes:
        objects: How many objects there are.
        size_bytes: How large they are.
        largest_bytes: How large the largest is.
        archived: How many are archived, and not known to the last revision.
    """

    objects: int
    size_bytes: int
    largest_bytes: int
    archived: int


class Checksums(msgspec.Struct, frozen=True):
    """Where the checksums would come from.

    Attributes:
        reusable: How many the last revision knows.
        stored: How many S3 has stored.
        computed: How many would have to be computed.
        computed_bytes: How large these objects are.
        basis: How it is known what S3 has stored.
        asked: How many objects were asked for it.
    """

    reusable: int
    stored: int
    computed: int
    computed_bytes: int
    basis: Basis
    asked: int


class Route(msgspec.Struct, frozen=True):
    """How the job would be done.

    Attributes:
        is_large: By the state machine, and not by one invocation.
        why: What makes it so, as a clause; empty where it is the usual way.
        shards: Among how many workers a large job would be shared.
    """

    is_large: bool = False
    why: str = ""
    shards: int = 0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a message would come to. What is None was not found out.

    Attributes:
        source: The folder, as a URI.
        registry: The bucket that would have the package.
        package_name: The package.
        refusals: Why the job would be rejected; none: it would not.
        revision: The number of the revision that this would be, or, if unchanged, is.
        workflow: The workflow that it passes.
        unchanged: The newest revision is just this; None where that is known only after hashing.
        top_hash: The revision's top hash, where it is known before hashing.
        contents: What the folder holds.
        checksums: Where the checksums would come from.
        route: How the job would be done.
        estimate: What it would take.
        notes: What else there is to know, each a sentence without its full stop.
    """

    source: str
    registry: str
    package_name: str
    refusals: tuple[Explanation, ...] = ()
    revision: int | None = None
    workflow: str | None = None
    unchanged: bool | None = None
    top_hash: str | None = None
    contents: Contents | None = None
    checksums: Checksums | None = None
    route: Route | None = None
    estimate: Estimate | None = None
    notes: tuple[str, ...] = ()
