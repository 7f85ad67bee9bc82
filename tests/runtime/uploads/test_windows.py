"""The policy of windows: the folder of an upload, and the time of its announcement."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.settings.upload_settings import UploadSettings
from quilt_packager_runtime.uploads.upload_events import Upload
from quilt_packager_runtime.uploads.windows import Window, find_folder, identify, is_due

keys = st.text(st.sampled_from("ab/.é \x01#"), min_size=1)
depths = st.integers(1, 5)
digests = st.frozensets(st.binary(min_size=1, max_size=1))
times = st.integers(0, 100)


def upload(key: str, sequencer: str = "0a", size_bytes: int = 1) -> Upload:
    return Upload("raw", key, sequencer, size_bytes)


def prefix_of(key: str, *, size_bytes: int = 1, **settings: object) -> str | None:
    folder = find_folder(
        upload(key, size_bytes=size_bytes),
        UploadSettings(**settings),  # type: ignore[arg-type]
    )
    return folder.prefix if folder else None


class TestFolder:
    def test_has_the_configured_depth(self) -> None:
        assert prefix_of("a/b/c/d.txt") == "a/b/"
        assert prefix_of("a/b/c/d.txt", prefix_depth=1) == "a/"
        assert prefix_of("a/b/c/d.txt", prefix_depth=9) == "a/b/c/"

    def test_of_a_shallower_object_is_its_parent(self) -> None:
        assert prefix_of("a/b.txt") == "a/"

    def test_is_never_the_whole_bucket(self) -> None:
        assert prefix_of("b.txt") is None

    def test_never_contains_packages(self) -> None:
        assert prefix_of(".quilt/named_packages/a/b/latest") is None
        assert prefix_of(".quilted/a/b") == ".quilted/a/"

    def test_never_contains_ignored_prefixes(self) -> None:
        assert prefix_of("tmp/a/b", ignore_prefixes=("x/", "tmp/")) is None
        assert prefix_of("tmpfs/a/b", ignore_prefixes=("x/", "tmp/")) == "tmpfs/a/"

    def test_is_not_opened_by_its_own_marker(self) -> None:
        assert prefix_of("a/b/", size_bytes=0) is None
        assert prefix_of("a/b/", size_bytes=1) == "a/b/"

    def test_is_opened_by_its_completion_marker_alone(self) -> None:
        marked: dict[str, Any] = {"ready_when": ("illumina",), "ignore_prefixes": ("tmp/",)}
        assert prefix_of("lab/a/run/CopyComplete.txt", **marked) == "lab/a/run/"
        assert prefix_of("lab/a/run/RunInfo.xml", **marked) is None
        assert prefix_of("tmp/run/CopyComplete.txt", **marked) is None
        assert prefix_of(".quilt/run/CopyComplete.txt", **marked) is None
        assert prefix_of("CopyComplete.txt", **marked) is None

    @given(keys, depths)
    def test_holds_its_uploads_and_ends_in_a_slash(self, key: str, depth: int) -> None:
        prefix = prefix_of(key, prefix_depth=depth)
        if prefix is not None:
            assert key.startswith(prefix)
            assert prefix.endswith("/")
            assert 1 <= prefix.count("/") <= depth

    @given(keys, keys, depths)
    def test_is_the_same_for_keys_that_share_it(self, key: str, name: str, depth: int) -> None:
        prefix = prefix_of(key, prefix_depth=depth)
        if prefix is not None and prefix.count("/") == depth:
            assert prefix_of(prefix + name, prefix_depth=depth) == prefix

    def test_belongs_to_its_bucket(self) -> None:
        assert find_folder(upload("a/b"), UploadSettings()) == SourceFolder("raw", "a/")


class TestIdentity:
    def test_is_equal_for_two_deliveries(self) -> None:
        assert identify(upload("a")) == identify(upload("a", size_bytes=7))

    @given(keys, keys, st.text("0123456789AF"), st.text("0123456789AF"))
    def test_differs_for_two_uploads(self, key: str, other: str, first: str, second: str) -> None:
        same = (key, first) == (other, second)
        assert (identify(upload(key, first)) == identify(upload(other, second))) is same


class TestDue:
    @given(digests, digests, times, times, st.integers(1, 10))
    def test_is_a_window_with_enough_new_uploads_or_any_when_quiet(
        self, uploads: frozenset[bytes], announced: frozenset[bytes], quiet: int, now: int, n: int
    ) -> None:
        window = Window(uploads=uploads, announced=announced, quiet_at_ms=quiet)
        due = is_due(window, UploadSettings(threshold_event_count=n), now)
        new = len(uploads - announced)
        assert due == (new >= n or (new > 0 and now >= quiet))

    @given(digests, times, times)
    def test_is_a_due_window_at_any_later_time(
        self, uploads: frozenset[bytes], now: int, later: int
    ) -> None:
        window, settings = Window(uploads=uploads, quiet_at_ms=50), UploadSettings()
        assert is_due(window, settings, now) <= is_due(window, settings, now + later)
