"""The props of an engine: what is refused of them, all at once, and what follows from them."""

from collections.abc import Sequence

from aws_cdk import Duration, Size
from aws_cdk import aws_s3 as s3
from quilt_packager_runtime.settings import ChecksumAlgorithm

from quilt_packager.limits import (
    MAX_VISIBILITY_SECONDS,
    CatalogUrl,
    ChecksumConcurrency,
    EngineName,
    EphemeralMebibytes,
    MaxConcurrency,
    MaxInlineMebibytes,
    MaxInlineObjects,
    MaxReceiveCount,
    MaxShardMebibytes,
    MaxShardObjects,
    MemoryMebibytes,
    TimeoutSeconds,
    find_violations,
)


def find_names(buckets: Sequence[s3.IBucket]) -> tuple[str, ...]:
    """The names of buckets.

    Args:
        buckets: The buckets.
    """
    return tuple(bucket.bucket_name for bucket in buckets)


def find_default_registry(
    sources: Sequence[s3.IBucket], registries: Sequence[s3.IBucket], chosen: s3.IBucket | None
) -> str | None:
    """Where packages go whose message names no registry; None: to the bucket of their source.

    Args:
        sources: The source buckets.
        registries: The registry buckets.
        chosen: The one that a prop names.
    """
    if chosen is not None:
        return chosen.bucket_name
    all_are_registries = set(find_names(sources)) <= set(find_names(registries))
    return None if all_are_registries else registries[0].bucket_name


def check_props(
    *,
    source_buckets: Sequence[s3.IBucket],
    registry_buckets: Sequence[s3.IBucket],
    default_registry: s3.IBucket | None,
    checksum_algorithms: Sequence[ChecksumAlgorithm],
    memory_size: int,
    timeout: Duration,
    ephemeral_storage_size: Size,
    visibility_timeout: Duration,
    max_concurrency: int,
    max_receive_count: int,
    max_inline_objects: int,
    max_inline_size: Size,
    max_shard_objects: int,
    max_shard_size: Size,
    checksum_concurrency: int,
    quarantine_registry: s3.IBucket | None,
    catalog_url: str | None,
    engine_name: str | None,
) -> None:
    """Refuse props that no engine could work with.

    Raises:
        ValueError: All such are listed.
    """
    required = {
        "source_buckets": source_buckets,
        "registry_buckets": registry_buckets,
        "checksum_algorithms": checksum_algorithms,
    }
    violations = [
        f"{name} is empty: name at least one" for name, given in required.items() if not given
    ]
    if default_registry and default_registry.bucket_name not in find_names(registry_buckets):
        violations.append(f"default_registry is {default_registry.node.path}: no registry bucket")
    if quarantine_registry and quarantine_registry.bucket_name in find_names(registry_buckets):
        violations.append(
            f"quarantine_registry is {quarantine_registry.node.path}: a registry bucket, where "
            "refused packages would take the place of good ones"
        )
    timeout_seconds = int(timeout.to_seconds())
    visibility_seconds = int(visibility_timeout.to_seconds())
    violations += find_violations(
        {
            "memory_size": (memory_size, MemoryMebibytes),
            "timeout, in seconds,": (timeout_seconds, TimeoutSeconds),
            "ephemeral_storage_size, in MiB,": (
                int(ephemeral_storage_size.to_mebibytes()),
                EphemeralMebibytes,
            ),
            "max_concurrency": (max_concurrency, MaxConcurrency),
            "max_receive_count": (max_receive_count, MaxReceiveCount),
            "max_inline_objects": (max_inline_objects, MaxInlineObjects),
            "max_inline_size, in MiB,": (int(max_inline_size.to_mebibytes()), MaxInlineMebibytes),
            "max_shard_objects": (max_shard_objects, MaxShardObjects),
            "max_shard_size, in MiB,": (int(max_shard_size.to_mebibytes()), MaxShardMebibytes),
            "checksum_concurrency": (checksum_concurrency, ChecksumConcurrency),
            "catalog_url": (catalog_url, CatalogUrl | None),
            "engine_name": (engine_name, EngineName | None),
        }
    )
    if not timeout_seconds <= visibility_seconds <= MAX_VISIBILITY_SECONDS:
        violations.append(
            f"visibility_timeout is {visibility_seconds} s: it must be at least the timeout, "
            f"{timeout_seconds} s, and at most 12 hours"
        )
    if violations:
        raise ValueError("A PackagingEngine cannot have these props: " + "; ".join(violations))
