"""Plans a package without writing anything.

The steps are those of a job, up to the first that hashes or writes. A job ends at the first reason
to reject it; a plan continues and collects all reasons.
"""

from collections import Counter
from contextlib import suppress
from math import ceil
from types import TracebackType

import msgspec
from quilt_packager_runtime.aws.s3 import S3, ObjectBody
from quilt_packager_runtime.completeness.check import check_complete
from quilt_packager_runtime.errors import (
    EmptySource,
    Explanation,
    HeldForReview,
    Rejected,
    WorkflowViolations,
    name_some,
)
from quilt_packager_runtime.formats.manifest import Header, check_header, write_manifest
from quilt_packager_runtime.hashing.reuse import reuse_checksums
from quilt_packager_runtime.hashing.verification import Verification
from quilt_packager_runtime.large_jobs import hand_off
from quilt_packager_runtime.large_jobs.batch_checksums import MAX_MANIFEST_OBJECTS
from quilt_packager_runtime.large_jobs.shards import plan_shards
from quilt_packager_runtime.listing.inventory import Inventory
from quilt_packager_runtime.listing.source_listing import find_missing_parts, list_source
from quilt_packager_runtime.merging.carry import Origin, find_merge
from quilt_packager_runtime.packaging import OnProgress, read_previous
from quilt_packager_runtime.registry import publish
from quilt_packager_runtime.registry.ownership import find_refusal, find_replaced
from quilt_packager_runtime.registry.run_fields import keep_run_fields
from quilt_packager_runtime.requests.package_request import (
    PackageRequest,
    UnresolvedRequest,
    complete,
    note_missing_parts,
)
from quilt_packager_runtime.requests.resolve import check_buckets, resolve
from quilt_packager_runtime.settings import ChecksumAlgorithm, Settings
from quilt_packager_runtime.workflows import gate

from quilt_packager.contract import DEFAULT_MEMORY_MEBIBYTES
from quilt_packager.operations import formats
from quilt_packager.operations.deployment.known_metadata import find_lost
from quilt_packager.operations.deployment.messages import find_meant_folder
from quilt_packager.operations.plans.estimates import (
    INVOCATION_SECONDS,
    Estimate,
    count_upload_requests,
    estimate,
    hash_seconds,
)
from quilt_packager.operations.plans.plan import Checksums, Contents, Plan, Route
from quilt_packager.operations.plans.prices import price_batch_usd
from quilt_packager.operations.plans.sampling import SampledChecksums, sample_checksums

ENTRY_BYTES = 230
"""Size of a manifest line without its keys."""


class _Refusals:
    """Collects the errors that would end a job: `with refusals: …`."""

    def __init__(self) -> None:
        self.found: list[Explanation] = []

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Rejected):
            return False
        self.add(error)
        return True

    def add(self, error: Rejected) -> None:
        """Collect an error once."""
        if error.explanation not in self.found:
            self.found.append(error.explanation)

    def has(self, kind: type[Rejected]) -> bool:
        """Return True if an error of that class was collected."""
        return any(each.code == kind.__name__ for each in self.found)


class _Published(msgspec.Struct, frozen=True):
    """The published package: `latest`, its manifest's first bytes, and its number of pointers.

    `merged` is the origin of changes of another writer that the package is merged with.
    """

    latest: publish.Pointer
    manifest: ObjectBody | None
    pointers: int
    merged: Origin | None = None


async def plan(
    request: UnresolvedRequest,
    *,
    settings: Settings,
    s3: S3,
    exact: bool = False,
    memory_mib: int = DEFAULT_MEMORY_MEBIBYTES,
    on_progress: OnProgress = lambda _phase, _done, _total: None,
) -> Plan:
    """Plan the package of a request.

    Args:
        request: Packaging request.
        settings: Settings of the engine.
        s3: Client of S3 with the user's permissions, which may differ from those of the engine.
        exact: Query each object for its stored checksum instead of a sample.
        memory_mib: Memory of the engine's functions.
        on_progress: Called with the phase and its progress.

    Raises:
        Failed: S3 failed.
    """
    refusals = _Refusals()
    with refusals:
        check_buckets(request, settings)
    if refusals.found:  # send no request to a bucket that the engine does not use
        return _begin(complete(request, None), refusals)
    planner = _Planner(request, settings, refusals, exact=exact, memory_mib=memory_mib)
    return await planner.plan(s3, on_progress)


def _begin(request: PackageRequest, refusals: _Refusals) -> Plan:
    return Plan(
        source=str(request.source),
        sources=request.named_sources,
        registry=request.registry,
        package_name=request.package_name,
        refusals=tuple(refusals.found),
    )


class _Planner:
    """Takes the steps of a job, and records the results."""

    def __init__(
        self,
        request: UnresolvedRequest,
        settings: Settings,
        refusals: _Refusals,
        *,
        exact: bool,
        memory_mib: int,
    ) -> None:
        # As far as it is known without its metadata file.
        self._request = complete(request, None)
        self._unresolved = request
        self._settings = settings
        self._refusals = refusals
        self._exact = exact
        self._memory_mib = memory_mib
        self._sent: Counter[str] = Counter()
        self._sent_once: Counter[str] = Counter()
        self._notes: list[str] = []
        self._warnings: list[str] = []
        self._replaced: str | None = None
        self._replaced_changes: str | None = None

    async def plan(self, s3: S3, on_progress: OnProgress) -> Plan:
        # A job sends these requests as well.
        watched = s3.watched(lambda each: self._sent.update([each.operation]))
        refusals = self._refusals
        published: _Published | None = None
        resolved: PackageRequest | None = None
        header: Header | None = None
        with refusals:
            resolved = await resolve(self._unresolved, settings=self._settings, s3=watched)
            self._request = resolved
        self._sent_once = self._sent.copy()
        meant = await find_meant_folder(s3, self._unresolved)
        with refusals:
            published = await self._read_published(watched)
        if self._request.lacks_run_fields and published and published.manifest:
            self._request = keep_run_fields(self._request, published.manifest.data)
        request = self._request
        with Inventory(
            request.source, request.exclude, request.selection, request.numbered_sources
        ) as inventory:
            on_progress("listing", 0, None)
            with refusals:
                self._warnings += await list_source(
                    watched, inventory, lambda found: on_progress("listing", found, None)
                )
                await check_complete(watched, self._request, inventory)
            with refusals:
                if missing := await find_missing_parts(inventory):
                    self._request = note_missing_parts(request, missing)
            with refusals:
                await self._verify(watched, inventory)
            is_listed = inventory.totals()[0] > 0 or refusals.has(EmptySource)
            if resolved is not None and published is not None and is_listed:
                is_merged = published.merged is not None
                header = await self._check(watched, inventory, has_rules=not is_merged)
            plan = self._begin(published, header)
            if inventory.totals()[0] > 0:
                reused = await self._reuse(watched, inventory, published)
                route = await self._choose_route(inventory)
                found = await sample_checksums(
                    s3,
                    inventory,
                    self._settings,
                    exact=self._exact,
                    on_progress=lambda done: on_progress("asking", done, None),
                )
                plan = self._describe_objects(plan, inventory, found, reused)
                if header is not None and published is not None and not plan.refusals:
                    plan = await self._finish(plan, inventory, published, header)
                    plan = await self._estimate(plan, inventory, found, published, route)
        plan = msgspec.structs.replace(
            plan,
            meant=str(meant) if meant is not None else None,
            replaced=self._replaced,
            replaced_changes=self._replaced_changes,
            warnings=tuple(self._warnings),
        )
        notes = (*plan.dangers, *self._warnings, *self._notes)
        return msgspec.structs.replace(plan, notes=notes)

    async def _verify(self, s3: S3, inventory: Inventory) -> None:
        """Read the checksum lists of the sender, and compare what S3 has stored."""
        verification = await Verification.begin(s3, inventory, self._settings, self._request)
        lists = verification.lists
        self._warnings += [warning.rstrip(".") for warning in lists.warnings]
        if lists.keys:
            read = verification.bytes_to_read
            reading = f", and reads {formats.size(read)} for it" if read else ""
            self._notes.append(f"It compares the files of {name_some(lists.keys)}{reading}")

    def _package(self) -> publish.Package:
        return publish.Package(self._request.registry, self._request.package_name)

    async def _read_published(self, s3: S3) -> _Published:
        package = self._package()
        latest = await publish.read_latest(s3, package)
        publisher = publish.Publisher(s3, package, publish.Message.now(s3, latest))
        manifest = await read_previous(publisher, latest)
        merged: Origin | None = None
        if refusal := find_refusal(self._request, latest, manifest, self._settings):
            self._refusals.add(refusal)
        else:
            with self._refusals:
                merged = await self._note_foreign(s3, publisher, latest, manifest)
        return _Published(latest, manifest, len(await publish.list_pointers(s3, package)), merged)

    async def _note_foreign(
        self,
        s3: S3,
        publisher: publish.Publisher,
        latest: publish.Pointer,
        manifest: ObjectBody | None,
    ) -> Origin | None:
        """Note what happens to the changes of another writer, and return those to carry."""
        merge = await find_merge(
            s3, publisher, self._request, self._settings, latest=latest, previous=manifest
        )
        if merge is None:
            self._replaced = find_replaced(latest, manifest, publisher.message)
            if self._replaced is not None:
                await self._name_replaced(s3, publisher, latest, manifest)
            return None
        with merge:
            if changes := merge.describe():
                self._notes.append(
                    f"It carries {changes} of {merge.origin.revision}, unless their source has "
                    "changed; the rules of the registry are checked after hashing"
                )
        return merge.origin

    async def _name_replaced(
        self,
        s3: S3,
        publisher: publish.Publisher,
        latest: publish.Pointer,
        manifest: ObjectBody | None,
    ) -> None:
        """Name the changes that the package would replace, by requests that a job does not send."""
        sent = self._sent.copy()
        carrying = msgspec.structs.replace(self._request, on_foreign_revision="carry")
        with suppress(HeldForReview):
            merge = await find_merge(
                s3, publisher, carrying, self._settings, latest=latest, previous=manifest
            )
            if merge is not None:
                with merge:
                    self._replaced_changes = merge.name_changes() or None
        self._sent = sent

    async def _check(self, s3: S3, inventory: Inventory, *, has_rules: bool) -> Header:
        """Check the rules of the workflow, and make the header of the manifest."""
        request = self._request
        header = Header(
            request.metadata,
            request.commit_message,
            source=request.header_source,
            sources=request.named_sources,
        )
        with self._refusals:
            check_header(header)
        if not has_rules:
            return header
        with self._refusals:
            workflow = await gate.check(
                s3,
                request.registry,
                workflow=request.workflow,
                package_name=request.package_name,
                message=request.commit_message,
                metadata=request.metadata,
                entries=inventory.sizes(),
                entry_metadata=inventory.metadata,
            )
            return msgspec.structs.replace(header, workflow=workflow)
        return header

    def _begin(self, published: _Published | None, header: Header | None) -> Plan:
        self._warnings += [warning.rstrip(".") for warning in self._request.warnings]
        quarantine = self._settings.quarantine_registry
        if quarantine is not None and self._refusals.has(WorkflowViolations):
            self._notes.append(f"It would be quarantined in {quarantine}")
        record = header.workflow if header is not None else None
        lost: tuple[str, ...] = ()
        if header is not None and published is not None and published.manifest is not None:
            lost = find_lost(published.manifest.data, self._request.metadata)
        return msgspec.structs.replace(
            _begin(self._request, self._refusals),
            revision=published.pointers + 1 if published is not None else None,
            workflow=record["id"] if record is not None else None,
            metadata_lost=lost,
        )

    async def _reuse(self, s3: S3, inventory: Inventory, published: _Published | None) -> int:
        """Reuse the checksums of the last revision; return their number."""
        if published is None or published.latest.top_hash is None or published.manifest is None:
            return 0
        top_hash, first = published.latest.top_hash, published.manifest
        if published.merged is not None:
            top_hash, first = published.merged.base, published.merged.base_body
        manifest = self._package().manifest(top_hash)
        return await reuse_checksums(s3, manifest, inventory, settings=self._settings, first=first)

    def _describe_objects(
        self, plan: Plan, inventory: Inventory, found: SampledChecksums, reused: int
    ) -> Plan:
        for error in found.refused:
            self._refusals.add(error)
        if found.batched and not found.refused:
            self._notes.append(_note_batched(found, self._settings))
        elif found.archived and not found.refused:
            self._notes.append(_note_archived(found))
        objects, size_bytes = inventory.totals()
        largest_bytes = max(size for _, size in inventory.sizes())
        return msgspec.structs.replace(
            plan,
            refusals=tuple(self._refusals.found),
            contents=Contents(objects, size_bytes, largest_bytes, found.archived),
            checksums=Checksums(
                reusable=reused,
                stored=found.stored,
                computed=found.computed,
                computed_bytes=found.load.size_bytes,
                basis=found.basis,
                asked=found.asked,
            ),
        )

    async def _finish(
        self, plan: Plan, inventory: Inventory, published: _Published, header: Header
    ) -> Plan:
        """Compute the top hash if all checksums are known."""
        unhashed, _ = await inventory.unhashed_totals()
        if unhashed or published.merged is not None:
            return plan
        top_hash = write_manifest(header, inventory.entries(), lambda _written: None)
        unchanged = top_hash == published.latest.top_hash
        return msgspec.structs.replace(
            plan,
            top_hash=top_hash,
            unchanged=unchanged,
            revision=max(published.pointers, 1) if unchanged else published.pointers + 1,
        )

    async def _choose_route(self, inventory: Inventory) -> Route:
        """Choose the route as the job does when it begins."""
        settings = self._settings
        if not await hand_off.is_too_large(inventory, settings):
            return Route()
        objects, size_bytes = await inventory.unhashed_totals(settings.checksum_algorithms)
        if objects > settings.max_inline_objects:
            why = f"{objects:,} checksums to find, more than {settings.max_inline_objects:,}"
        else:
            most = formats.size(settings.max_inline_bytes)
            why = f"{formats.size(size_bytes)} to hash, more than {most}"
        return await self._enlarge(inventory, why)

    async def _enlarge(self, inventory: Inventory, why: str) -> Route:
        """Choose a large job if the engine has a state machine."""
        settings = self._settings
        if settings.state_machine_arn is None or settings.scratch_bucket is None:
            return Route(why=f"{why}, and the engine has no state machine")
        blocks = (
            block
            for archived in (True, False)
            async for block in inventory.unhashed(archived=archived)
        )
        shards = 0
        async for _ in plan_shards(
            blocks, max_objects=settings.max_shard_objects, max_bytes=settings.max_shard_bytes
        ):
            shards += 1
        return Route(is_large=True, why=why, shards=shards)

    async def _estimate(
        self,
        plan: Plan,
        inventory: Inventory,
        found: SampledChecksums,
        published: _Published,
        route: Route,
    ) -> Plan:
        """Estimate the cost, which may exceed one invocation."""
        objects, _ = inventory.totals()
        hashing = hash_seconds(found.heads, found.load)
        manifest_bytes = 0 if plan.unchanged else self._manifest_bytes(inventory)

        def cost(shards: int) -> Estimate:
            return estimate(
                objects=objects,
                requests=self._count(found, published, manifest_bytes, shards),
                hashing=hashing,
                shards=shards,
                memory_mib=self._memory_mib,
            )

        if found.batched and not route.is_large:
            route = await self._enlarge(inventory, "S3 Batch Operations hashes archived objects")
        result = cost(route.shards)
        if not route.is_large and not route.why:
            least, most = result.seconds
            if least > INVOCATION_SECONDS:
                route = await self._enlarge(inventory, "it would exceed one invocation")
                result = cost(route.shards)
            elif most > INVOCATION_SECONDS:
                self._notes.append("It may exceed one invocation, and continue as a large job")
        usd = result.usd + _price_batched_usd(found, self._settings)
        result = msgspec.structs.replace(result, usd=usd)
        return msgspec.structs.replace(plan, route=route, estimate=result)

    def _manifest_bytes(self, inventory: Inventory) -> int:
        objects, _ = inventory.totals()
        keys = sum(len(key) for key, _ in inventory.sizes())
        return objects * (ENTRY_BYTES + len(str(self._request.source))) + 2 * keys

    def _count(
        self, found: SampledChecksums, published: _Published, manifest_bytes: int, shards: int
    ) -> Counter[str]:
        """Count all requests of the job by name of the S3 operation."""
        requests = self._sent + found.load.requests()
        requests["HeadObject"] += found.heads
        requests["GetObjectAttributes"] += found.part_requests
        requests["GetObject"] += min(published.pointers, 1)
        if manifest_bytes:
            # The manifest, the permission to write `latest`, the two pointers, and the confirmation
            requests += count_upload_requests(manifest_bytes)
            requests["PutObject"] += 3
            for listing in ("ListObjectVersions", "ListObjectsV2"):
                requests[listing] += self._sent[listing]
        if shards:
            # The job starts again to publish. It writes and reads shards and results.
            again = self._sent - self._sent_once
            del again["ListObjectsV2"]  # only the second start lists pointers
            requests += again
            requests["PutObject"] += 2 * shards + 2
            requests["GetObject"] += 3 * shards + 2  # the message, and an end that is recorded
            requests["ListObjectsV2"] += ceil(shards / 1000)
        return requests


def _price_batched_usd(found: SampledChecksums, settings: Settings) -> float:
    """Compute the price of the jobs for archived objects: at most one for each algorithm."""
    jobs = ceil(found.batched / MAX_MANIFEST_OBJECTS) * len(settings.checksum_algorithms)
    return price_batch_usd(jobs=jobs, objects=found.batched)


def _note_batched(found: SampledChecksums, settings: Settings) -> str:
    """Describe the way of archived objects whose checksums S3 Batch Operations computes."""
    are = "object is" if found.batched == 1 else "objects are"
    usd = formats.usd(_price_batched_usd(found, settings))
    crc = ""
    if ChecksumAlgorithm.CRC64NVME in settings.checksum_algorithms:
        crc = "; those above 8 MiB get CRC64NVME, which quilt3 verifies from 7.2 on"
    return (
        f"{found.batched:,} archived {are} hashed by S3 Batch Operations without a restore, for "
        f"about {usd} and what S3 charges for the bytes; that takes hours, or up to a week in "
        f"GLACIER and DEEP_ARCHIVE, in addition to the estimated time{crc}"
    )


def _note_archived(found: SampledChecksums) -> str:
    """Say why archived objects do not prevent the package."""
    if found.restored:
        are = "object is" if found.restored == 1 else "objects are"
        return f"{found.restored:,} archived {are} restored, and will be read"
    if found.archived == 1:
        return "1 object is archived; its stored checksum is sufficient"
    return f"{found.archived:,} objects are archived; their stored checksums are sufficient"
