"""The rules of a registry's workflows, once their documents are here; quilt3 decides.

Ours are the bounds on what the documents' authors may have written, all violations instead of the
first, and telling broken rules from broken packages. Importing this imports quilt3, which takes
longer than everything else together.
"""

import json
import re
from collections.abc import Iterable, Iterator
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
    Findings,
    describe_config_error,
    describe_metadata_error,
)

MAX_SHOWN = 1000
"""How many characters of a library's own words are shown."""

# What checking may cost in CPU time: ten times what it does cost, while catastrophic backtracking
# takes hours.
CPU_SECONDS = 0.5
CPU_SECONDS_PER_BYTE = 10e-6
CPU_SECONDS_PER_ENTRY = 1e-3
MAX_SLICE_SECONDS = 4
"""Less than what is kept of an invocation's time: its end is heard between slices."""

ENTRIES_AT_ONCE = 1000

# What the libraries let through, beside their own errors, where documents surprise them.
SURPRISES = (
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
    """What is checked.

    Attributes:
        package_name: The package's name.
        message: The commit message.
        metadata: The metadata, as the manifest's header will have it.
        entries: Logical key and size in bytes of each entry, in the manifest's order; read only
            if there are rules for entries.
    """

    package_name: str
    message: str
    metadata: dict[str, Any] | None
    entries: Iterable[tuple[str, int]]


class Rules:
    """The rules of a registry.

    Args:
        config: The parsed and valid configuration.
        uri: The version of it, which manifests record.
    """

    def __init__(self, config: dict[str, Any], uri: S3Uri) -> None:
        """Wait for the schemas."""
        self._uri = uri
        self._config = _FetchedConfig(config, PhysicalKey(uri.bucket, uri.key, uri.version_id))
        self._schema_bytes = 0

    @classmethod
    def read(cls, data: bytes, uri: S3Uri) -> Self:
        """Read a configuration.

        Args:
            data: Its YAML.
            uri: The version that was read.

        Raises:
            InvalidWorkflowConfig: It is not what quilt3 takes.
        """
        with _broken_if_surprising(uri, "the configuration", len(data) * CPU_SECONDS_PER_BYTE):
            config = yaml.load(data.decode(), _BoundedLoader)  # noqa: S506 - it is a SafeLoader
            findings = Findings()
            findings.add(_config_validator().iter_errors(config), describe_config_error)
            if findings.count:
                raise broken(uri, f"the configuration: {findings}")
            version = ConfigDataVersion.parse(WorkflowConfig.get_config_data_version_str(config))
            if not WorkflowConfig.is_supported_config_data_version(version):
                raise ValueError(f"version {quote(str(version))} is newer than this quilt3 knows")
        return cls(config, uri)

    def choose(self, workflow: str | msgspec.UnsetType | None) -> str | None:
        """Which workflow a package has to pass.

        Args:
            workflow: The one that was asked for, None for none, UNSET for the default.

        Returns:
            None for none.

        Raises:
            WorkflowViolations: There is no such workflow, or there has to be one.
            InvalidWorkflowConfig: The default workflow does not exist.
        """
        config = self._config.config
        name: str | None = config.get("default_workflow") if workflow is msgspec.UNSET else workflow
        known = config["workflows"]
        if name is None and config.get("is_workflow_required", True):
            happened = "The package needs a workflow, and none is chosen."
        elif name is not None and name not in known:
            if workflow is msgspec.UNSET:
                raise broken(self._uri, f"default_workflow {quote(name)} is not in workflows")
            happened = f"There is no workflow {quote(name)}."
        else:
            return name
        raise WorkflowViolations(
            happened,
            why=f"The registry's workflows are those of {self._uri}.",
            remedy=f"Set workflow in the message to one of {name_some(sorted(map(str, known)))}.",
        )

    def schemas_of(self, workflow: str | None) -> dict[str, S3Uri]:
        """The schemas that a workflow needs: where they are, by their ids.

        Raises:
            InvalidWorkflowConfig: They are not defined, or are not in S3.
        """
        rules = self._config.config["workflows"][workflow] if workflow is not None else {}
        ids = [rules[kind] for kind in ("metadata_schema", "entries_schema") if rules.get(kind)]
        with _broken_if_surprising(self._uri, "schemas"):
            keys = {each: self._config.get_pk_for_schema_id(each) for each in ids}
        return {each: S3Uri(key.bucket, key.path, key.version_id) for each, key in keys.items()}

    def add_schema(self, schema_id: str, data: bytes, version_id: str | None) -> None:
        """Take a schema that `schemas_of` asked for.

        Args:
            schema_id: Its id.
            data: Its JSON.
            version_id: The version that was read.
        """
        key = self._config.get_pk_for_schema_id(schema_id)
        self._config.fetched[str(key)] = data, PhysicalKey(key.bucket, key.path, version_id)
        self._schema_bytes += len(data)

    async def check(self, workflow: str | None, subject: Subject) -> dict[str, Any]:
        """Check a package, when all schemas are there.

        Args:
            workflow: What `choose` returned.
            subject: The package.

        Returns:
            The record of it for the manifest's header.

        Raises:
            WorkflowViolations: The package breaks the rules; with all violations.
            InvalidWorkflowConfig: The rules are broken.
        """
        findings = Findings()
        size_bytes = self._schema_bytes + len(json.dumps(subject.metadata))
        document_seconds = size_bytes * CPU_SECONDS_PER_BYTE
        with _broken_if_surprising(self._uri, "the rules", document_seconds):
            validator = self._config.get_workflow_validator(workflow)
            for validate, value in (
                (validator.validate_message, subject.message),
                (validator.validate_name, subject.package_name),
            ):
                try:
                    validate(value)
                except WorkflowValidationError as error:
                    findings.add([error], str)
            if validator.metadata_validator is not None:
                errors = validator.metadata_validator.iter_errors(subject.metadata)
                findings.add(errors, describe_metadata_error)
        if validator.entries_validator is not None:
            await self._check_entries(validator.entries_validator, subject.entries, findings)
        if findings.count:
            raise WorkflowViolations(
                f"The package breaks {findings.count} rules of "
                f"{'the registry' if workflow is None else 'workflow ' + quote(workflow)}: "
                f"{findings}.",
                why=f"The registry checks its packages by {self._uri}.",
                remedy="Correct the package or the message, or choose another workflow.",
            )
        record: dict[str, Any] = validator.data_to_store
        return record

    async def _check_entries(
        self, validator: Draft7Validator, entries: Iterable[tuple[str, int]], findings: Findings
    ) -> None:
        """Check entries in slices: each has a limit of its own, and others run in between."""
        what = "entries_schema"
        schema_seconds = self._schema_bytes * CPU_SECONDS_PER_BYTE
        with _broken_if_surprising(self._uri, what, schema_seconds):
            rules = EntryRules(validator)
        async for taken in slices(entries, ENTRIES_AT_ONCE):
            seconds = schema_seconds + len(taken) * CPU_SECONDS_PER_ENTRY
            with _broken_if_surprising(self._uri, what, min(seconds, MAX_SLICE_SECONDS)):
                rules.take(taken, findings)
        rules.end(findings)


def broken(uri: S3Uri, how: str) -> InvalidWorkflowConfig:
    """The error for rules that cannot be used.

    Args:
        uri: The registry's configuration.
        how: What is wrong with it, as a clause.
    """
    return InvalidWorkflowConfig(
        f"The registry's workflow rules at {uri} cannot be used: {how}.",
        why="No package is published unchecked.",
        remedy="Ask the registry's owner to correct them.",
    )


class _FetchedConfig(WorkflowConfig):  # type: ignore[misc] # quilt3 has no types
    """quilt3's, with schemas that were fetched before instead of by boto3."""

    def __init__(self, config: dict[str, Any], physical_key: PhysicalKey) -> None:
        super().__init__(config, physical_key)
        self.fetched: dict[str, tuple[bytes, PhysicalKey]] = {}

    def load_schema(self, schema_pk: PhysicalKey) -> tuple[bytes, PhysicalKey]:
        return self.fetched[str(schema_pk)]


class _BoundedLoader(yaml.SafeLoader):
    """quilt3's loader (libyaml's differs in small ways), for documents that do not expand."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:  # noqa: ANN401
        """Compose a node, unless it stands for more than is written, or lies too deep."""
        if self.check_event(yaml.AliasEvent):
            raise ValueError("it has aliases (*name); write out what they stand for")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ValueError(f"it nests deeper than {MAX_DEPTH} levels")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _config_validator() -> Draft7Validator:
    schema = resources.files("quilt3.workflows").joinpath("config-1.schema.json").read_text("utf-8")
    return Draft7Validator(json.loads(schema))


@contextmanager
def _broken_if_surprising(uri: S3Uri, what: str, document_seconds: float = 0) -> Iterator[None]:
    try:
        with cpu_limit(CPU_SECONDS + document_seconds):
            yield
    except CpuLimitExceeded:
        how = f"{what}: checking takes too long, which patterns such as ^(a+)+$ can cause"
        raise broken(uri, how) from None
    except (QuiltException, yaml.YAMLError, *SURPRISES) as error:
        said = printable(" ".join(str(error).split()).rstrip("."))[:MAX_SHOWN]
        raise broken(uri, f"{what}: {said or type(error).__name__}") from error
