"""What the stub holds: buckets, with the versions of their objects and the open uploads."""

import bisect
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from threading import RLock

from tests.s3_stub import checksums
from tests.s3_stub.bodies import Body, Bytes
from tests.s3_stub.versions import Upload, Version

NULL = "null"
"""The version id of objects written while a bucket has no versioning."""


class Versioning(StrEnum):
    """The three states of a bucket."""

    OFF = ""
    ENABLED = "Enabled"
    SUSPENDED = "Suspended"


class Bucket:
    """A bucket. Tests write to it and read from it directly, without any request.

    Attributes:
        name: Its name.
        versioning: May be changed at any time, as S3's.
        region: Requests signed for another are redirected; None takes any.
        lifecycle: Rules of its lifecycle configuration, in XML; empty without one.
        hides_missing_keys: A missing key answers 403, as S3 does without ListBucket.
        uploads: The open multipart uploads, by id.
    """

    def __init__(self, name: str, versioning: Versioning, clock: Callable[[], float]) -> None:
        self.name = name
        self.versioning = versioning
        self.region: str | None = None
        self.lifecycle = ""
        self.hides_missing_keys = False
        self.uploads: dict[str, Upload] = {}
        self._clock = clock
        self._versions: dict[str, list[Version]] = {}
        self._keys: list[str] = []
        self._serial = 0
        self._lock = RLock()

    def put(
        self,
        key: str,
        body: bytes | str | Body = b"",
        *,
        stored: Iterable[str] | Mapping[str, str] = (checksums.DEFAULT_ALGORITHM,),
        checksum_type: str | None = None,
        part_sizes: Sequence[int] = (),
        etag: str | None = None,
        storage_class: str = "STANDARD",
        restored: bool | None = None,
        encryption: str = "AES256",
        metadata: Mapping[str, str] | None = None,
        system_metadata: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        last_modified: float | None = None,
    ) -> Version:
        """Write an object, as the bucket's versioning says.

        Args:
            key: The object's key.
            body: Its bytes, or a computed body.
            stored: The checksums to store: algorithms, or values by algorithm (right or wrong).
            checksum_type: Of those; without it what S3 would choose.
            part_sizes: As if written by a multipart upload with such parts.
            etag: Instead of the one that S3 would give.
            storage_class: Such as `GLACIER`.
            restored: Of an archived one, whether its restore is done; None: there is none.
            encryption: Such as `aws:kms`.
            metadata: User metadata.
            system_metadata: Headers such as `content-type`.
            tags: The tags.
            last_modified: Unix seconds; without it now.
        """
        data = body.encode() if isinstance(body, str) else body
        with self._lock:
            version = Version(
                self._new_version_id(),
                Bytes(data) if isinstance(data, bytes) else data,
                stored=stored,
                checksum_type=checksum_type,
                part_sizes=part_sizes,
                etag=etag,
                storage_class=storage_class,
                restored=restored,
                encryption=encryption,
                metadata=metadata,
                system_metadata=system_metadata,
                tags=tags,
                last_modified=self._clock() if last_modified is None else last_modified,
            )
            self._place(key, version)
        return version

    def get(self, key: str, version_id: str | None = None) -> Version | None:
        """A version; without an id the newest, None if that is a delete marker or missing."""
        versions = self.versions(key)
        if version_id is None:
            return versions[0] if versions and not versions[0].is_delete_marker else None
        return next((v for v in versions if v.version_id == version_id), None)

    def delete(self, key: str, version_id: str | None = None) -> Version | None:
        """Delete one version, or, without an id, what a plain DeleteObject would.

        Returns:
            The delete marker that was written, if any.
        """
        with self._lock:
            if version_id is not None or self.versioning is Versioning.OFF:
                self._remove(key, version_id or NULL)
                return None
            marker = Version(self._new_version_id(), None, stored=(), last_modified=self._clock())
            self._place(key, marker)
            return marker

    def versions(self, key: str) -> Sequence[Version]:
        """All versions and delete markers of a key, newest first."""
        return self._versions.get(key, ())

    def keys(self, prefix: str = "") -> list[str]:
        """The keys that a plain listing shows."""
        return [key for key in self.iterate(prefix) if self.get(key)]

    def iterate(self, prefix: str = "", start: str = "") -> Iterator[str]:
        """Every key with the prefix, from `start` (included) on, in S3's order."""
        index = bisect.bisect_left(self._keys, max(prefix, start))
        while index < len(self._keys) and self._keys[index].startswith(prefix):
            yield self._keys[index]
            index += 1

    def open_upload(
        self,
        key: str,
        algorithm: str | None,
        checksum_type: str,
        *,
        metadata: Mapping[str, str],
        system_metadata: Mapping[str, str],
        tags: Mapping[str, str],
    ) -> Upload:
        """Begin a multipart upload."""
        with self._lock:
            self._serial += 1
            upload = Upload(
                f"upload{self._serial:08d}",
                key,
                algorithm,
                checksum_type,
                metadata=metadata,
                system_metadata=system_metadata,
                tags=tags,
            )
            self.uploads[upload.upload_id] = upload
        return upload

    def _new_version_id(self) -> str:
        if self.versioning is not Versioning.ENABLED:
            return NULL
        self._serial += 1
        return f"e{self._serial:08d}.Qm3vL8sXd2RtUfKa"

    def _place(self, key: str, version: Version) -> None:
        if version.version_id == NULL:
            self._remove(key, NULL)
        if key not in self._versions:
            bisect.insort(self._keys, key)
            self._versions[key] = []
        # A new list: whoever iterates over the old one is not disturbed.
        self._versions[key] = [version, *self._versions[key]]

    def _remove(self, key: str, version_id: str) -> None:
        left = [v for v in self._versions.get(key, ()) if v.version_id != version_id]
        if left:
            self._versions[key] = left
        elif key in self._versions:
            del self._versions[key]
            del self._keys[bisect.bisect_left(self._keys, key)]


class Store:
    """All buckets of the stub.

    Attributes:
        buckets: By name.
        clock: Gives the time in Unix seconds, for `Date` and `Last-Modified`.
        copies_return_checksums: False makes UploadPartCopy answer without, as emulators do.
    """

    def __init__(self) -> None:
        self.buckets: dict[str, Bucket] = {}
        self.clock: Callable[[], float] = time.time
        self.copies_return_checksums = True

    def create_bucket(
        self,
        name: str,
        *,
        versioning: Versioning = Versioning.ENABLED,
        region: str | None = None,
    ) -> Bucket:
        """Make an empty bucket."""
        bucket = Bucket(name, versioning, self._now)
        bucket.region = region
        return self.add(bucket)

    def add(self, bucket: Bucket) -> Bucket:
        """Take in a bucket that somebody made."""
        self.buckets[bucket.name] = bucket
        return bucket

    def _now(self) -> float:
        # The clock may be replaced after a bucket was made.
        return self.clock()
