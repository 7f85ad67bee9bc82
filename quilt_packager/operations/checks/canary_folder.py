"""The folder of a canary: a few files in a folder of its own, and their removal."""

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.registry.publish import MANIFESTS, NAMED_PACKAGES
from quilt_packager_runtime.requests.events import CRATE_NAME
from quilt_packager_runtime.settings.upload_settings import UploadSettings

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client
    from types_boto3_s3.type_defs import ObjectIdentifierTypeDef

LISTS = 3
"""Number of files that list others: a run's outputs, checksums, and the crate."""

MIN_FILES = 1 + LISTS
MAX_FILES = 200
"""Maximum number of files to reach the threshold of uploads."""

DELETED_AT_ONCE = 1000
"""Maximum number of objects in one request to delete them."""

CRATE = {
    "@context": "https://w3id.org/ro/crate/1.1/context",
    "@graph": [
        {
            "@id": CRATE_NAME,
            "@type": "CreativeWork",
            "about": {"@id": "./"},
            "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        },
        {"@id": "./", "@type": "Dataset"},
    ],
}
"""A crate without values for the name of a package."""


class CanaryFolder(NamedTuple):
    """A folder that no other upload belongs to.

    Attributes:
        folder: The folder.
        id: Its last component, which is unique.
        files: Number of files, including the crate and the lists.
    """

    folder: SourceFolder
    id: str
    files: int


def choose_folder(below: SourceFolder, uploads: Sequence[UploadSettings]) -> CanaryFolder | None:
    """Choose a folder that is packaged as a whole by every source of uploads.

    Args:
        below: Folder that will contain it.
        uploads: Settings of the sources of uploads.

    Returns:
        The folder; None if uploads would be packaged as a folder that contains other files, or if
        the sources disagree.
    """
    canary_id = f"canary-{uuid.uuid4().hex[:12]}"
    depth = below.prefix.count("/") + 1
    depths = {each.prefix_depth for each in uploads} or {depth}
    if len(depths) > 1 or (wanted := depths.pop()) < depth:
        return None
    parents = "canary/" * (wanted - depth)
    folder = SourceFolder(below.bucket, f"{below.prefix}{parents}{canary_id}/")
    most = max((each.threshold_event_count for each in uploads), default=0)
    return CanaryFolder(folder, canary_id, max(MIN_FILES, min(most, MAX_FILES)))


def upload(s3: "S3Client", canary: CanaryFolder) -> None:
    """Upload the files, the lists that event sources may require, and last the crate."""
    bucket, prefix = canary.folder.bucket, canary.folder.prefix
    count = canary.files - LISTS
    files = {f"{number:03}.txt": f"{canary.id} {number}\n".encode() for number in range(count)}
    checksums = [
        f"{hashlib.md5(body, usedforsecurity=False).hexdigest()}  {name}\n"
        for name, body in files.items()
    ]
    files["logs/outputs.json"] = b"{}"
    files["md5sum.txt"] = "".join(checksums).encode()
    files[CRATE_NAME] = msgspec.json.encode(CRATE)
    for path, body in files.items():
        s3.put_object(Bucket=bucket, Key=prefix + path, Body=body)


def remove(
    s3: "S3Client", canary: CanaryFolder, packages: Iterable[tuple[str, str, str]]
) -> list[str]:
    """Remove the files and the packages of a canary.

    Args:
        s3: Client.
        canary: The folder.
        packages: Registry, name and top hash of each package; those without the id are kept.

    Returns:
        URIs of the prefixes that could not be removed.
    """
    from botocore.exceptions import ClientError

    prefixes = {(canary.folder.bucket, canary.folder.prefix)}
    for registry, name, top_hash in packages:
        if canary.id in name:
            prefixes |= {(registry, f"{NAMED_PACKAGES}{name}/"), (registry, MANIFESTS + top_hash)}
    kept = []
    for bucket, prefix in sorted(prefixes):
        try:
            _remove_prefix(s3, bucket, prefix)
        except ClientError:
            kept.append(f"s3://{bucket}/{prefix}")
    return kept


def _remove_prefix(s3: "S3Client", bucket: str, prefix: str) -> None:
    versions = list(_list_versions(s3, bucket, prefix))
    for start in range(0, len(versions), DELETED_AT_ONCE):
        some = versions[start : start + DELETED_AT_ONCE]
        answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": some, "Quiet": True})
        if answer.get("Errors"):
            raise s3.exceptions.ClientError(
                {"Error": {"Code": answer["Errors"][0].get("Code", "")}}, "DeleteObjects"
            )


def _list_versions(s3: "S3Client", bucket: str, prefix: str) -> "Iterator[ObjectIdentifierTypeDef]":
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix)
    for page in pages:
        for each in (*page.get("Versions", []), *page.get("DeleteMarkers", [])):
            yield {"Key": each["Key"], "VersionId": each["VersionId"]}
