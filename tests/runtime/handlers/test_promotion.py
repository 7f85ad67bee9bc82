"""The function that promotes: what it publishes, repeats, skips and reports."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from quilt_packager_runtime.errors import DeadlineExceeded, ServiceUnavailable
from quilt_packager_runtime.handlers import promotion

from tests.lambda_context import invocation
from tests.s3_stub import Request
from tests.torture.world import COPIES, PROMOTION, World, message

METADATA = {"status": "passed"}


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        for name in ("a.txt", "b.txt"):
            world.raw.put(f"runs/42/{name}", name, stored=["SHA256"])
        assert world.deliver(message(metadata=METADATA))
        yield world


def step(world: World) -> dict[str, Any]:
    """The input for the package that was created last."""
    created = [detail for kind, detail in world.events if kind == "Package Created"]
    return {"event": {"id": "e1", "detail": created[-1]}}


def accept(monkeypatch: pytest.MonkeyPatch, **metadata: tuple[str, ...]) -> None:
    settings = msgspec.structs.replace(PROMOTION, metadata=metadata)
    monkeypatch.setattr(promotion, "load_settings", lambda: settings)


def lines(world: World) -> list[dict[str, Any]]:
    written = map(json.loads, world.log.getvalue().splitlines())
    return [line for line in written if str(line.get("message", "")).find("promot") >= 0]


def test_the_event_has_both_revisions_and_no_values_of_metadata(world: World) -> None:
    promotion.handler(step(world), invocation())
    kind, detail = world.events[-1]
    assert kind == "Package Promoted"
    assert (detail["from_registry"], detail["registry"]) == ("raw", "registry")
    assert detail["from_top_hash"] == detail["top_hash"]
    assert (detail["copied"], detail["present"], detail["event_id"]) == (2, 0, "e1")
    assert "passed" not in str(detail)
    assert lines(world)[-1]["message"] == "revision promoted"


@pytest.mark.parametrize(("accepted", "promoted"), [(("failed", "passed"), 1), (("failed",), 0)])
def test_metadata_decide(
    world: World, monkeypatch: pytest.MonkeyPatch, accepted: tuple[str, ...], promoted: int
) -> None:
    accept(monkeypatch, status=accepted)
    assert promotion.handler(step(world), invocation()) == {"goes_on": False, "failed": False}
    assert [kind for kind, _ in world.events].count("Package Promoted") == promoted
    assert bool(world.registry.keys()) is bool(promoted)


def test_missing_metadata_do_not_match(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    accept(monkeypatch, grade=("a",))
    promotion.handler(step(world), invocation())
    assert lines(world)[-1]["message"] == "promotion skipped"


def test_events_in_any_order_leave_the_newest_revision(world: World) -> None:
    older = step(world)
    world.now += 1
    world.raw.put("runs/42/a.txt", "changed", stored=["SHA256"])
    assert world.deliver(message(metadata=METADATA), message_id="m2")
    newer = step(world)
    promotion.handler(newer, invocation())
    promotion.handler({"event": {**older["event"], "id": "e2"}}, invocation())
    latest = world.registry.get(".quilt/named_packages/runs/42/latest")
    assert latest
    assert latest.data.decode() == newer["event"]["detail"]["top_hash"]


def test_a_rejection_is_reported_once_with_its_whole_reason(world: World) -> None:
    world.registry.put(".quilt/named_packages/runs/42/latest", "a" * 64)
    assert promotion.handler(step(world), invocation()) == {"goes_on": False, "failed": True}
    kind, detail = world.events[-1]
    assert (kind, detail["code"]) == ("Promotion Failed", "HeldForReview")
    ((body, code),) = world.letters
    assert code == "HeldForReview"
    assert json.loads(body)["detail"] == {
        name: step(world)["event"]["detail"][name]
        for name in ("registry", "package_name", "top_hash")
    }


def test_other_errors_are_raised_for_a_retry(world: World) -> None:
    def fail(point: str) -> None:
        if point.startswith("before CopyObject"):
            raise ServiceUnavailable("S3 is busy.", why="It responded 503.", remedy="Retry.")

    world.hook = fail
    with pytest.raises(ServiceUnavailable):
        promotion.handler(step(world), invocation())
    assert not world.letters
    assert lines(world)[-1]["final"] is False


def test_the_last_error_of_the_state_machine_is_reported(world: World) -> None:
    error = {"Error": "States.Timeout", "Cause": "It took too long."}
    assert promotion.handler({**step(world), "error": error}, invocation())["failed"]
    assert world.events[-1][1]["code"] == "PromotionStopped"
    assert [code for _, code in world.letters] == ["PromotionStopped"]


class TestDeadline:
    @pytest.fixture(autouse=True)
    def _deadline(self, monkeypatch: pytest.MonkeyPatch, world: World) -> None:
        """Let the time be over after some copies."""
        monkeypatch.setattr("quilt_packager_runtime.promotion.copy_objects.COPIES_IN_FLIGHT", 1)
        self.limit = 1

        async def travel(asked: Request) -> None:
            is_sent = asked.operation == "CopyObject" and asked.status is None
            if is_sent and len(world.copies()) >= self.limit:
                raise TimeoutError

        world.travel = travel

    def test_the_rest_is_copied_by_the_next_step(self, world: World) -> None:
        self.limit = 1
        first = promotion.handler(step(world), invocation())
        assert first == {"goes_on": True, "failed": False}
        assert not world.registry.keys(".quilt/")
        self.limit = 3
        assert promotion.handler(step(world), invocation())["goes_on"] is False
        assert world.copies() == {f"{COPIES}runs/42/a.txt": 1, f"{COPIES}runs/42/b.txt": 1}
        assert world.events[-1][1]["copied"] + world.events[-1][1]["present"] == 2

    def test_a_step_without_progress_fails(self, world: World) -> None:
        self.limit = 0
        with pytest.raises(DeadlineExceeded, match="in steps of one invocation"):
            promotion.handler(step(world), invocation())
