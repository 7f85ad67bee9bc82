"""The metadata of a folder that a person packages again.

The event of a run names the run's metadata; a person often names the folder alone. The metadata is
then that of the RO-Crate in the folder, or of the HealthOmics run that the newest revision names.
Nothing that is optional here stops a message: what cannot be read is a warning.
"""

import asyncio
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import msgspec
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import (
    BucketNotAllowed,
    InvalidMessage,
    InvalidMetadata,
    PackagerError,
    Rejected,
    join_some,
    printable,
)
from quilt_packager_runtime.formats.json_documents import MAX_METADATA_BYTES
from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.registry.publish import Package, read_latest
from quilt_packager_runtime.registry.run_fields import read_metadata
from quilt_packager_runtime.requests.events import OMICS_STATUSES, OmicsRun
from quilt_packager_runtime.requests.messages import (
    ON_FOREIGN_REVISION,
    read_fields,
    with_fields,
)
from quilt_packager_runtime.requests.omics_metadata import RUN_FIELDS
from quilt_packager_runtime.requests.package_request import (
    PackageRequest,
    UnresolvedRequest,
    complete,
    crate_in,
)
from quilt_packager_runtime.requests.resolve import check_buckets, resolve
from quilt_packager_runtime.settings import Settings

from quilt_packager.operations import formats
from quilt_packager.operations.deployment.messages import check
from quilt_packager.operations.errors import NoPackageRequested

LIMIT_SECONDS = 10
"""Maximum time to look for metadata."""

HEADER_BYTES = MAX_METADATA_BYTES + 100_000
"""Enough of a manifest for its header."""

EVENT_FIELDS = {
    "runName": "name",
    "workflowId": "workflow_id",
    "workflowName": "workflow_name",
}
"""Fields of an event of HealthOmics, and their names in the metadata."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A message with the metadata that is known of its folder.

    Attributes:
        body: Message, filled in if metadata was found.
        request: Its request.
        found: Origin of the metadata that was filled in, for people; None without it.
        fields: Fields of a message with this metadata.
        lost: Names of fields that the newest revision has, and this one would not.
        warnings: Sentences about what could not be read.
    """

    body: str
    request: UnresolvedRequest | OmicsRun
    found: str | None = None
    fields: dict[str, Any] = {}
    lost: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def describe_lost(names: Sequence[str]) -> str:
    """Describe the fields that the newest revision has, and another would not, without values.

    Example:
        >>> describe_lost(["run_id", "tools"])
        'The newest revision has 2 metadata fields that this one would not have: run_id, tools'
    """
    count = formats.count(len(names), "metadata field")
    named = join_some([printable(name) for name in names], len(names))
    return f"The newest revision has {count} that this one would not have: {named}"


def find_lost(newest: bytes, names: Collection[str] | None) -> tuple[str, ...]:
    """Return the names of metadata fields that only the newest revision has.

    Args:
        newest: First bytes of its manifest.
        names: Names of the fields of the other metadata.
    """
    return tuple(name for name in read_metadata(newest) if name not in (names or ()))


async def find_metadata(s3: S3, body: str, settings: Settings, *, for_form: bool = False) -> Known:
    """Find the metadata of a message's folder, unless the message has its own.

    Requests: GETs of the crate, of `latest`, and of the first bytes of its manifest.

    Args:
        s3: S3, with the permissions of the user.
        body: Message body.
        settings: Settings of the engine.
        for_form: Find fields of a form: the crate is only looked for, and a run has no event.

    Raises:
        InvalidMessage: The message is not valid.
        NoPackageRequested: The message requests no package.
    """
    request = check(body, settings)
    known = Known(body=body, request=request)
    if isinstance(request, OmicsRun):
        return known
    with suppress(BucketNotAllowed):
        check_buckets(request, settings)
        return await _Search(s3, settings, known, request, for_form=for_form).run()
    return known


class _Search:
    """The search for the metadata of one message."""

    def __init__(
        self,
        s3: S3,
        settings: Settings,
        known: Known,
        request: UnresolvedRequest,
        *,
        for_form: bool,
    ) -> None:
        self._s3 = s3
        self._settings = settings
        self._known = known
        self._request = request
        self._for_form = for_form
        self._warnings: list[str] = []

    async def run(self) -> Known:
        """Search, and return what is known when the time is over."""
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                await (self._look_for_crate() if self._for_form else self._run())
        except PackagerError as error:
            self._warn(error.happened)
        except TimeoutError:
            self._warn(f"S3 did not answer in {LIMIT_SECONDS} s.")
        return msgspec.structs.replace(self._known, warnings=tuple(self._warnings))

    async def _look_for_crate(self) -> None:
        uri = crate_in(self._request.source)
        with self._warning():
            if await self._s3.read_if_exists(uri, max_bytes=1) is not None:
                self._fill_in_crate()
                return
        await self._find_run(complete(self._request, None))

    async def _run(self) -> None:
        resolved: PackageRequest | None = None
        is_open = self._lacks_metadata
        with self._warning():
            resolved = await (self._read_crate() if is_open else self._resolve(self._request))
        if resolved is None and not is_open:
            return  # its metadata is unknown
        await self._find_run(resolved or complete(self._request, None))

    @property
    def _lacks_metadata(self) -> bool:
        request = self._request
        if request.trigger.kind != "message" or request.sources:
            return False  # the metadata of one of several sources is not that of the package
        return request.metadata is None and request.metadata_file is None

    async def _resolve(self, request: UnresolvedRequest) -> PackageRequest:
        return await resolve(request, settings=self._settings, s3=self._s3)

    async def _read_crate(self) -> PackageRequest | None:
        """Fill in the crate of the folder if it is usable."""
        with_crate = check(with_fields(self._known.body, self._crate_fields), self._settings)
        if isinstance(with_crate, OmicsRun):
            return None
        try:
            resolved = await self._resolve(with_crate)
        except InvalidMetadata as error:
            if error.is_missing:
                return None
            raise
        self._fill_in_crate()
        return resolved

    @property
    def _crate_fields(self) -> dict[str, Any]:
        uri = crate_in(self._request.source)
        return {"metadata_uri": str(uri), "metadata_format": "ro-crate"}

    def _fill_in_crate(self) -> None:
        fields = self._crate_fields
        found = f"{fields['metadata_uri']} (RO-Crate found in the folder)"
        self._fill_in(with_fields(self._known.body, fields), fields, found)

    async def _find_run(self, wanted: PackageRequest) -> None:
        """Fill in the metadata of a run, and compare the metadata with the newest revision."""
        newest = b""
        with self._warning():
            newest = await self._read_newest(wanted)
        names: Collection[str] | None = wanted.metadata
        run = read_metadata(newest)
        if names is None and self._lacks_metadata and _is_run_of(run, self._request.source):
            self._fill_in_run(run)
            names = RUN_FIELDS
        self._known = msgspec.structs.replace(self._known, lost=find_lost(newest, names))

    async def _read_newest(self, wanted: PackageRequest) -> bytes:
        package = Package(wanted.registry, wanted.package_name)
        latest = await read_latest(self._s3, package)
        if latest.top_hash is None:
            return b""
        manifest = package.manifest(latest.top_hash)
        body = await self._s3.read_if_exists(manifest, max_bytes=HEADER_BYTES)
        return body.data if body else b""

    def _fill_in_run(self, newest: Mapping[str, Any]) -> None:
        """Send the event of the run again; its fields, if the message has more than a folder."""
        run = f"HealthOmics run {printable(newest['run_id'])}"
        fields = {"metadata": {name: newest[name] for name in RUN_FIELDS if name in newest}}
        event = self._make_event(newest)
        if event is not None:
            self._fill_in(event, fields, f"{run} (its event is sent again)")
            return
        count = formats.count(len(fields["metadata"]), "field")
        found = f"{count} of {run} (from the newest revision)"
        self._fill_in(with_fields(self._known.body, fields), fields, found)

    def _make_event(self, newest: Mapping[str, Any]) -> str | None:
        """Make the event of a run; None if the engine would not package the same folder for it."""
        given = read_fields(self._known.body)
        wanted = {name for name, value in given.items() if value is not None}
        if self._for_form or wanted - {"source_prefix", ON_FOREIGN_REVISION}:
            return None
        region = self._s3.region_of(self._request.source.bucket)
        detail = {
            "arn": f"arn:aws:omics:{region}::run/{newest['run_id']}",
            "status": newest["run_status"],
            "runOutputUri": newest["output_uri"],
            **{name: newest[known] for name, known in EVENT_FIELDS.items() if known in newest},
        }
        own = {name: given[name] for name in wanted & {ON_FOREIGN_REVISION}}
        kind = {"source": "aws.omics", "detail-type": "Run Status Change"}
        event = json.dumps({**kind, "detail": detail, **own}, ensure_ascii=False)
        with suppress(InvalidMessage, NoPackageRequested):
            run = check(event, self._settings)
            if isinstance(run, OmicsRun) and run.source == self._request.source:
                return event
        return None

    def _fill_in(self, body: str, fields: dict[str, Any], found: str) -> None:
        request = check(body, self._settings)
        self._known = Known(body=body, request=request, found=found, fields=fields)

    @contextmanager
    def _warning(self) -> Iterator[None]:
        """Turn a denied or malformed input into a warning: the rest may be found."""
        try:
            yield
        except Rejected as error:
            self._warn(error.happened)

    def _warn(self, reason: str) -> None:
        self._warnings.append(f"The folder's metadata was not looked up. {reason}")


def _is_run_of(metadata: Mapping[str, Any], folder: SourceFolder) -> bool:
    """Return whether metadata is that of the HealthOmics run that wrote the folder."""
    texts = [metadata.get(name) for name in ("run_id", "run_status", "output_uri")]
    if not all(isinstance(text, str) for text in texts) or texts[1] not in OMICS_STATUSES:
        return False
    # HealthOmics escapes nothing in its URIs.
    uris = {str(folder), f"s3://{folder.bucket}/{folder.prefix}"}
    return str(texts[2]).rstrip("/") in {uri.rstrip("/") for uri in uris}
