"""The embedded AWS, one for all tests of a worker."""

from collections.abc import Iterator

import pytest

from quilt_packager.local.ministack import MiniStack


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniStack]:
    with MiniStack(tmp_path_factory.mktemp("ministack")) as aws:
        yield aws
