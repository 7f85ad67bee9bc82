"""The New package form: its input, and the message that it describes."""

import hashlib
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlencode

from quilt_packager_runtime.errors import (
    AccessDenied,
    ArchivedObjects,
    ChecksumMismatch,
    HeldForReview,
    InvalidMessage,
    UnreadableObjects,
    UnsupportedEndpoint,
)
from quilt_packager_runtime.formats.json_documents import MAX_METADATA_BYTES, read_json
from quilt_packager_runtime.formats.objects import MAX_MESSAGE_BYTES
from quilt_packager_runtime.requests.package_request import UnresolvedRequest
from quilt_packager_runtime.settings import Settings

from quilt_packager.admin.pages.field_notes import (
    Note,
    describe_fields,
    describe_kind,
    describe_known,
    find_forbidden_buckets,
)
from quilt_packager.admin.pages.message_options import FALSE, OPTIONS
from quilt_packager.admin.web.filters import as_json
from quilt_packager.operations.dead_letters.dead_letter import Failure
from quilt_packager.operations.deployment.known_metadata import Known
from quilt_packager.operations.deployment.known_workflows import KnownWorkflows
from quilt_packager.operations.deployment.messages import check
from quilt_packager.operations.discovery.recognition import Recognised

FOUND = "found"
"""Metadata that is known of the folder: of its crate, or of its run."""

NO_METADATA = "none"
"""No metadata, even if the folder has some."""

HERE = "here"
"""Metadata that is entered in the form."""

FILE = "file"
"""Metadata in a file in S3."""

DEFAULT = "*default"
"""The registry's default workflow. The name of a workflow has no such character."""

OTHER = "*other"
"""Choice of a select whose value is entered beside it."""

CHOICES = ("registry", "workflow")
"""Fields that are selects of what is known."""

PATH = "/new"

LABELS = {
    "source_prefix": "folder",
    "package_name": "package name",
    "registry": "registry",
    "workflow": "workflow",
    "metadata": "metadata",
    "exclude": "exclusions",
    "commit_message": "message",
    **{name: option.label.lower() for name, option in OPTIONS.items()},
}
"""Fields with a note below them, and their names in a sentence."""

NOTE_OF = {"metadata_uri": "metadata", "metadata_format": "metadata"}
"""Fields of a message that share the note of another."""


class Draft(NamedTuple):
    """The input of the form. Fields are those of a message unless described.

    Attributes:
        registry: Bucket; empty for the default, or `OTHER` while none is entered.
        workflow: Its name; empty for none, `DEFAULT`, or `OTHER` while none is entered.
        metadata_kind: `found`, `none`, `file`, or `here`.
        metadata: Metadata as JSON.
        exclude: Globs, one per line.
        options: Texts of the `OPTIONS` that are given.
        job: Id of the job that filled in the form.
        message: Id of the failed message that filled in the form.
    """

    source_prefix: str = ""
    package_name: str = ""
    registry: str = ""
    workflow: str = DEFAULT
    metadata_kind: str = FOUND
    metadata_uri: str = ""
    metadata_format: str = "json"
    metadata: str = ""
    exclude: str = ""
    commit_message: str = ""
    options: Mapping[str, str] = MappingProxyType({})
    job: str = ""
    message: str = ""

    @classmethod
    def read(cls, given: Mapping[str, str]) -> "Draft":
        """Read a form, or a query that fills it in, ignoring unknown fields."""
        texts = {name: text.strip() for name, text in given.items()}
        for name in CHOICES:
            if texts.get(name) == OTHER:
                texts[name] = texts.get(f"{name}_other") or OTHER
        options = {name: texts[name] for name in OPTIONS if texts.get(name)}
        known = set(cls._fields) - {"options"}
        fields = {name: text for name, text in texts.items() if name in known}
        draft = cls(**fields, options=options)
        if "metadata_kind" not in given and (draft.metadata or draft.metadata_uri):
            draft = draft._replace(metadata_kind=HERE if draft.metadata else FILE)
        return draft

    def address(
        self, path: str = PATH, *, is_planned: bool = False, found_after: str = "", **changes: str
    ) -> str:
        """Return an address with the form, with other values of some fields.

        Args:
            path: Path of the address.
            is_planned: The page makes a plan.
            found_after: Prefix after which the folders below begin.
            changes: Other values of fields and options.
        """
        options = {
            **self.options,
            **{name: changes.pop(name) for name in OPTIONS if name in changes},
        }
        draft = self._replace(**changes)  # type: ignore[arg-type] # texts, without options
        hidden = {
            name
            for kind, names in ((FILE, ("metadata_uri", "metadata_format")), (HERE, ("metadata",)))
            for name in names
            if draft.metadata_kind != kind
        }
        fields = {
            name: value
            for name, value in draft._asdict().items()
            if name not in {*hidden, "options"} and value != self._field_defaults[name]
        }
        fields |= {name: text for name, text in options.items() if text}
        if is_planned:
            fields["plan"] = "1"
        if found_after:
            fields["found_after"] = found_after
        return f"{path}?{urlencode(fields, safe='/:')}" if fields else path


OTHER_CAUSES = frozenset(
    each.__name__
    for each in (
        AccessDenied,
        ArchivedObjects,
        ChecksumMismatch,
        HeldForReview,
        UnreadableObjects,
        UnsupportedEndpoint,
    )
)
"""Codes of failures that are no fault of the message: something else has to change."""


def can_edit(letter: Failure) -> bool:
    """Return True if a change of a failed message helps, and a person wrote it."""
    is_of_message = letter.needs_change and letter.code not in OTHER_CAUSES
    return is_of_message and read_message(letter.body) is not None


class Edited(NamedTuple):
    """A message in the form.

    Attributes:
        draft: The draft.
        left_out: Fields of the message that the form does not have.
    """

    draft: Draft
    left_out: tuple[str, ...]


def read_message(body: str) -> Edited | None:
    """Read a message into the form, valid or not; None if it is an event, or no JSON object."""
    try:
        fields = read_json(body, max_bytes=MAX_MESSAGE_BYTES)
    except ValueError:
        return None
    if not isinstance(fields, dict) or "detail-type" in fields:
        return None
    texts = {name: _write(name, value) for name, value in fields.items() if value is not None}
    known = {*Draft._fields, *OPTIONS} - {"options", "metadata_kind", "job", "message"}
    return Edited(
        Draft.read(
            {name: text for name, text in texts.items() if name in known and text}
            | ({"workflow": ""} if fields.get("workflow") == "" else {})
        ),
        tuple(name for name, text in texts.items() if name not in known or text is None),
    )


def _write(name: str, value: object) -> str | None:
    """Write the value of a field as the form shows it; None if the form cannot show it."""
    if name == "metadata":
        return as_json(value)
    if value is False:
        return FALSE
    if not isinstance(value, list):
        return str(value)
    items = [
        glob
        for each in value
        for glob in (each["files"] if isinstance(each, dict) and set(each) == {"files"} else [each])
    ]
    return "\n".join(items) if all(isinstance(each, str) for each in items) else None


class Facts(NamedTuple):
    """Facts that were looked up in S3; None for those that were not.

    Attributes:
        metadata: The metadata that is known of the folder.
        kind: The kind of the folder.
        workflows: The workflows of the registry.
    """

    metadata: Known | None = None
    kind: Recognised | None = None
    workflows: KnownWorkflows | None = None


NO_FACTS = Facts()


class Checked(NamedTuple):
    """A draft and its notes.

    Attributes:
        draft: The draft.
        fields: Fields of the message.
        request: Request of the message; None if it is invalid.
        notes: Notes below the fields.
        problem: Error that concerns no single field; empty without one.
        registry: Registry of the package; None if it is not known.
        facts: Facts about the folder and the registry.
    """

    draft: Draft
    fields: dict[str, Any]
    request: UnresolvedRequest | None
    notes: dict[str, Note]
    problem: str = ""
    registry: str | None = None
    facts: Facts = NO_FACTS

    @property
    def is_good(self) -> bool:
        """Return True if the message can be sent."""
        return self.request is not None and not self.wrong

    @property
    def wrong(self) -> list[str]:
        """Return the labels of the invalid fields."""
        return [LABELS[name] for name, note in self.notes.items() if note.kind == "bad"]

    @property
    def body(self) -> str:
        """Return the message."""
        return json.dumps(self.fields, ensure_ascii=False)

    @property
    def fingerprint(self) -> str:
        """Return a digest that identifies the message."""
        return hashlib.sha256(self.body.encode("utf-8", "backslashreplace")).hexdigest()[:16]


def check_draft(
    draft: Draft,
    settings: Settings,
    *,
    is_new: bool = False,
    facts: Facts = NO_FACTS,
) -> Checked:
    """Check a draft by the model with which the engine parses messages.

    Args:
        draft: The draft.
        settings: Settings of the engine.
        is_new: The form is still being filled in: an empty folder is not an error yet.
        facts: Facts about the folder and the registry.
    """
    fields, rules = _build(draft)
    if facts.metadata is not None:
        fields |= facts.metadata.fields
    request: UnresolvedRequest | None = None
    problem = ""
    try:
        parsed = check(json.dumps(fields), settings)
    except InvalidMessage as error:
        rules = {**error.rules, **rules}
        problem = "" if rules else error.happened
    else:
        request = parsed if isinstance(parsed, UnresolvedRequest) and not rules else None
    outline = request or _outline(fields, rules, settings)
    notes = describe_fields(fields, outline, settings, facts.workflows)
    if draft.metadata_kind == FOUND and "metadata" not in rules:
        notes["metadata"] = describe_known(facts.metadata)
    notes |= {name: Note("hint", option.help) for name, option in OPTIONS.items()}
    if facts.kind is not None:
        notes |= describe_kind(facts.kind, notes)
    for name, rule in rules.items():
        text = f"{rule[:1].upper()}{rule[1:].rstrip('.')}."
        notes[NOTE_OF.get(name, name)] = Note("bad", text)
    if not draft.source_prefix:
        notes["source_prefix"] = (
            Note("hint", "The folder to package, such as", "s3://bucket/folder/")
            if is_new
            else Note("bad", "Enter the folder to package, such as", "s3://bucket/folder/")
        )
    if outline is not None:
        forbidden = find_forbidden_buckets(outline, settings)
        notes |= {name: note for name, note in forbidden.items() if notes[name].kind != "bad"}
    registry = outline.registry if outline and "registry" not in rules else None
    return Checked(draft, fields, request, notes, problem, registry, facts)


def _outline(
    fields: Mapping[str, Any], rules: Mapping[str, str], settings: Settings
) -> UnresolvedRequest | None:
    """Return the request of the valid fields, from which defaults of the others follow."""
    good = {name: value for name, value in fields.items() if name not in rules}
    try:
        wanted = check(json.dumps(good), settings)
    except InvalidMessage:
        return None
    return wanted if isinstance(wanted, UnresolvedRequest) else None


def _build(draft: Draft) -> tuple[dict[str, Any], dict[str, str]]:
    """Build the message of a draft, and find the rules that it breaks before it is a message."""
    fields: dict[str, Any] = {
        name: value
        for name in ("source_prefix", "registry", "package_name", "workflow", "commit_message")
        if (value := getattr(draft, name)) not in {"", DEFAULT, OTHER}
    }
    if not draft.workflow:
        fields["workflow"] = ""
    rules = {
        name: "it is missing: enter a name, or choose another option"
        for name in CHOICES
        if getattr(draft, name) == OTHER
    }
    if draft.metadata_kind == FILE:
        fields["metadata_uri"] = draft.metadata_uri
        if not draft.metadata_uri:
            rules["metadata_uri"] = "it is missing: enter the file's URI, or choose another option"
        if draft.metadata_format != "json":
            fields["metadata_format"] = draft.metadata_format
    elif draft.metadata_kind == HERE:
        try:
            fields["metadata"] = read_json(draft.metadata, max_bytes=MAX_METADATA_BYTES)
        except ValueError as error:
            rules["metadata"] = str(error)
    if globs := [line.strip() for line in draft.exclude.splitlines() if line.strip()]:
        fields["exclude"] = globs
    _add_options(draft, fields, rules)
    return fields, rules


def _add_options(draft: Draft, fields: dict[str, Any], rules: dict[str, str]) -> None:
    for name, text in draft.options.items():
        try:
            fields[name] = OPTIONS[name].parse(text)
        except ValueError as error:
            rules[name] = str(error)
