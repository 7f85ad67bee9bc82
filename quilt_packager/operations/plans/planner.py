"""What a message would come to, found out without writing anything.

The steps are those of the runtime's story, up to the first that would hash or write. Where the
story ends at the first reason to reject, a plan goes on to find the others.
"""

from collections import Counter
from math import ceil
from types import TracebackType

import msgspec
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import EmptySource, Explanation, Rejected, WorkflowViolations
from quilt_packager_runtime.formats.manifest import Header, check_header, write_manifest
from quilt_packager_runtime.hashing.reuse import reuse_checksums
from quilt_packager_runtime.large_jobs import hand_off
from quilt_packager_runtime.large_jobs.shards import Job, plan_shards
from quilt_packager_runtime.listing.inventory import Inventory
from quilt_packager_runtime.listing.source_listing import list_source
from quilt_packager_runtime.metadata.package_metadata import PackageMetadata, describe, name_request
from quilt_packager_runtime.packaging import OnProgress, check_buckets
from quilt_packager_runtime.registry import publish
from quilt_packager_runtime.requests.messages import PackageRequest
from quilt_packager_runtime.settings import Settings
from quilt_packager_runtime.workflows import gate

from quilt_packager.operations import formats
from quilt_packager.operations.deployment.configurations import MEMORY_MIB
from quilt_packager.operations.plans.estimates import (
    INVOCATION_SECONDS,
    Estimate,
    estimate,
    hash_seconds,
    put_file,
)
from quilt_packager.operations.plans.plan import Checksums, Contents, Plan, Route
from quilt_packager.operations.plans.sampling import Survey, sample_checksums

ENTRY_BYTES = 230
"""What a line of a manifest has beside its keys."""


class _Refusals:
    """Goes on where a job would end, and keeps the reason: `with refusals: …`."""

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
        """Keep a reason, but once."""
        if error.explanation not in self.found:
            self.found.append(error.explanation)

    def has(self, kind: type[Rejected]) -> bool:
        """Whether such a reason is among them."""
        return any(each.code == kind.__name__ for each in self.found)


class _History(msgspec.Struct, frozen=True):
    """The revisions that there are: what `latest` says, and how many pointers there are."""

    latest: publish.Pointer
    pointers: int


async def plan(
    request: PackageRequest,
    *,
    settings: Settings,
    s3: S3,
    exact: bool = False,
    memory_mib: int = MEMORY_MIB,
    on_progress: OnProgress = lambda _phase, _done, _total: None,
) -> Plan:
    """Find out what a request would come to.

    Args:
        request: What is wanted.
        settings: What is allowed, and how it is done: those of the engine.
        s3: S3. It is read with one's own rights; whether the engine's suffice is not found out.
        exact: Ask each object for its stored checksum, where else some stand for the rest.
        memory_mib: The memory of the engine's functions.
        on_progress: Told how far it is.

    Raises:
        Failed: S3 failed.
    """
    refusals = _Refusals()
    with refusals:
        check_buckets(request, settings)
    if refusals.found:  # no request goes to a bucket that the engine does not use
        return _begin(request, refusals)
    planner = _Planner(request, settings, refusals, exact=exact, memory_mib=memory_mib)
    return await planner.plan(s3, on_progress)


def _begin(request: PackageRequest, refusals: _Refusals) -> Plan:
    return Plan(
        source=str(request.source),
        registry=request.registry,
        package_name=request.package_name,
        refusals=tuple(refusals.found),
    )


class _Planner:
    """Takes the steps of a job, and notes what it finds."""

    def __init__(
        self,
        request: PackageRequest,
        settings: Settings,
        refusals: _Refusals,
        *,
        exact: bool,
        memory_mib: int,
    ) -> None:
        self._request = request
        self._settings = settings
        self._refusals = refusals
        self._exact = exact
        self._memory_mib = memory_mib
        self._sent: Counter[str] = Counter()
        self._notes: list[str] = []

    async def plan(self, s3: S3, on_progress: OnProgress) -> Plan:
        """Plan what is wanted."""
        # What is asked by this, a job asks as well.
        watched = s3.watched(lambda each: self._sent.update([each.operation]))
        refusals = self._refusals
        history: _History | None = None
        described: PackageMetadata | None = None
        header: Header | None = None
        with refusals:
            self._request = await name_request(watched, self._request)
        with refusals:
            history = await self._read_history(watched)
        with refusals:
            described = await describe(watched, self._request)
        with Inventory(self._request.source, self._request.exclude) as inventory:
            on_progress("listing", 0, None)
            with refusals:
                await list_source(
                    watched, inventory, lambda found: on_progress("listing", found, None)
                )
            is_listed = inventory.totals()[0] > 0 or refusals.has(EmptySource)
            if described is not None and history is not None and is_listed:
                header = await self._check(watched, described, inventory)
            plan = self._begin(history, described, header)
            if inventory.totals()[0] > 0:
                reused = await self._reuse(watched, inventory, history)
                route = await self._choose_route(inventory)
                found = await sample_checksums(
                    s3,
                    inventory,
                    self._settings,
                    exact=self._exact,
                    on_progress=lambda done: on_progress("asking", done, None),
                )
                plan = self._describe_objects(plan, inventory, found, reused)
                if header is not None and history is not None and not plan.refusals:
                    plan = await self._finish(plan, inventory, history, header)
                    plan = await self._estimate(plan, inventory, found, history, route)
        return msgspec.structs.replace(plan, notes=tuple(self._notes))

    def _package(self) -> publish.Package:
        return publish.Package(self._request.registry, self._request.package_name)

    async def _read_history(self, s3: S3) -> _History:
        latest = await publish.read_latest(s3, self._package())
        return _History(latest, len(await publish.list_pointers(s3, self._package())))

    async def _check(self, s3: S3, described: PackageMetadata, inventory: Inventory) -> Header:
        """Hold the package against the rules, and make its header."""
        request = self._request
        header = Header(described.metadata, request.commit_message)
        with self._refusals:
            check_header(header)
        with self._refusals:
            workflow = await gate.check(
                s3,
                request.registry,
                workflow=request.workflow,
                package_name=request.package_name,
                message=request.commit_message,
                metadata=described.metadata,
                entries=inventory.sizes(),
            )
            return msgspec.structs.replace(header, workflow=workflow)
        return header

    def _begin(
        self, history: _History | None, described: PackageMetadata | None, header: Header | None
    ) -> Plan:
        """What is known without a look at the objects."""
        if described is not None and described.remark is not None:
            self._notes.append(f"Without metadata: {described.remark.rstrip('.')}")
        quarantine = self._settings.quarantine_registry
        if quarantine is not None and self._refusals.has(WorkflowViolations):
            self._notes.append(f"It would be put into quarantine, in {quarantine}")
        record = header.workflow if header is not None else None
        return msgspec.structs.replace(
            _begin(self._request, self._refusals),
            revision=history.pointers + 1 if history is not None else None,
            workflow=record["id"] if record is not None else None,
        )

    async def _reuse(self, s3: S3, inventory: Inventory, history: _History | None) -> int:
        """Record what the last revision knows, and say of how many objects."""
        if history is None or history.latest.top_hash is None:
            return 0
        manifest = self._package().manifest(history.latest.top_hash)
        return await reuse_checksums(s3, manifest, inventory, settings=self._settings)

    def _describe_objects(
        self, plan: Plan, inventory: Inventory, found: Survey, reused: int
    ) -> Plan:
        """What the folder holds, and where its checksums would come from."""
        for error in found.refused:
            self._refusals.add(error)
        if found.archived and not found.refused:
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
        self, plan: Plan, inventory: Inventory, history: _History, header: Header
    ) -> Plan:
        """Say what the revision would be, if all checksums are known."""
        unhashed, _ = await inventory.unhashed_totals()
        if unhashed:
            return plan
        top_hash = write_manifest(header, inventory.entries(), lambda _written: None)
        unchanged = top_hash == history.latest.top_hash
        return msgspec.structs.replace(
            plan,
            top_hash=top_hash,
            unchanged=unchanged,
            revision=max(history.pointers, 1) if unchanged else history.pointers + 1,
        )

    async def _choose_route(self, inventory: Inventory) -> Route:
        """Decide as the job would when it begins."""
        settings = self._settings
        relay = hand_off.HandOff(Job("", ""), deadline=0.0)
        if not await hand_off.is_too_large(inventory, relay, settings):
            return Route()
        objects, size_bytes = await inventory.unhashed_totals(settings.checksum_algorithms)
        if objects > settings.max_inline_objects:
            why = f"{objects:,} checksums to find, more than {settings.max_inline_objects:,}"
        else:
            most = formats.size(settings.max_inline_bytes)
            why = f"{formats.size(size_bytes)} to hash, more than {most}"
        return await self._enlarge(inventory, why)

    async def _enlarge(self, inventory: Inventory, why: str) -> Route:
        """Hand the job over, if there is somebody to take it."""
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
        found: Survey,
        history: _History,
        route: Route,
    ) -> Plan:
        """Say what the job takes, which may not fit into one invocation."""
        objects, _ = inventory.totals()
        hashing = hash_seconds(found.heads, found.load)
        manifest_bytes = 0 if plan.unchanged else self._manifest_bytes(inventory)

        def cost(shards: int) -> Estimate:
            return estimate(
                objects=objects,
                requests=self._count(found, history, manifest_bytes, shards),
                hashing=hashing,
                shards=shards,
                memory_mib=self._memory_mib,
            )

        result = cost(route.shards)
        if not route.is_large and not route.why:
            least, most = result.seconds
            if least > INVOCATION_SECONDS:
                route = await self._enlarge(inventory, "it would take more than one invocation")
                result = cost(route.shards)
            elif most > INVOCATION_SECONDS:
                self._notes.append("It may outlast one invocation, and go on as a large job")
        return msgspec.structs.replace(plan, route=route, estimate=result)

    def _manifest_bytes(self, inventory: Inventory) -> int:
        objects, _ = inventory.totals()
        keys = sum(len(key) for key, _ in inventory.sizes())
        return objects * (ENTRY_BYTES + len(str(self._request.source))) + 2 * keys

    def _count(
        self, found: Survey, history: _History, manifest_bytes: int, shards: int
    ) -> Counter[str]:
        """All requests of the job, by S3's name of the operation."""
        requests = self._sent + found.load.requests()
        requests["HeadObject"] += found.heads
        requests["GetObjectAttributes"] += found.part_requests
        requests["GetObject"] += min(history.pointers, 1)
        if manifest_bytes:
            # The manifest and its two pointers.
            requests += put_file(manifest_bytes)
            requests["PutObject"] += 2
        else:
            requests["GetObject"] += 1  # is the manifest still there?
        if shards:
            # It begins once more to publish. Shards and results are written, and each is read.
            again = self._sent.copy()
            del again["ListObjectsV2"]  # pointers are listed only then
            requests += again
            requests["PutObject"] += 2 * shards + 2
            requests["GetObject"] += 3 * shards + 1
            requests["ListObjectsV2"] += ceil(shards / 1000)
        return requests


def _note_archived(found: Survey) -> str:
    """Say why archived objects are no obstacle."""
    if found.restored:
        are = "object is" if found.restored == 1 else "objects are"
        return f"{found.restored:,} archived {are} restored, and will be read"
    if found.archived == 1:
        return "1 object is archived; its stored checksum will do"
    return f"{found.archived:,} objects are archived; their stored checksums will do"
