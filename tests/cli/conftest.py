"""Runs the command in this process, on the S3 stub."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from quilt_packager.cli.app import run
from tests.s3_stub import S3Stub


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


Cli = Callable[..., Ran]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    def call(*arguments: str) -> Ran:
        capsys.readouterr()
        code = run(arguments)
        return Ran(code, *capsys.readouterr())

    return call


@pytest.fixture
def stub(s3_stub: S3Stub, monkeypatch: pytest.MonkeyPatch) -> S3Stub:
    """The S3 that the command uses."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_stub.url)
    return s3_stub
