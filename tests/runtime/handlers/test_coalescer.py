"""The coalescer's function, on batches that are valid, invalid, failing and late."""

import json
from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

import pytest
from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.errors import AwsError
from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.handlers import coalescer
from quilt_packager_runtime.handlers.coalescer import handler
from quilt_packager_runtime.settings.upload_settings import UploadSettings
from quilt_packager_runtime.uploads.wake_ups import WindowCheck

BROKEN = AwsError("It broke.", why="So it is.", remedy="Wait.")


class StubCoalescer:
    """Takes what it is given; folders in `broken` fail."""

    recorded: dict[str, int]
    checked: list[str]
    broken: set[str]

    def __init__(self, settings: UploadSettings) -> None:
        pass

    def schedule_quiet_checks(self, folders: Collection[SourceFolder]) -> int:
        if "*" in self.broken:
            raise BROKEN
        return 5

    def record(self, folder: SourceFolder, uploads: Collection[bytes], **_: object) -> int:
        if folder.prefix in self.broken:
            raise BROKEN
        self.recorded[folder.prefix] = len(uploads)
        return 0

    def check(self, check: WindowCheck, **_: object) -> int:
        self.checked.append(check.folder.prefix)
        return 1


@pytest.fixture(autouse=True)
def stub(monkeypatch: pytest.MonkeyPatch) -> type[StubCoalescer]:
    StubCoalescer.recorded, StubCoalescer.checked, StubCoalescer.broken = {}, [], set()
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "test")
    monkeypatch.setattr(coalescer, "Coalescer", StubCoalescer)
    settings = UploadSettings(ignore_prefixes=("tmp/",), dead_letter_queue_url="dead")
    monkeypatch.setattr(coalescer, "load_settings", lambda: settings)
    return StubCoalescer


@pytest.fixture
def dead_letters(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    letters: list[str] = []
    monkeypatch.setattr(
        clients, "send_to_dead_letters", lambda _url, body, _why: letters.append(body)
    )
    return letters


def upload(key: str, sequencer: str = "0A") -> str:
    detail = {"bucket": {"name": "raw"}, "object": {"key": key, "sequencer": sequencer}}
    return json.dumps({"source": "aws.s3", "detail-type": "Object Created", "detail": detail})


def run(*bodies: str, remaining_ms: int = 60_000) -> list[int]:
    """Handle a batch, and return the numbers of the messages to redeliver."""
    records = [{"messageId": str(n), "body": body} for n, body in enumerate(bodies)]
    context: Any = SimpleNamespace(get_remaining_time_in_millis=lambda: remaining_ms)
    answer = handler({"Records": records}, context)
    return [int(each["itemIdentifier"]) for each in answer["batchItemFailures"]]


def test_uploads_are_recorded_once_a_folder(stub: type[StubCoalescer]) -> None:
    assert run(upload("a/b/1"), upload("c/d/1"), upload("a/b/2"), upload("a/b/1")) == []
    assert stub.recorded == {"a/b/": 2, "c/d/": 1}


def test_registry_files_and_ignored_prefixes_are_skipped(stub: type[StubCoalescer]) -> None:
    assert run(upload(".quilt/packages/x"), upload("tmp/a/b"), upload("root.txt")) == []
    assert stub.recorded == {}


def test_only_completion_markers_are_recorded(
    stub: type[StubCoalescer], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = UploadSettings(ready_when=("illumina",), threshold_event_count=2)
    monkeypatch.setattr(coalescer, "load_settings", lambda: settings)
    files = [upload(f"runs/1/{number}.bcl") for number in range(5)]
    assert run(*files, upload("a/b/runs/2/CopyComplete.txt")) == []
    assert stub.recorded == {"a/b/runs/2/": 1}


def test_a_batch_has_checks_and_uploads(stub: type[StubCoalescer]) -> None:
    check = '{"check":"window","folder":{"bucket":"raw","prefix":"a/b/"},"quiet_at_ms":5}'
    assert run(check, upload("a/b/1")) == []
    assert (stub.checked, stub.recorded) == (["a/b/"], {"a/b/": 1})


def test_a_folder_that_fails_does_not_affect_the_others(stub: type[StubCoalescer]) -> None:
    stub.broken = {"a/b/"}
    assert run(upload("a/b/1"), upload("c/d/1"), upload("a/b/2")) == [0, 2]
    assert stub.recorded == {"c/d/": 1}


def test_uploads_are_recorded_only_after_scheduling_checks(stub: type[StubCoalescer]) -> None:
    stub.broken = {"*"}
    assert run(upload("a/b/1"), upload("c/d/1")) == [0, 1]
    assert stub.recorded == {}


def test_only_the_invalid_message_moves_to_the_dead_letter_queue(
    stub: type[StubCoalescer], dead_letters: list[str]
) -> None:
    assert run("poison", upload("a/b/1")) == []
    assert (dead_letters, stub.recorded) == (["poison"], {"a/b/": 1})


def test_an_invalid_message_that_cannot_be_moved_is_redelivered(
    stub: type[StubCoalescer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise BROKEN

    monkeypatch.setattr(clients, "send_to_dead_letters", refuse)
    assert run("poison", upload("a/b/1")) == [0]
    assert stub.recorded == {"a/b/": 1}


def test_an_invalid_message_moves_only_if_the_function_survives_its_batch(
    stub: type[StubCoalescer], dead_letters: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object, **__: object) -> int:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(stub, "record", crash)
        with pytest.raises(MemoryError):
            run("poison", upload("a/b/1"))
    assert run("poison", upload("a/b/1")) == []
    assert dead_letters == ["poison"]


def test_uploads_without_time_left_are_redelivered(stub: type[StubCoalescer]) -> None:
    assert run(upload("a/b/1"), upload("c/d/1"), remaining_ms=9_999) == [0, 1]
    assert stub.recorded == {}


def test_settings_are_read_from_the_environment() -> None:
    settings = UploadSettings(prefix_depth=3, ignore_prefixes=("a,b/",), table="t")
    assert UploadSettings.from_environment(settings.to_environment()) == settings
    with pytest.raises(ValueError, match="QUILT_PACKAGER_UPLOADS does not fit"):
        UploadSettings.from_environment({})
