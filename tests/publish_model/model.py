"""The complete publish protocol as a state machine, without S3.

docs/adr/0020-publish-protocol.md has the protocol in words.

A state is a value; every request of a job is one atomic step. Breadth-first search visits every
state that can be reached. What is modelled beside pointers and `latest`: manifests are keyed by
their top hash and name versions of objects, versions expire, and two folders may hold equal bytes.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

NEVER = (-1, -1)
"""The message of a pointer that carries none: it is older than every message."""


@dataclass(frozen=True)
class Protocol:
    """The rules of publishing, each of which can be left out.

    Attributes:
        source_in_header: The top hash covers the folder.
        refresh: A manifest whose versions are not the folder's is written again.
        manifest_condition: A manifest is replaced only if it is the one that was read.
        manifest_first: A manifest is replaced only by a listing that began after it was read.
        confirm: A job that wrote lists its folder once more.
        yields: A job leaves the revision of a newer message alone.
        settle: A package is unchanged only if the newest pointer is `latest` too.
    """

    source_in_header: bool = True
    refresh: bool = True
    manifest_condition: bool = True
    manifest_first: bool = True
    confirm: bool = True
    yields: bool = True
    settle: bool = True


HOLDS = Protocol()
"""The protocol as it is."""


@dataclass(frozen=True)
class Scenario:
    """The events around the jobs.

    Attributes:
        changes: Each writes a content into a folder, as a new version.
        jobs: The change that sends a job's message, its folder and its package.
        crashes: Number of jobs that crash and are delivered again.
        expiries: Number of times that all noncurrent versions are deleted.
        ticks: Number of seconds that pass.
        metadata: Metadata of each job's message.
    """

    changes: tuple[tuple[int, int], ...]
    jobs: tuple[tuple[int, int, int], ...]
    crashes: int = 1
    expiries: int = 1
    ticks: int = 1
    metadata: tuple[int, ...] = (0, 0, 0)


class Revision(NamedTuple):
    """A top hash: it covers contents and metadata, and the folder if the header names it."""

    content: int
    folder: int | None
    metadata: int = 0


class Pointer(NamedTuple):
    """A pointer, or `latest`: a top hash and the message of its writer."""

    revision: Revision
    message: tuple[int, int]


NO_POINTER = Pointer(Revision(-1, None), NEVER)


class Job(NamedTuple):
    """A job between two requests.

    Attributes:
        at: The next step.
        base: `latest` as the job has read it.
        listed: The folder's content and version, as listed.
        found: The version that the manifest named before it is replaced; None: there was none.
        newest: The newest pointer's second, as listed or as this job has written it.
        known: Manifests that were read before the listing began.
        following: The step after the manifest.
    """

    at: str = "wait"
    base: Pointer = NO_POINTER
    listed: tuple[int, int] = (-1, -1)
    found: tuple[int, int] | None = None
    newest: int = 0
    known: tuple[tuple[Revision, tuple[int, int] | None], ...] = ()
    following: str = ""


DONE = Job("done")
_STEPS = {"latest": "latest_", "yield": "yield_"}


class State(NamedTuple):
    """All buckets and jobs.

    Attributes:
        changed: Number of changes so far.
        folders: Each folder's content and version.
        oldest: The oldest version of each folder that is not expired.
        manifests: The folder and version that the manifest of a top hash names.
        pointers: Of each package: second and pointer, ascending.
        latest: Of each package.
        jobs: The jobs.
        second: The clock.
        crashed: Number of crashes so far.
        expired: Number of expiries so far.
    """

    changed: int
    folders: tuple[tuple[int, int], ...]
    oldest: tuple[int, ...]
    manifests: frozenset[tuple[Revision, tuple[int, int]]]
    pointers: tuple[tuple[tuple[int, Pointer], ...], ...]
    latest: tuple[Pointer, ...]
    jobs: tuple[Job, ...]
    second: int = 100
    crashed: int = 0
    expired: int = 0


class Result(NamedTuple):
    """The outcome of a search.

    Attributes:
        states: Number of states.
        faults: Each fault that was found, with the shortest way to it.
        endless: True if jobs can run forever.
    """

    states: int
    faults: Mapping[str, tuple[str, ...]]
    endless: bool


SCENARIOS = {
    "the same bytes written again": Scenario(
        changes=((0, 0), (0, 0)), jobs=((1, 0, 0), (2, 0, 0)), expiries=2
    ),
    "changed and changed back": Scenario(
        changes=((0, 1), (0, 0)), jobs=((1, 0, 0), (2, 0, 0)), expiries=1
    ),
    "two folders of equal bytes": Scenario(
        changes=((1, 0), (1, 1)), jobs=((0, 0, 0), (1, 1, 1), (2, 1, 1)), crashes=0
    ),
    "two folders, one package": Scenario(
        changes=((1, 1), (0, 2)), jobs=((1, 1, 0), (2, 0, 0)), crashes=1
    ),
    "one message delivered twice": Scenario(changes=((0, 1),), jobs=((1, 0, 0), (1, 0, 0))),
    "two messages, two metadata": Scenario(
        changes=((0, 1), (0, 2)), jobs=((1, 0, 0), (2, 0, 0)), expiries=0, metadata=(1, 2)
    ),
    "changed three times": Scenario(
        changes=((0, 1), (0, 0), (0, 1)), jobs=((1, 0, 0), (3, 0, 0)), crashes=0, ticks=0
    ),
}
"""Changes that jobs overlap with. Folder 0 is packaged as package 0 at the start."""


def check(protocol: Protocol, scenario: Scenario, *, most: int = 100_000) -> Result:
    """Visit every state that a scenario can lead to.

    Args:
        protocol: The rules of publishing.
        scenario: The events around the jobs.
        most: The number of states after which the search stops with a fault.
    """
    start = _start(protocol, scenario)
    came_from: dict[State, tuple[State, str] | None] = {start: None}
    waiting = deque([start])
    found: dict[str, State] = {}
    follows: dict[State, list[State]] = {}
    while waiting and len(came_from) < most:
        state = waiting.popleft()
        moves = list(_moves(protocol, scenario, state))
        for fault in _faults_always(state):
            found.setdefault(fault, state)
        if not moves:
            for fault in _faults_when_settled(scenario, state):
                found.setdefault(fault, state)
        follows[state] = [after for _, after in moves]
        for label, after in moves:
            broken = _fault_of_step(state, after)
            if broken:
                found.setdefault(broken, state)
            if after not in came_from:
                came_from[after] = state, label
                waiting.append(after)
    if waiting:
        found["too many states"] = waiting[0]
    faults = {fault: _way(came_from, state) for fault, state in found.items()}
    return Result(len(came_from), faults, _has_cycle(follows))


def _start(protocol: Protocol, scenario: Scenario) -> State:
    """Return the state in which package 0 holds folder 0, and the others are empty."""
    folders = 1 + max(folder for folder, _ in (*scenario.changes, (0, 0)))
    packages = 1 + max(package for _, _, package in scenario.jobs)
    revision = Revision(0, 0 if protocol.source_in_header else None)
    pointer = Pointer(revision, NEVER)
    return State(
        changed=0,
        folders=tuple((0 if each == 0 else -2, 0) for each in range(folders)),
        oldest=(0,) * folders,
        manifests=frozenset({(revision, (0, 0))}),
        pointers=(((99, pointer),), *(((0, NO_POINTER),) for _ in range(packages - 1))),
        latest=(pointer, *(NO_POINTER for _ in range(packages - 1))),
        jobs=tuple(Job() for _ in scenario.jobs),
    )


def _moves(protocol: Protocol, scenario: Scenario, state: State) -> Iterator[tuple[str, State]]:
    """Find all that can happen next."""
    if all(job == DONE for job in state.jobs) and state.changed == len(scenario.changes):
        if state.expired < scenario.expiries:
            yield "expire", _expire(state)
        return
    if state.changed < len(scenario.changes):
        folder, content = scenario.changes[state.changed]
        version = state.folders[folder][1] + 1
        folders = _put(state.folders, folder, (content, version))
        yield "change", state._replace(folders=folders, changed=state.changed + 1)
    if state.expired < scenario.expiries:
        yield "expire", _expire(state)
    if state.second < 100 + scenario.ticks:
        yield "tick", state._replace(second=state.second + 1)
    for index, job in enumerate(state.jobs):
        sent, _, _ = scenario.jobs[index]
        if job == DONE or (job == Job() and sent > state.changed):
            continue
        if job != Job() and state.crashed < scenario.crashes:
            crashed = _put(state.jobs, index, Job())
            yield f"{index}: crash", state._replace(jobs=crashed, crashed=state.crashed + 1)
        yield f"{index}: {job.at}", _Turn(protocol, scenario, state, index).take()


def _expire(state: State) -> State:
    oldest = tuple(version for _, version in state.folders)
    return state._replace(oldest=oldest, expired=state.expired + 1)


class _Turn:
    """One job's turn: each method is a request, named by the job's next step."""

    def __init__(self, protocol: Protocol, scenario: Scenario, state: State, index: int) -> None:
        self.protocol = protocol
        self.state = state
        self.index = index
        self.job = state.jobs[index]
        sent, self.folder, self.package = scenario.jobs[index]
        self.message = (sent, index)
        self.latest = state.latest[self.package]
        self.pointers = state.pointers[self.package]
        self.second, self.newest = self.pointers[-1]
        self.manifests = dict(state.manifests)
        self.content, version = self.job.listed
        self.mine = (self.folder, version)
        source = self.folder if protocol.source_in_header else None
        self.revision = Revision(self.content, source, scenario.metadata[index])

    def take(self) -> State:
        step: Callable[[], State] = getattr(
            self, _STEPS.get(self.job.at, self.job.at.replace(" ", "_"))
        )
        return step()

    def go(self, at: str, **changes: Any) -> State:
        """Change the job's own state."""
        return self.become(self.job._replace(at=at, **changes))

    def become(self, job: Job, **changes: Any) -> State:
        jobs = _put(self.state.jobs, self.index, job)
        return self.state._replace(jobs=jobs, **changes)

    def start_over(self, *known: tuple[Revision, tuple[int, int] | None]) -> State:
        return self.become(Job("wait", known=known))

    def wait(self) -> State:
        is_newer = self.protocol.yields and self.latest.message > self.message
        return self.go("yield" if is_newer else "read manifest", base=self.latest)

    def yield_(self) -> State:
        base, newest = self.job.base, self.newest
        if newest.revision == base.revision or newest.message > base.message:
            return self.become(DONE)
        return self.go("repair", newest=self.second)

    def read_manifest(self) -> State:
        base = self.job.base.revision
        read = base, self.manifests.get(base)
        return self.go("list", known=(*self.job.known, read))

    def list(self) -> State:
        return self.go("decide", listed=self.state.folders[self.folder])

    def decide(self) -> State:
        base, newest = self.job.base, self.newest
        known = dict(self.job.known)
        # A manifest that was not read before is written if it does not exist.
        found = known.get(self.revision, self.manifests.get(self.revision))
        fits = found == self.mine or (found is not None and not self.protocol.refresh)
        is_known = found is None or self.revision in known
        if not fits and not is_known and self.protocol.manifest_first:
            return self.start_over((self.revision, found))
        is_newer = self.protocol.yields and newest.message > self.message
        settled = newest.revision == self.revision or is_newer or not self.protocol.settle
        following = "latest" if newest.revision == self.revision else "pointer"
        if base.revision == self.revision and settled:
            following = "confirm" if self.protocol.confirm else "done"
            if fits:
                return self.become(DONE)
        if fits:
            return self.go(following, newest=self.second)
        return self.go("manifest", found=found, newest=self.second, following=following)

    def manifest(self) -> State:
        if self.protocol.manifest_condition and self.manifests.get(self.revision) != self.job.found:
            return self.start_over()
        manifests = frozenset({**self.manifests, self.revision: self.mine}.items())
        following = self.job.following
        job = DONE if following == "done" else self.job._replace(at=following)
        return self.become(job, manifests=manifests)

    def pointer(self) -> State:
        second = max(self.state.second, self.job.newest + 1)
        taken = dict(self.pointers).get(second)
        if taken is not None and taken.revision == self.revision:
            return self.go("latest", newest=second)
        if second <= self.second:
            return self.go("pointer", newest=max(second, self.second))
        pointers = (*self.pointers, (second, Pointer(self.revision, self.message)))
        changed = _put(self.state.pointers, self.package, pointers)
        return self.become(self.job._replace(at="latest", newest=second), pointers=changed)

    def latest_(self) -> State:
        # The ETag is the digest of the top hash: equal hashes are equal ETags.
        if self.latest.revision != self.job.base.revision:
            return self.start_over()
        moved = _put(self.state.latest, self.package, Pointer(self.revision, self.message))
        job = self.job._replace(at="confirm") if self.protocol.confirm else DONE
        return self.become(job, latest=moved)

    def confirm(self) -> State:
        listed = self.state.folders[self.folder]
        same = listed == self.job.listed
        if not self.protocol.refresh:
            same = listed[0] == self.content
        return self.go("confirm pointer") if same else self.start_over()

    def confirm_pointer(self) -> State:
        return self.become(DONE) if self.second == self.job.newest else self.go("confirm latest")

    def confirm_latest(self) -> State:
        is_newer = self.protocol.yields and self.newest.message > self.message
        if self.newest.revision == self.revision or is_newer:
            return self.become(DONE)
        is_others = self.latest.revision != self.revision
        return self.become(DONE) if is_others else self.start_over()

    def repair(self) -> State:
        second = max(self.state.second, self.job.newest + 1)
        if second <= self.second:
            return self.start_over()
        pointers = _put(
            self.state.pointers, self.package, (*self.pointers, (second, self.job.base))
        )
        return self.become(Job(), pointers=pointers)


def _faults_always(state: State) -> Iterator[str]:
    manifests = dict(state.manifests)
    for package, latest in enumerate(state.latest):
        if latest.revision.content < 0:
            continue
        if latest.revision not in manifests:
            yield "latest names a manifest that is not there"
        if latest.revision not in {each.revision for _, each in state.pointers[package]}:
            yield "latest has no pointer"


def _faults_when_settled(scenario: Scenario, state: State) -> Iterator[str]:
    """Find what is wrong when nothing happens any more, and all noncurrent versions are gone."""
    manifests = dict(state.manifests)
    packaged = {}
    for sent, folder, package in sorted(scenario.jobs):
        packaged[package] = sent, folder
    for package, (_, folder) in packaged.items():
        latest = state.latest[package]
        content, version = state.folders[folder]
        if latest.revision.content != content:
            yield "latest is not the source"
        if state.pointers[package][-1][1].revision != latest.revision:
            yield "the newest pointer is not latest"
        named = manifests.get(latest.revision)
        if named is not None and named[0] != folder:
            yield "a package names another folder"
        elif named != (folder, version):
            yield "a package names versions that are gone"


def _fault_of_step(before: State, after: State) -> str | None:
    """Find what a single step must never do."""
    named = dict(after.manifests)
    for revision, (folder, version) in before.manifests:
        kept = named.get(revision)
        if kept is None:
            return "a manifest is deleted"
        lives = version >= before.oldest[folder]
        if kept[0] != folder and lives:
            return "a manifest of living objects is redirected to another folder"
        if lives and kept != (folder, version) and kept[1] < after.oldest[kept[0]]:
            return "a readable manifest is replaced by one that names expired versions"
    return None


def _put(values: tuple, index: int, value: object) -> tuple:  # type: ignore[type-arg]
    return (*values[:index], value, *values[index + 1 :])


def _way(came_from: Mapping[State, tuple[State, str] | None], state: State) -> tuple[str, ...]:
    labels = []
    while (step := came_from[state]) is not None:
        state, label = step
        labels.append(label)
    return tuple(reversed(labels))


def _has_cycle(follows: Mapping[State, list[State]]) -> bool:
    """Return whether a path leads back to a former state: then a job can run forever."""
    waiting_for = dict.fromkeys(follows, 0)
    for states in follows.values():
        for state in states:
            if state in waiting_for:
                waiting_for[state] += 1
    free = [state for state, count in waiting_for.items() if count == 0]
    left = len(waiting_for)
    while free:
        left -= 1
        for state in follows[free.pop()]:
            if state in waiting_for:
                waiting_for[state] -= 1
                if waiting_for[state] == 0:
                    free.append(state)
    return left > 0


ABLATIONS = {
    "without the source in the header": (
        replace(HOLDS, source_in_header=False),
        "two folders of equal bytes",
        "a manifest of living objects is redirected to another folder",
    ),
    "without refreshing": (
        replace(HOLDS, refresh=False),
        "the same bytes written again",
        "a package names versions that are gone",
    ),
    "without a condition on the manifest": (
        replace(HOLDS, manifest_condition=False),
        "changed three times",
        "a package names versions that are gone",
    ),
    "without reading the manifest first": (
        replace(HOLDS, manifest_first=False),
        "changed three times",
        "a package names versions that are gone",
    ),
    "without confirming": (
        replace(HOLDS, confirm=False),
        "changed and changed back",
        "latest is not the source",
    ),
    "without yielding": (
        replace(HOLDS, yields=False),
        "two messages, two metadata",
        "too many states",
    ),
    "without the pointer rule": (
        replace(HOLDS, settle=False),
        "changed and changed back",
        "the newest pointer is not latest",
    ),
}
"""The protocol less one rule each, a scenario that needs the rule, and the fault it prevents."""
