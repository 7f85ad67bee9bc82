"""What somebody asks for by the form: its message, and what is right and wrong with each field."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import msgspec
from quilt_packager_runtime.errors import BucketNotAllowed, InvalidMessage
from quilt_packager_runtime.formats.json_documents import MAX_METADATA_BYTES, read_json
from quilt_packager_runtime.packaging import check_buckets
from quilt_packager_runtime.requests.messages import PackageRequest
from quilt_packager_runtime.settings import Settings

from quilt_packager.operations import formats
from quilt_packager.operations.deployment.messages import check

HERE = "here"
"""The message's metadata: written in the form."""

FILE = "file"
"""Likewise: in a file in S3."""

NAMED = "named"
"""The workflow: one by its name."""

LINES = {
    "source_prefix": "folder",
    "package_name": "package name",
    "registry": "registry",
    "workflow": "workflow",
    "metadata": "metadata",
    "exclude": "what to leave out",
    "commit_message": "message",
}
"""What has a line below it in the form, and what that is called."""

LINE_OF = {"metadata_uri": "metadata", "metadata_format": "metadata"}
"""Fields of a message that share the line of another."""


class Say(NamedTuple):
    """The line below a field.

    Attributes:
        kind: A hint, all is well, or something is wrong.
        words: The line.
        code: What follows it, as it is written in a message.
        rest: What follows that.
    """

    kind: Literal["hint", "ok", "bad"]
    words: str
    code: str = ""
    rest: str = ""


class Draft(NamedTuple):
    """What the form holds.

    Attributes:
        source_prefix: As of a message.
        package_name: Likewise.
        registry: Likewise.
        workflow_kind: `default`, `none`, or `named`.
        workflow: The name.
        metadata_kind: `none`, `file`, or `here`.
        metadata_uri: As of a message.
        metadata_format: Likewise.
        metadata: The metadata, as JSON.
        exclude: Globs, one a line.
        commit_message: As of a message.
    """

    source_prefix: str = ""
    package_name: str = ""
    registry: str = ""
    workflow_kind: str = "default"
    workflow: str = ""
    metadata_kind: str = "none"
    metadata_uri: str = ""
    metadata_format: str = "json"
    metadata: str = ""
    exclude: str = ""
    commit_message: str = ""

    @classmethod
    def read(cls, given: Mapping[str, str]) -> "Draft":
        """Read a form, or a query that fills it in.

        Args:
            given: The fields; those that nobody knows are left out.
        """
        draft = cls(**{name: given[name].strip() for name in cls._fields if name in given})
        if "workflow_kind" not in given and "workflow" in given:
            draft = draft._replace(workflow_kind=NAMED if draft.workflow else "none")
        if "metadata_kind" not in given and (draft.metadata or draft.metadata_uri):
            draft = draft._replace(metadata_kind=HERE if draft.metadata else FILE)
        return draft


class Checked(NamedTuple):
    """A draft, and what is to be said of it.

    Attributes:
        draft: The draft.
        fields: The message's fields.
        request: What it asks for; None: the message is not valid.
        says: The lines below the fields.
        problem: What is wrong with it that no field is to blame for; empty: nothing.
    """

    draft: Draft
    fields: dict[str, Any]
    request: PackageRequest | None
    says: dict[str, Say]
    problem: str = ""

    @property
    def is_good(self) -> bool:
        """Whether it can be sent."""
        return self.request is not None and not self.wrong

    @property
    def wrong(self) -> list[str]:
        """What has to be corrected, by the names of `LINES`."""
        return [LINES[name] for name, say in self.says.items() if say.kind == "bad"]

    @property
    def body(self) -> str:
        """The message."""
        return json.dumps(self.fields, ensure_ascii=False)

    @property
    def print(self) -> str:
        """What tells this message from others, field by field."""
        return " ".join(f"{name}:{_digest(value)}" for name, value in self.fields.items())

    def changed(self, planned: str) -> list[str]:
        """What is not as it was, by the names of `LINES`.

        Args:
            planned: The `print` of what it was.
        """
        before, after = (
            dict(each.partition(":")[::2] for each in text.split())
            for text in (planned, self.print)
        )
        names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        lines = dict.fromkeys(LINES.get(LINE_OF.get(name, name), "message") for name in names)
        return list(lines)


def check_draft(draft: Draft, settings: Settings, *, is_new: bool = False) -> Checked:
    """Check a draft by the model that the engine reads messages by.

    Args:
        draft: The draft.
        settings: The engine's.
        is_new: Nobody has filled it in: what is missing is not wrong yet.
    """
    fields, rules = _build(draft)
    request: PackageRequest | None = None
    problem = ""
    try:
        wanted = check(json.dumps(fields), settings)
    except InvalidMessage as error:
        rules = {**error.rules, **rules}
        problem = "" if rules else error.happened
    else:
        request = wanted if isinstance(wanted, PackageRequest) and not rules else None
    outline = request or _outline(fields, rules, settings)
    says = _describe(draft, fields, outline, settings)
    for name, rule in rules.items():
        says[LINE_OF.get(name, name)] = Say("bad", f"{rule[:1].upper()}{rule[1:].rstrip('.')}.")
    if not draft.source_prefix:
        missing = "It is missing: name the folder to package, as"
        hint = "The folder to package, as"
        kind: Literal["hint", "bad"] = "hint" if is_new else "bad"
        words = hint if is_new else missing
        says["source_prefix"] = Say(kind, words, "s3://bucket/folder/")
    if outline is not None:
        refused = _check_buckets(outline, settings)
        says |= {line: say for line, say in refused.items() if says[line].kind != "bad"}
    return Checked(draft, fields, request, says, problem)


def _outline(
    fields: Mapping[str, Any], rules: Mapping[str, str], settings: Settings
) -> PackageRequest | None:
    """What the fields ask for that break no rule, which tells what the others default to."""
    good = {name: value for name, value in fields.items() if name not in rules}
    try:
        wanted = check(json.dumps(good), settings)
    except InvalidMessage:
        return None
    return wanted if isinstance(wanted, PackageRequest) else None


def _build(draft: Draft) -> tuple[dict[str, Any], dict[str, str]]:
    """The message of a draft, and the rules that it breaks before it is one."""
    fields: dict[str, Any] = {
        name: value
        for name in ("source_prefix", "registry", "package_name", "commit_message")
        if (value := getattr(draft, name))
    }
    rules: dict[str, str] = {}
    if draft.workflow_kind != "default":
        fields["workflow"] = draft.workflow if draft.workflow_kind == NAMED else ""
        if draft.workflow_kind == NAMED and not draft.workflow:
            rules["workflow"] = "it is missing: name the workflow, or choose another of the three"
    if draft.metadata_kind == FILE:
        fields["metadata_uri"] = draft.metadata_uri
        if draft.metadata_format != "json":
            fields["metadata_format"] = draft.metadata_format
    elif draft.metadata_kind == HERE:
        try:
            fields["metadata"] = read_json(draft.metadata, max_bytes=MAX_METADATA_BYTES)
        except ValueError as error:
            rules["metadata"] = str(error)
    if globs := [line.strip() for line in draft.exclude.splitlines() if line.strip()]:
        fields["exclude"] = globs
    return fields, rules


def _describe(
    draft: Draft, fields: Mapping[str, Any], request: PackageRequest | None, settings: Settings
) -> dict[str, Say]:
    """The lines of a draft in which nothing is wrong."""
    return {
        "source_prefix": Say("ok", "Packages", str(request.source)) if request else _NOTHING,
        "package_name": _describe_name(draft, request),
        "registry": _describe_registry(draft, request, settings),
        "workflow": _WORKFLOWS.get(draft.workflow_kind, _NOTHING),
        "metadata": _describe_metadata(fields, request),
        "exclude": Say("ok", f"{formats.count(len(fields['exclude']), 'pattern')}.")
        if "exclude" in fields
        else Say(
            "hint",
            "Files that do not become part of the package, one pattern a line, as",
            "work/**",
        ),
        "commit_message": Say("ok", "The revision has this message.")
        if draft.commit_message
        else Say("hint", "Left empty:", request.commit_message if request else "Packaged from …"),
    }


_NOTHING = Say("hint", "")

_WORKFLOWS = {
    "default": Say("hint", "The registry's default workflow checks the package, if there is one."),
    "none": Say("hint", "No workflow checks the package, where the registry allows that."),
    NAMED: Say("hint", "Plan tells whether the registry has it, and what it finds."),
}


def _describe_name(draft: Draft, request: PackageRequest | None) -> Say:
    if draft.package_name:
        return Say("ok", "A package name.")
    if request is None:
        return Say("hint", "Left empty: made from the folder.")
    return Say("hint", "Left empty:", request.package_name, ", from the folder.")


def _describe_registry(draft: Draft, request: PackageRequest | None, settings: Settings) -> Say:
    if draft.registry:
        return Say("ok", "The package goes there.")
    if request is None and settings.default_registry is None:
        return Say("hint", "Left empty: the bucket of the folder.")
    registry = request.registry if request else str(settings.default_registry)
    whose = "the engine's default." if settings.default_registry else "the bucket of the folder."
    return Say("hint", "Left empty:", registry, f", {whose}")


def _describe_metadata(fields: Mapping[str, Any], request: PackageRequest | None) -> Say:
    metadata = fields.get("metadata")
    if isinstance(metadata, dict):
        return Say("ok", f"A JSON object with {formats.count(len(metadata), 'field')}.")
    if request is not None and request.metadata_uri is not None:
        return Say("ok", "Read from", str(request.metadata_uri))
    return Say("hint", "The package has no metadata.")


def _check_buckets(request: PackageRequest, settings: Settings) -> dict[str, Say]:
    """What is wrong with buckets, each by itself as a job checks them all."""
    narrow = msgspec.structs.replace
    source = narrow(request, metadata_uri=None)
    readable = narrow(settings, registry_buckets=())
    cases = (
        ("source_prefix", source, readable, request.source.bucket, "read", settings.source_buckets),
        ("metadata", request, readable, "", "read", settings.source_buckets),
        (
            "registry",
            source,
            narrow(settings, source_buckets=()),
            request.registry,
            "write to",
            settings.registry_buckets,
        ),
    )
    says: dict[str, Say] = {}
    for line, asked, allowing, bucket, verb, buckets in cases:
        try:
            check_buckets(asked, allowing)
        except BucketNotAllowed:
            if line == "metadata" and "source_prefix" in says:
                continue
            named = bucket or (request.metadata_uri.bucket if request.metadata_uri else "")
            may = f"It may {verb} {_join(buckets)}."
            says[line] = Say("bad", f"The engine may not {verb} “{named}”. {may}")
    return says


def _join(names: tuple[str, ...]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:12]
