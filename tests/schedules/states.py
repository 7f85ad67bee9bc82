"""The state at one point of a schedule, and the responses of S3 there."""

from collections.abc import Mapping
from typing import NamedTuple, Self

import msgspec
from quilt_packager_runtime.aws.s3_transport import Response

from tests.s3_stub import Bucket, Versioning, protocol
from tests.s3_stub.service import Service

REGISTRY = "registry"
SOURCE = "raw"
START_SECONDS = 1_700_000_000

Memory = tuple[bytes, ...]


class Stored(NamedTuple):
    """An object of the registry: its bytes and its user metadata."""

    data: bytes
    metadata: tuple[tuple[str, str], ...] = ()


Registry = Mapping[str, Stored]


class Asked(NamedTuple):
    """The next request of a job, and its body."""

    request: protocol.Request
    body: bytes


class Moment(NamedTuple):
    """A job between two requests.

    Attributes:
        memory: Memory of the job.
        asked: Next request; None at the end.
        answers: One sequence of responses that leads here.
    """

    memory: Memory
    asked: Asked | None
    answers: tuple[Response, ...]


class State(msgspec.Struct, frozen=True):
    """S3, the source and the jobs, at one point of one schedule.

    Attributes:
        source: Keys of the source.
        registry: Content of the registry, by key.
        jobs: Running jobs, by index.
        acknowledged: Jobs that have ended.
        changed: Number of changes of the source.
        ticked: Number of seconds that passed.
        crashed: Number of jobs that crashed.
        lost: Number of lost replies.
    """

    source: frozenset[str]
    registry: Registry
    jobs: Mapping[int, Moment] = {}
    acknowledged: frozenset[int] = frozenset()
    changed: int = 0
    ticked: int = 0
    crashed: int = 0
    lost: int = 0

    def key(self) -> tuple[object, ...]:
        """Return a key that distinguishes states."""
        return (
            frozenset(self.registry.items()),
            frozenset((index, moment.memory) for index, moment in self.jobs.items()),
            self.acknowledged,
            (self.changed, self.ticked, self.crashed, self.lost),
        )

    def apply(self, asked: Asked) -> tuple[Self, Response]:
        """Return the next state, and the response of S3 to a request."""
        service = Service()
        service.store.clock = lambda: START_SECONDS + self.ticked
        raw = service.store.create_bucket(SOURCE, versioning=Versioning.OFF)
        for key in self.source:
            raw.put(key, last_modified=0)
        registry = service.store.create_bucket(REGISTRY, versioning=Versioning.OFF)
        for key, stored in self.registry.items():
            registry.put(key, stored.data, last_modified=0, metadata=dict(stored.metadata))
        answer = service.apply(*asked)
        answer.headers["Date"] = protocol.http_date(int(service.store.clock()))
        return self._with(registry=_contents(registry)), _to_response(answer)

    def tick(self) -> Self:
        return self._with(ticked=self.ticked + 1)

    def change(self, source: frozenset[str]) -> Self:
        return self._with(source=source, changed=self.changed + 1)

    def crash(self, index: int) -> Self:
        return self._without_job(index)._with(crashed=self.crashed + 1)

    def lose_reply(self, index: int) -> Self:
        asked = self.jobs[index].asked
        assert asked
        after, _ = self.apply(asked)
        return after._with(lost=self.lost + 1)

    def acknowledge(self, index: int) -> Self:
        return self._without_job(index)._with(acknowledged=self.acknowledged | {index})

    def move(self, index: int, moment: Moment) -> Self:
        return self._with(jobs={**self.jobs, index: moment})

    def _without_job(self, index: int) -> Self:
        return self._with(jobs={each: job for each, job in self.jobs.items() if each != index})

    def _with(self, **changes: object) -> Self:
        return msgspec.structs.replace(self, **changes)


def _contents(bucket: Bucket) -> dict[str, Stored]:
    return {
        key: Stored(version.data, tuple(sorted(version.metadata.items())))
        for key in bucket.iterate()
        if (version := bucket.get(key))
    }


def _to_response(answer: protocol.Response) -> Response:
    body = answer.body
    if not isinstance(body, bytes):
        body = body.read(*(answer.body_range or (0, body.size_bytes)))
    names = {name.lower(): value for name, value in answer.headers.items()}
    return Response(answer.status, names, body)
