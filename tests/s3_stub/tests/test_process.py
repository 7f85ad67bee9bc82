from urllib.request import urlopen

import pytest

from tests.s3_stub.process import ControlledService, StubProcess, main
from tests.s3_stub.protocol import Request


def test_a_process_serves_generated_buckets_and_counts() -> None:
    with StubProcess("--synthetic", "raw=3,sha256", "--bucket", "registry") as stub:
        for _ in range(2):
            with urlopen(f"{stub.url}/raw?versions") as response:  # noqa: S310 - the loopback
                assert response.read().count(b"<Version>") == 3
        assert stub.usage().counts == {"ListObjectVersions": 2}
        before = stub.reset()
        assert before.cpu_seconds > 0
        assert before.counts == {"ListObjectVersions": 2}
        assert stub.usage().counts == {}


def test_a_process_that_cannot_start_fails_at_once() -> None:
    with pytest.raises(RuntimeError, match="ended with"), StubProcess("--synthetic", "raw=3,no"):
        pass


def test_an_unknown_order_is_refused() -> None:
    response = ControlledService().apply(Request("GET", "-", "dance", {}, {}), b"")
    assert response.status == 404


def test_help_names_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "--latency-ms" in capsys.readouterr().out
