"""The folders below that of the New package form: a choice fills in the form."""

import json
from collections.abc import Mapping
from typing import Literal, NamedTuple

from quilt_packager_runtime.formats.objects import SourceFolder

from quilt_packager.admin.pages.package_form import Draft, read_message
from quilt_packager.admin.web.problems import Problem
from quilt_packager.operations.discovery.subfolders import Subfolder, Subfolders


class State(NamedTuple):
    """The state of a folder.

    Attributes:
        css: Class of its badge.
        icon: Icon of its badge.
        word: Text of its badge.
        why: Sentence about it.
    """

    css: Literal["b-none", "b-unchanged", "b-rejected"]
    icon: Literal["info", "equals", "slash"]
    word: str
    why: str = ""


class Row(NamedTuple):
    """A folder in the table.

    Attributes:
        name: Its name, relative to the folder above.
        url: Address of the form that it fills in.
        kind: Name of its kind.
        found: The folder.
        state: Its state.
    """

    name: str
    url: str
    kind: str
    found: Subfolder
    state: State


class FoundFolders(NamedTuple):
    """The part of the page with the folders.

    Attributes:
        folder: The folder above.
        key: Identifies what is shown, as `key_of`.
        above: Address with the folder above that one; empty for a bucket.
        rows: The folders.
        following: Address of the next page; empty on the last one.
        problem: Error of the search; None without one.
    """

    folder: SourceFolder
    key: str
    above: str = ""
    rows: tuple[Row, ...] = ()
    following: str = ""
    problem: Problem | None = None


def key_of(folder: SourceFolder, registry: str) -> str:
    """Identify the folders below a folder, and their state in a registry."""
    return f"{folder} {registry}"


def list_rows(
    draft: Draft,
    folder: SourceFolder,
    registry: str,
    found: Subfolders | None,
    made: Mapping[tuple[str, str], str],
) -> FoundFolders:
    """Make the table of the folders below a folder.

    Args:
        draft: The form.
        folder: The folder.
        registry: Registry of the packages.
        found: The folders; None if they could not be found.
        made: Packages that recent jobs made, by registry and folder.
    """
    start = len(folder.prefix)
    *above, _ = folder.prefix.rstrip("/").split("/")
    higher = SourceFolder(folder.bucket, "".join(f"{name}/" for name in above))
    following = ""
    if found is not None and found.following is not None:
        after = draft.address(found_after=found.following)
        following = f"{after}#found"
    rows = tuple(
        Row(
            name=each.folder.prefix[start:],
            url=_choose(draft, each).address(is_planned=True),
            kind=each.kind.title if each.kind else "Folder of files",
            found=each,
            state=_judge(each, registry, made.get((registry, str(each.folder)))),
        )
        for each in (found.folders if found else ())
    )
    return FoundFolders(
        folder,
        key_of(folder, registry),
        draft.address(source_prefix=str(higher)) if folder.prefix else "",
        rows,
        following,
    )


def _choose(draft: Draft, chosen: Subfolder) -> Draft:
    """Fill in the form for another folder: its own options replace those of the last one."""
    message = {"source_prefix": str(chosen.folder)}
    suggested = dict(chosen.kind.fields) if chosen.kind else {}
    for name in ("metadata_uri", "metadata_format"):  # that of the folder, without a choice
        suggested.pop(name, None)
    read = read_message(json.dumps({**suggested, **message}))
    assert read is not None  # noqa: S101 - it is a message
    return read.draft._replace(registry=draft.registry, workflow=draft.workflow)


def _judge(found: Subfolder, registry: str, made: str | None) -> State:
    packaged, missing = found.packaged, found.kind.missing if found.kind else ()
    name = packaged.name if packaged and packaged.name else made
    if missing:
        return State("b-rejected", "slash", f"Lacks {', '.join(missing)}")
    if name:
        return State("b-unchanged", "equals", "Packaged", f"As {name} in {registry}.")
    if packaged is None:
        return State("b-none", "info", "Unknown", f"You may not read {registry}.")
    if packaged.name_owner:
        why = f"{found.package_name} is the package of {packaged.name_owner}."
        return State("b-rejected", "slash", "Name taken", why)
    why = f"{registry} has no package {found.package_name}, and no recent job made another."
    return State("b-none", "info", "Not packaged", why)
