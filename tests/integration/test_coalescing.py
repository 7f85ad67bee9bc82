"""Coalescing on a real table, while invocations die and race at every point.

The table is in an embedded AWS. The queue and the bus are lists, so that tests control the time.
"""

import itertools
import threading
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import boto3
import msgspec
import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.errors import AwsError
from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.handlers import coalescer as handler_module
from quilt_packager_runtime.settings.upload_settings import UploadSettings
from quilt_packager_runtime.uploads import window_table
from quilt_packager_runtime.uploads.coalescer import Coalescer
from quilt_packager_runtime.uploads.upload_events import Upload
from quilt_packager_runtime.uploads.wake_ups import WindowCheck, parse_arrival
from quilt_packager_runtime.uploads.window_table import MAX_DIGESTS, WindowTable
from quilt_packager_runtime.uploads.windows import DIGEST_BYTES, identify

from quilt_packager.event_sources.coalescer import BATCH_SIZE
from quilt_packager.local.ministack import MiniStack
from tests.lambda_context import invocation

FOLDER = SourceFolder("raw", "lab/plate/")
LIFETIME_MS = 60_000
VISIBILITY_MS = 360_000
DURATION_SECONDS = 300
POINTS = range(14)
"""More points than any history below has: at the last ones, no invocation dies."""


def unavailable(**_: object) -> Any:
    raise ClientError({"Error": {"Code": "Unavailable"}}, "PutEvents")


class Killed(BaseException):
    """The end of an invocation, which no code catches."""


class World:
    """An account with a coalescer, a clock, and a hook in every request.

    Attributes:
        now_ms: The time.
        history: Effects in their order: the digest of each upload, or `announced`.
        checks: The checks in the queue, with the time when they are visible.
        announced_ms: Times of the announcements.
        resources: The ARNs in the announcements.
        hand: Called before and after each request.
    """

    def __init__(self, table: str, **thresholds: Any) -> None:
        self.now_ms = 1_000_000
        self.history: list[object] = []
        self.checks: list[tuple[int, WindowCheck]] = []
        self.announced_ms: list[int] = []
        self.resources: list[str] = []
        self.hand: Callable[[], None] = lambda: None
        self.settings = UploadSettings(
            table=table,
            queue_url="queue",
            event_bus="bus",
            **{"threshold_duration_seconds": DURATION_SECONDS} | thresholds,
        )
        self.table = WindowTable(table)
        self._dynamodb = boto3.client("dynamodb")

    def connect(self, service: str) -> Any:
        return {"sqs": self, "events": self, "dynamodb": self}[service]

    def coalescer(self, *, ahead_ms: int = 0) -> Coalescer:
        return Coalescer(self.settings, clock=lambda: self.now_ms + ahead_ms)

    # The clients of SQS, EventBridge and DynamoDB.

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, Any]]) -> Any:  # noqa: N803
        self.hand()
        for entry in Entries:
            visible_ms = self.now_ms + entry["DelaySeconds"] * 1000
            self.checks.append(
                (visible_ms, msgspec.json.decode(entry["MessageBody"], type=WindowCheck))
            )
        self.hand()
        return {}

    def put_events(self, *, Entries: list[dict[str, Any]]) -> Any:  # noqa: N803
        self.hand()
        self.history += ["announced"] * len(Entries)
        self.announced_ms += [self.now_ms] * len(Entries)
        self.resources += [arn for entry in Entries for arn in entry["Resources"]]
        self.hand()
        return {"FailedEntryCount": 0}

    def get_item(self, **parameters: Any) -> Any:
        self.hand()
        answer = self._dynamodb.get_item(**parameters)
        self.hand()
        return answer

    def update_item(self, **parameters: Any) -> Any:
        self.hand()
        answer = self._dynamodb.update_item(**parameters)
        if "ADD uploads" in parameters["UpdateExpression"]:
            self.history += parameters["ExpressionAttributeValues"][":uploads"]["BS"]
        self.hand()
        return answer

    # Steps of a test.

    def upload(self, *uploads: bytes, ahead_ms: int = 0) -> None:
        """One invocation, for a batch of uploads."""
        coalescer = self.coalescer(ahead_ms=ahead_ms)
        quiet_at_ms = coalescer.schedule_quiet_checks([FOLDER])
        coalescer.record(FOLDER, uploads, quiet_at_ms=quiet_at_ms, lifetime_ms=LIFETIME_MS)

    def until_done(self, act: Callable[[], object]) -> None:
        """Redeliver the messages of an invocation that died, as SQS does."""
        while True:
            try:
                act()
            except Killed:
                self.now_ms += VISIBILITY_MS
            else:
                return

    def drain(self) -> None:
        """Let time pass until no check is left."""
        for _ in range(100):
            if not self.checks:
                return
            self.checks.sort(key=lambda entry: entry[0])
            visible_ms, check = self.checks[0]
            self.now_ms = max(self.now_ms, visible_ms)
            self.until_done(partial(self.coalescer().check, check, lifetime_ms=LIFETIME_MS))
            self.checks.remove((visible_ms, check))
        raise AssertionError("checks schedule checks forever")

    def count_announcements(self) -> int:
        return self.history.count("announced")

    def assert_nothing_is_lost(self, *uploads: bytes) -> None:
        self.hand = lambda: None
        assert not self.table.read(FOLDER).new
        last = len(self.history) - self.history[::-1].index("announced")
        assert all(self.history.index(upload) < last for upload in uploads)


@pytest.fixture(scope="module")
def on_aws(ministack: MiniStack) -> Iterator[None]:
    with ministack.as_only_aws():
        yield


def make_world(monkeypatch: pytest.MonkeyPatch, **thresholds: int | str) -> World:
    """Create a world with its own table, and connect the runtime to it."""
    name = f"windows-{uuid.uuid4()}"
    boto3.client("dynamodb").create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "window", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "window", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    world = World(name, **thresholds)
    monkeypatch.setattr(clients, "connect", world.connect)
    return world


@pytest.fixture
def world(on_aws: None, monkeypatch: pytest.MonkeyPatch) -> World:
    return make_world(monkeypatch, threshold_event_count=3)


def kill_at(world: World, point: int) -> list[int]:
    """Kill the invocation at a point, once, and count the points that are passed."""
    passed = [0]

    def hand() -> None:
        passed[0] += 1
        if passed[0] == point + 1:
            raise Killed

    world.hand = hand
    return passed


class TestThresholds:
    def test_enough_uploads_are_announced_at_once(self, world: World) -> None:
        world.upload(b"1", b"2")
        assert world.count_announcements() == 0
        world.upload(b"3")
        assert world.count_announcements() == 1

    def test_fewer_are_announced_when_the_window_is_quiet(self, world: World) -> None:
        world.upload(b"1")
        world.now_ms += DURATION_SECONDS * 1000 - 1
        world.upload(b"2")
        started_ms = world.now_ms
        world.drain()
        assert world.count_announcements() == 1
        assert world.now_ms == started_ms + DURATION_SECONDS * 1000

    def test_more_than_enough_in_one_batch_are_one_announcement(self, world: World) -> None:
        world.upload(*(bytes([each]) for each in range(100)))
        world.drain()
        assert world.count_announcements() == 1

    def test_a_duration_longer_than_the_maximum_delay_of_sqs_is_kept(
        self, on_aws: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world = make_world(monkeypatch, threshold_duration_seconds=2000)
        world.upload(b"1")
        started_ms = world.now_ms
        world.drain()
        assert world.count_announcements() == 1
        assert world.now_ms == started_ms + 2_000_000


class TestAnnouncements:
    def test_name_the_bucket_in_its_partition(
        self, on_aws: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world = make_world(monkeypatch, threshold_event_count=1, partition="aws-cn")
        world.upload(b"1")
        assert world.resources == ["arn:aws-cn:s3:::raw"]


class TestDuplicates:
    def test_are_counted_once(self, world: World) -> None:
        world.upload(b"1", b"2")
        world.upload(b"2", b"1")
        assert world.count_announcements() == 0

    def test_of_announced_uploads_are_recognized(self, world: World) -> None:
        world.upload(b"1", b"2", b"3")
        world.upload(b"3", b"1")
        world.drain()
        assert world.count_announcements() == 1

    def test_of_checks_announce_only_once(self, world: World) -> None:
        world.upload(b"1")
        world.checks *= 2
        world.drain()
        assert world.count_announcements() == 1


class TestDeath:
    @pytest.mark.parametrize("point", POINTS)
    def test_anywhere_of_enough_uploads_loses_nothing(self, world: World, point: int) -> None:
        passed = kill_at(world, point)
        world.until_done(lambda: world.upload(b"1", b"2", b"3"))
        world.drain()
        world.assert_nothing_is_lost(b"1", b"2", b"3")
        died = point < passed[0]
        assert 1 <= world.count_announcements() <= 1 + died

    @pytest.mark.parametrize("point", POINTS)
    def test_anywhere_of_a_quiet_window_loses_nothing(self, world: World, point: int) -> None:
        passed = kill_at(world, point)
        world.until_done(lambda: world.upload(b"1"))
        world.drain()
        world.assert_nothing_is_lost(b"1")
        died = point < passed[0]
        assert 1 <= world.count_announcements() <= 1 + died

    def test_between_publishing_and_closing_announces_once_more(self, world: World) -> None:
        def hand() -> None:
            if "announced" in world.history:
                world.hand = lambda: None
                raise Killed

        world.hand = hand
        world.until_done(lambda: world.upload(b"1", b"2", b"3"))
        world.drain()
        assert world.count_announcements() == 2

    def test_points_are_fewer_than_are_tried(self, world: World) -> None:
        passed = kill_at(world, -1)
        world.upload(b"1")
        world.drain()
        assert passed[0] < len(POINTS)

    def test_of_another_invocation_leaves_the_window_to_the_check(self, world: World) -> None:
        world.upload(b"1")

        world.now_ms += DURATION_SECONDS * 1000
        claimed = world.table.claim(
            FOLDER,
            world.table.read(FOLDER),
            now_ms=world.now_ms,
            until_ms=world.now_ms + LIFETIME_MS,
            because_quiet=True,
        )
        assert claimed
        world.drain()
        assert world.count_announcements() == 1
        world.assert_nothing_is_lost(b"1")


class TestFailure:
    def test_to_schedule_checks_stops_recording(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            world, "send_message_batch", lambda **_: {"Failed": [{"Id": "0", "Code": "Throttled"}]}
        )
        with pytest.raises(AwsError, match="Throttled"):
            world.upload(b"1")
        assert world.history == []

    def test_to_publish_leaves_the_window_to_the_next_delivery(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(clients, "REFUSED_ENTRY_PAUSE_SECONDS", 0)
        refused = {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}
        with monkeypatch.context() as patch:
            patch.setattr(world, "put_events", lambda **_: refused)
            with pytest.raises(AwsError, match="InternalFailure"):
                world.upload(b"1", b"2", b"3")
        world.now_ms += VISIBILITY_MS
        world.upload(b"1", b"2", b"3")
        assert world.count_announcements() == 1

    def test_to_publish_for_long_neither_fills_the_table_nor_loses_uploads(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(window_table, "MAX_DIGESTS", 50)
        uploads = [number.to_bytes(DIGEST_BYTES, "big") for number in range(200)]
        with monkeypatch.context() as patch:
            patch.setattr(world, "put_events", unavailable)
            for first in range(0, len(uploads), 20):
                world.now_ms += VISIBILITY_MS
                with pytest.raises(AwsError, match="Unavailable"):
                    world.upload(*uploads[first : first + 20])
        full = world.table.read(FOLDER)
        assert uploads[59] in full.uploads
        assert uploads[60] not in full.uploads
        world.drain()
        world.assert_nothing_is_lost(*uploads[:60])
        assert world.count_announcements() == 1

    def test_to_publish_for_ever_keeps_the_item_below_the_limit_of_dynamodb(self) -> None:
        # The digests of this window and of the last announcement, each with its overhead.
        digests = 2 * (MAX_DIGESTS + BATCH_SIZE)
        assert digests * (DIGEST_BYTES + 1) < 400_000

    def test_to_publish_in_a_full_window_announces_what_came_after_the_claim(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(window_table, "MAX_DIGESTS", 3)
        world.upload(b"1")
        with monkeypatch.context() as patch:
            patch.setattr(world, "put_events", unavailable)
            with pytest.raises(AwsError):
                world.upload(b"2", b"3", b"4")
        claimed = world.table.read(FOLDER)
        world.upload(b"5")  # while the first invocation still has the claim
        world.table.close(FOLDER, claimed)
        assert world.table.read(FOLDER).new
        world.drain()
        assert world.count_announcements() == 1
        assert not world.table.read(FOLDER).new

    def test_of_a_slow_write_schedules_another_check(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        coalescer = world.coalescer()
        quiet_at_ms = coalescer.schedule_quiet_checks([FOLDER])
        world.drain()
        world.now_ms = quiet_at_ms + 1
        coalescer.record(FOLDER, [b"1"], quiet_at_ms=quiet_at_ms, lifetime_ms=LIFETIME_MS)
        world.drain()
        world.assert_nothing_is_lost(b"1")


class TestSlowBatch:
    """One that records what it has when later uploads are recorded already."""

    def test_keeps_the_later_time_of_a_faster_batch(self, world: World) -> None:
        slow = world.coalescer()
        quiet_at_ms = slow.schedule_quiet_checks([FOLDER])
        world.now_ms += 100_000
        world.upload(b"2")
        rest_ms = world.now_ms + DURATION_SECONDS * 1000
        world.now_ms = quiet_at_ms + 1
        slow.record(FOLDER, [b"1"], quiet_at_ms=quiet_at_ms, lifetime_ms=LIFETIME_MS)
        assert world.table.read(FOLDER).quiet_at_ms == rest_ms
        world.drain()
        assert world.announced_ms == [rest_ms]
        world.assert_nothing_is_lost(b"1", b"2")

    def test_has_a_check_after_a_clock_that_is_ahead_took_the_first(self, world: World) -> None:
        world.upload(b"2", ahead_ms=5000)
        [(visible_ms, check)] = world.checks
        world.now_ms += 1000
        slow = world.coalescer()
        quiet_at_ms = slow.schedule_quiet_checks([FOLDER])
        world.now_ms = visible_ms
        world.checks.remove((visible_ms, check))
        world.coalescer(ahead_ms=5000).check(check, lifetime_ms=LIFETIME_MS)
        assert world.count_announcements() == 1
        world.now_ms = quiet_at_ms - 1
        slow.record(FOLDER, [b"1"], quiet_at_ms=quiet_at_ms, lifetime_ms=LIFETIME_MS)
        world.drain()
        world.assert_nothing_is_lost(b"1", b"2")

    def test_opens_a_window_that_has_expired_meanwhile(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world.upload(b"2")
        update_item, refused = world.update_item, []

        def expire(**parameters: Any) -> Any:
            try:
                return update_item(**parameters)
            except ClientError as refusal:
                refused.append(refusal)
                boto3.client("dynamodb").delete_item(
                    TableName=parameters["TableName"], Key=parameters["Key"]
                )
                raise

        monkeypatch.setattr(world, "update_item", expire)
        window = world.table.add(FOLDER, [b"1"], quiet_at_ms=1)
        assert refused
        assert (window.uploads, window.quiet_at_ms, window.generation) == (frozenset({b"1"}), 1, 0)


class Race:
    """Invocations that take turns at every request, in a given order."""

    def __init__(self, world: World, order: Iterator[int], acts: list[Callable[[], None]]) -> None:
        self._world = world
        self._order = order
        self._turn = threading.Condition()
        self._at: int | None = None
        self._running = set(range(len(acts)))
        self._threads = [
            threading.Thread(target=self._run, args=(number, act))
            for number, act in enumerate(acts)
        ]
        self._numbers: dict[int, int] = {}

    def run(self) -> None:
        self._world.hand = self._wait
        with self._turn:
            self._next()
        for thread in self._threads:
            thread.start()
        for thread in self._threads:
            thread.join()
        self._world.hand = lambda: None

    def _run(self, number: int, act: Callable[[], None]) -> None:
        self._numbers[threading.get_ident()] = number
        with self._turn:
            self._turn.wait_for(lambda: self._at == number)
        try:
            act()
        finally:
            with self._turn:
                self._running.discard(number)
                self._next()

    def _wait(self) -> None:
        """Yield the turn and wait for it: between two requests, only one invocation runs."""
        number = self._numbers[threading.get_ident()]
        with self._turn:
            self._next()
            self._turn.wait_for(lambda: self._at == number)

    def _next(self) -> None:
        running = sorted(self._running)
        self._at = running[next(self._order) % len(running)] if running else None
        self._turn.notify_all()


class TestRaces:
    @pytest.mark.parametrize("count", [1, 2, 3])
    @settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        order=st.lists(st.integers(0, 2), max_size=60),
        ahead_ms=st.tuples(*[st.sampled_from([0, 1, 5000])] * 3),
    )
    def test_lose_nothing_and_announce_no_generation_twice(
        self, on_aws: None, count: int, order: list[int], ahead_ms: tuple[int, int, int]
    ) -> None:
        with pytest.MonkeyPatch.context() as patch:
            world = make_world(patch, threshold_event_count=count)
            uploads = [b"1", b"2", b"3"]
            acts = [
                partial(world.upload, upload, ahead_ms=ahead)
                for upload, ahead in zip(uploads, ahead_ms, strict=True)
            ]
            Race(world, itertools.chain(order, itertools.cycle([0, 1, 2])), acts).run()  # type: ignore[arg-type]
            world.drain()
            world.assert_nothing_is_lost(*uploads)
            assert world.count_announcements() == world.table.read(FOLDER).generation
            assert world.count_announcements() <= len(uploads)


def record_of(number: int) -> dict[str, str]:
    """Return the message of an upload, which is the same for each delivery."""
    event = {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {
            "bucket": {"name": FOLDER.bucket},
            "object": {"key": f"{FOLDER.prefix}{number}", "sequencer": f"0{number}"},
        },
    }
    return {"messageId": str(number), "body": msgspec.json.encode(event).decode()}


class TestDisorder:
    @settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        batches=st.lists(st.sets(st.integers(0, 5), min_size=1), min_size=2, max_size=6),
        waits_seconds=st.lists(st.sampled_from([0, 1, DURATION_SECONDS]), min_size=6, max_size=6),
        deaths=st.sets(st.integers(0, 40), max_size=3),
    )
    def test_of_batches_with_duplicates_replays_and_deaths_loses_nothing(
        self, on_aws: None, batches: list[set[int]], waits_seconds: list[int], deaths: set[int]
    ) -> None:
        with pytest.MonkeyPatch.context() as patch:
            world = make_world(patch, threshold_event_count=3)
            patch.setattr(handler_module, "load_settings", lambda: world.settings)
            patch.setattr(handler_module, "Coalescer", lambda _settings: world.coalescer())
            points = itertools.count()

            def hand() -> None:
                if next(points) in deaths:
                    raise Killed

            world.hand = hand
            for batch, wait_seconds in zip(batches, waits_seconds, strict=False):
                records = {"Records": [record_of(number) for number in batch]}
                world.until_done(partial(handler_module.handler, records, invocation()))
                world.now_ms += wait_seconds * 1000
            world.drain()
            uploads = {digest_of(number) for number in set().union(*batches)}
            world.assert_nothing_is_lost(*uploads)


def digest_of(number: int) -> bytes:
    upload = parse_arrival(record_of(number)["body"])
    assert isinstance(upload, Upload)
    return identify(upload)
