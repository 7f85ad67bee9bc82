"""The registry's workflow gate: checks a package before any of its bytes is hashed.

Most registries have no workflows, so the rules, and quilt3 with them, are imported on demand.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import UNSET, UnsetType

from quilt_packager_runtime.aws.s3 import S3, ObjectBody
from quilt_packager_runtime.errors import (
    BadRequest,
    InvalidObjectState,
    NoSuchBucket,
    WorkflowViolations,
    quote,
)
from quilt_packager_runtime.formats.names import check_bucket
from quilt_packager_runtime.formats.objects import S3Uri

CONFIG_KEY = ".quilt/workflows/config.yml"

MAX_DOCUMENT_BYTES = 1_000_000
"""Maximum size of a configuration or a schema."""


async def check(  # noqa: PLR0913 - each is a part of the package that rules are about
    s3: S3,
    registry: str,
    *,
    workflow: str | UnsetType | None,
    package_name: str,
    message: str,
    metadata: dict[str, Any] | None,
    entries: Iterable[tuple[str, int]],
    entry_metadata: Mapping[str, dict[str, Any]] | None = None,
) -> dict[str, Any] | None:
    """Check a package by the rules of its registry.

    The configuration and its schemas are read with the packager's own permissions: the registry's
    owner wrote them, not the message's sender. In the main thread, checking takes bounded CPU time
    whatever patterns the rules have; see `cpu_limits`.

    Args:
        s3: S3 client.
        registry: Bucket of the registry.
        workflow: Requested workflow, None for none, UNSET for the registry's default.
        package_name: Name of the package.
        message: Commit message.
        metadata: Metadata of the manifest's header.
        entries: Logical key and size in bytes of each entry, in the manifest's order. Not consumed
            if no rule applies to entries.
        entry_metadata: Metadata of entries, by logical keys; None if none has any.

    Returns:
        The record of the workflow for the manifest's header; None without workflows.

    Raises:
        WorkflowViolations: The package breaks the rules, with all violations; or the message
            chooses a workflow, "none" included, and the registry has no workflows, as in quilt3.
        InvalidWorkflowConfig: The rules are not valid.
        AccessDenied: The packager may not read the rules.
    """
    config = await s3.read_if_exists(S3Uri(registry, CONFIG_KEY), max_bytes=MAX_DOCUMENT_BYTES + 1)
    if config is None:
        if workflow is UNSET:
            return None
        wanted = "no workflow" if workflow is None else f"the workflow {quote(workflow)}"
        raise WorkflowViolations(
            f"The message chooses {wanted}.",
            why=f"The registry {registry} has no workflows: {CONFIG_KEY} does not exist.",
            remedy="Remove workflow from the message, or configure workflows.",
        )
    from quilt_packager_runtime.workflows.rules import (  # noqa: PLC0415 - quilt3 takes half a second
        Rules,
        Subject,
        invalid_config,
    )

    uri = S3Uri(registry, CONFIG_KEY, config.version_id)
    if config.size_bytes > MAX_DOCUMENT_BYTES:
        raise invalid_config(uri, f"it has more than {MAX_DOCUMENT_BYTES:,} bytes")
    rules = Rules.read(config.data, uri)
    chosen = rules.choose(workflow)
    for schema_id, schema_uri in rules.schemas_of(chosen).items():
        try:
            schema = await _read_schema(s3, schema_uri)
        except ValueError as error:
            raise invalid_config(uri, f"the schema {schema_uri} {error}") from error
        rules.add_schema(schema_id, schema.data, schema.version_id)
    subject = Subject(package_name, message, metadata, entries, entry_metadata or {})
    return await rules.check(chosen, subject)


async def _read_schema(s3: S3, uri: S3Uri) -> ObjectBody:
    try:
        check_bucket(uri.bucket)
    except ValueError as error:
        raise ValueError(f"cannot be read: {error}") from error
    if not uri.key:
        raise ValueError("is a bucket, not an object")
    try:
        schema = await s3.read_if_exists(uri, max_bytes=MAX_DOCUMENT_BYTES + 1)
    except (NoSuchBucket, BadRequest, InvalidObjectState) as error:
        raise ValueError(f"cannot be read: {error.happened}") from error
    if schema is None:
        raise ValueError("does not exist")
    if schema.size_bytes > MAX_DOCUMENT_BYTES:
        raise ValueError(f"has more than {MAX_DOCUMENT_BYTES:,} bytes")
    return schema
