"""The option `require`: files without which a folder is not packaged.

Event sources and messages have it; `completeness` looks for the files.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from quilt_packager_runtime.formats.globs import check_globs

DEFAULT_REQUIRE_TIMEOUT_SECONDS = 900
MAX_REQUIRE_TIMEOUT_SECONDS = 43_200

RequireTimeout: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_REQUIRE_TIMEOUT_SECONDS)]


class RequiredFiles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Globs, each of which must match a file of the package."""

    files: Annotated[
        tuple[str, ...],
        Meta(
            description="Globs of files below the folder, each of which must match one.",
            examples=[["CopyComplete.txt", "RTAComplete.txt"]],
            min_length=1,
        ),
    ]


Requirement: TypeAlias = Literal["crate", "healthomics_outputs", "checksum_lists"] | RequiredFiles
"""Required files: by globs, or all that a file of the folder lists."""


def required_globs(require: Sequence[Requirement]) -> tuple[str, ...]:
    """Return the globs of all requirements."""
    return tuple(glob for each in require if isinstance(each, RequiredFiles) for glob in each.files)


def required_listings(require: Sequence[Requirement]) -> tuple[str, ...]:
    """Return the requirements that are not globs."""
    return tuple(each for each in require if isinstance(each, str))


def check_requirements(require: Sequence[Requirement]) -> tuple[Requirement, ...]:
    """Return the requirements, each once, if their globs can match a path.

    Raises:
        ValueError: A glob is not valid, or there are too many.

    Example:
        >>> check_requirements([RequiredFiles(("/a",))])
        Traceback (most recent call last):
        ValueError: a glob has 1 to 1,024 characters, and no empty component: ...
    """
    check_globs(required_globs(require))
    return tuple(dict.fromkeys(require))
