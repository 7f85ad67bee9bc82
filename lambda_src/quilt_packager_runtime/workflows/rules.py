"""The rules of a registry's workflows, decided by quilt3 once their documents are read.

Added here are bounds on the documents, which other people wrote, a report of all violations
instead of the first, and the distinction between invalid rules and invalid packages. Importing
this module imports quilt3, which takes longer than all other imports together.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from typing import Any, Self

import msgspec
import yaml
from jsonschema import Draft7Validator
from quilt3.util import PhysicalKey, QuiltException
from quilt3.workflows import ConfigDataVersion, WorkflowConfig, WorkflowValidationError

from quilt_packager_runtime.concurrency import slices
from quilt_packager_runtime.cpu_limits import CpuLimitExceeded, cpu_limit
from quilt_packager_runtime.errors import (
    InvalidWorkflowConfig,
    WorkflowViolations,
    name_some,
    printable,
    quote,
)
from quilt_packager_runtime.formats.json_documents import MAX_DEPTH
from quilt_packager_runtime.formats.objects import S3Uri
from quilt_packager_runtime.workflows.entries import EntryRules
from quilt_packager_runtime.workflows.violations import (
    Violations,
    describe_config_error,
    describe_metadata_error,
)

MAX_SHOWN = 1000
"""Maximum number of characters of a library's error that are shown."""

MAX_EXPANDED_CHARACTERS = 1_000_000
"""Maximum size of a configuration with each alias replaced by the value that it stands for."""

CONFIG_CPU_SECONDS = 1
"""CPU time to parse and validate a configuration: enough for more than 1,000 workflows."""

# CPU time to check a package: ten times the usual, while catastrophic backtracking takes hours.
CPU_SECONDS = 0.5
CPU_SECONDS_PER_BYTE = 10e-6
CPU_SECONDS_PER_ENTRY = 1e-3
MAX_SLICE_SECONDS = 4

ENTRIES_AT_ONCE = 1000

# Exceptions that the libraries raise, beside their own, on documents that they do not expect.
UNEXPECTED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    re.error,
)


class Subject(msgspec.Struct, frozen=True):
    """A package to check.

    Attributes:
        package_name: Name of the package.
        message: Commit message.
        metadata: Metadata of the manifest's header.
        entries: Logical key and size in bytes of each entry, in the manifest's order; read only
            if there are rules for entries.
        entry_metadata: Metadata of entries, by logical keys.
    """

    package_name: str
    message: str
    metadata: dict[str, Any] | None
    entries: Iterable[tuple[str, int]]
    entry_metadata: Mapping[str, dict[str, Any]]


class Rules:
    """The rules of a registry.

    Args:
        config: Validated configuration.
        uri: Version of the configuration, which manifests record.
    """

    def __init__(self, config: dict[str, Any], uri: S3Uri) -> None:
        self._uri = uri
        self._config = _FetchedConfig(config, PhysicalKey(uri.bucket, uri.key, uri.version_id))
        self._schema_bytes = 0

    @classmethod
    def read(cls, data: bytes, uri: S3Uri) -> Self:
        """Parse and validate a configuration.

        Raises:
            InvalidWorkflowConfig: quilt3 rejects it, or it exceeds a bound.
        """
        with _rejecting_config(uri, "the configuration", CONFIG_CPU_SECONDS):
            config = yaml.load(data.decode(), _BoundedLoader)  # noqa: S506 - it is a SafeLoader
            violations = Violations()
            violations.add(_config_validator().iter_errors(config), describe_config_error)
            if violations.count:
                raise invalid_config(uri, f"the configuration: {violations}")
            version = ConfigDataVersion.parse(WorkflowConfig.get_config_data_version_str(config))
            if not WorkflowConfig.is_supported_config_data_version(version):
                raise ValueError(
                    f"version {quote(str(version))} is newer than this quilt3 supports"
                )
        return cls(config, uri)

    def choose(self, workflow: str | msgspec.UnsetType | None) -> str | None:
        """Return the workflow to apply; None for none.

        Args:
            workflow: Requested workflow, None for none, UNSET for the registry's default.

        Raises:
            WorkflowViolations: The workflow does not exist, or one is required.
            InvalidWorkflowConfig: The default workflow does not exist.
        """
        config = self._config.config
        name: str | None = config.get("default_workflow") if workflow is msgspec.UNSET else workflow
        known = config["workflows"]
        if name is None and config.get("is_workflow_required", True):
            happened = "The registry requires a workflow, and the message chooses none."
        elif name is not None and name not in known:
            if workflow is msgspec.UNSET:
                raise invalid_config(
                    self._uri, f"default_workflow {quote(name)} is not in workflows"
                )
            happened = f"There is no workflow {quote(name)}."
        else:
            return name
        raise WorkflowViolations(
            happened,
            why=f"{self._uri} defines the workflows.",
            remedy=f"Set workflow in the message to one of {name_some(sorted(map(str, known)))}.",
        )

    def schemas_of(self, workflow: str | None) -> dict[str, S3Uri]:
        """Return the URI of each schema that a workflow needs, by its id.

        Raises:
            InvalidWorkflowConfig: A schema is not defined, or not in S3.
        """
        rules = self._config.config["workflows"][workflow] if workflow is not None else {}
        ids = [rules[kind] for kind in ("metadata_schema", "entries_schema") if rules.get(kind)]
        with _rejecting_config(self._uri, "schemas", CPU_SECONDS):
            keys = {each: self._config.get_pk_for_schema_id(each) for each in ids}
        return {each: S3Uri(key.bucket, key.path, key.version_id) for each, key in keys.items()}

    def add_schema(self, schema_id: str, data: bytes, version_id: str | None) -> None:
        """Add the JSON of a schema, as read in some version."""
        key = self._config.get_pk_for_schema_id(schema_id)
        self._config.fetched[str(key)] = data, PhysicalKey(key.bucket, key.path, version_id)
        self._schema_bytes += len(data)

    async def check(self, workflow: str | None, subject: Subject) -> dict[str, Any]:
        """Check a package, once all schemas are added.

        Returns:
            The record of the workflow for the manifest's header.

        Raises:
            WorkflowViolations: The package breaks the rules; with all violations.
            InvalidWorkflowConfig: The rules are not valid.
        """
        violations = Violations()
        size_bytes = self._schema_bytes + len(json.dumps(subject.metadata))
        seconds = CPU_SECONDS + size_bytes * CPU_SECONDS_PER_BYTE
        with _rejecting_config(self._uri, "the rules", seconds):
            validator = self._config.get_workflow_validator(workflow)
            for validate, value in (
                (validator.validate_message, subject.message),
                (validator.validate_name, subject.package_name),
            ):
                try:
                    validate(value)
                except WorkflowValidationError as error:
                    violations.add([error], str)
            if validator.metadata_validator is not None:
                errors = validator.metadata_validator.iter_errors(subject.metadata)
                violations.add(errors, describe_metadata_error)
        if validator.entries_validator is not None:
            await self._check_entries(validator.entries_validator, subject, violations)
        if violations.count:
            raise WorkflowViolations(
                f"The package breaks {violations.count} rules of "
                f"{'the registry' if workflow is None else 'workflow ' + quote(workflow)}: "
                f"{violations}.",
                why=f"{self._uri} defines the rules.",
                remedy="Correct the package or the message, or choose another workflow.",
            )
        record: dict[str, Any] = validator.data_to_store
        return record

    async def _check_entries(
        self, validator: Draft7Validator, subject: Subject, violations: Violations
    ) -> None:
        """Check entries in slices, each with its own CPU limit, and run other tasks in between."""
        what = "entries_schema"
        schema_seconds = CPU_SECONDS + self._schema_bytes * CPU_SECONDS_PER_BYTE

        def seconds(entries: int) -> float:
            return min(schema_seconds + entries * CPU_SECONDS_PER_ENTRY, MAX_SLICE_SECONDS)

        with _rejecting_config(self._uri, what, schema_seconds):
            rules = EntryRules(validator, subject.entry_metadata)
        count = 0
        async for taken in slices(subject.entries, ENTRIES_AT_ONCE):
            with _rejecting_config(self._uri, what, seconds(len(taken))):
                rules.check(taken, violations)
            count += len(taken)
        with _rejecting_config(self._uri, what, seconds(count)):
            rules.finish(violations)


def invalid_config(uri: S3Uri, how: str) -> InvalidWorkflowConfig:
    """Return the error for rules that are not valid, with the reason as a clause."""
    return InvalidWorkflowConfig(
        f"The registry's workflow rules at {uri} are not valid: {how}.",
        why="Without valid rules no package can be checked, and none is published unchecked.",
        remedy="Ask the registry's owner to correct them.",
    )


class _FetchedConfig(WorkflowConfig):  # type: ignore[misc] # quilt3 has no types
    """quilt3's configuration, with schemas that are already fetched instead of read by boto3."""

    def __init__(self, config: dict[str, Any], physical_key: PhysicalKey) -> None:
        super().__init__(config, physical_key)
        self.fetched: dict[str, tuple[bytes, PhysicalKey]] = {}

    def load_schema(self, schema_pk: PhysicalKey) -> tuple[bytes, PhysicalKey]:
        return self.fetched[str(schema_pk)]


class _BoundedLoader(yaml.SafeLoader):
    """quilt3's loader (libyaml's differs in details), with bounds on depth and on aliases.

    An alias counts as the value that it stands for: merge keys copy it, and error messages
    repeat it.
    """

    depth = 0
    expanded_characters = 0

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._anchored_characters: dict[str, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:  # noqa: ANN401
        """Compose a node, or raise ValueError if a bound is exceeded."""
        is_alias = self.check_event(yaml.AliasEvent)
        anchor = self.peek_event().anchor  # type: ignore[no-untyped-call]
        before = self.expanded_characters
        if is_alias and anchor in self.anchors:
            if anchor not in self._anchored_characters:
                raise ValueError(f"the alias *{anchor} is part of its own value")
            self.expanded_characters += self._anchored_characters[anchor]
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ValueError(f"it nests deeper than {MAX_DEPTH} levels")
        node = super().compose_node(parent, index)
        self.depth -= 1
        if not is_alias:
            self.expanded_characters += 1
            if isinstance(node, yaml.ScalarNode):
                self.expanded_characters += len(node.value)
            if anchor is not None:
                self._anchored_characters[anchor] = self.expanded_characters - before
        if self.expanded_characters > MAX_EXPANDED_CHARACTERS:
            raise ValueError(
                f"its aliases expand to more than {MAX_EXPANDED_CHARACTERS:,} characters"
            )
        return node


def _config_validator() -> Draft7Validator:
    schema = resources.files("quilt3.workflows").joinpath("config-1.schema.json").read_text("utf-8")
    return Draft7Validator(json.loads(schema))


@contextmanager
def _rejecting_config(uri: S3Uri, what: str, cpu_seconds: float) -> Iterator[None]:
    """Limit the CPU time of work on the rules, and reject the rules if it fails."""
    try:
        with cpu_limit(cpu_seconds):
            yield
    except CpuLimitExceeded:
        how = (
            f"{what}: checking takes more than {cpu_seconds:.1f} s of CPU time, because of its "
            "size or of patterns such as ^(a+)+$"
        )
        raise invalid_config(uri, how) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        said = printable(str(error.problem))[:MAX_SHOWN]
        how = f'{what}: its YAML is malformed{place}; the parser said "{said}"'
        raise invalid_config(uri, how) from error
    except (QuiltException, yaml.YAMLError, *UNEXPECTED) as error:
        message = printable(" ".join(str(error).split()).rstrip("."))[:MAX_SHOWN]
        raise invalid_config(uri, f"{what}: {message or type(error).__name__}") from error
