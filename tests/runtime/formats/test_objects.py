"""S3 URIs, percent-encoded both ways."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from quilt3.util import PhysicalKey
from quilt_packager_runtime.formats.objects import S3Uri

KEYS = st.text(st.characters(exclude_categories=["Cs"]))


@given(KEYS, st.none() | KEYS.filter(bool))
@example("run#1/what?/%2F+ '\"\\\n\x01", "a b+c")
@example("?versionId=1", None)
@example("/leading//double/", None)
@example("é", None)
@example("e\u0301", None)
def test_a_uri_round_trips_with_any_key_and_version(key: str, version_id: str | None) -> None:
    uri = S3Uri("b", key, version_id)
    assert S3Uri.parse(str(uri)) == uri


@given(KEYS, st.none() | KEYS.filter(bool))
def test_a_uri_is_written_as_quilt3_writes_it(key: str, version_id: str | None) -> None:
    assert str(S3Uri("b", key, version_id)) == str(PhysicalKey("b", key, version_id))


def test_other_text_is_rejected() -> None:
    for text in ["", "s3:", "s3:/b/k", "s3://", "s3:///k", "b/k", "http://b/k"]:
        with pytest.raises(ValueError, match="an S3 URI"):
            S3Uri.parse(text)


def test_escapes_that_are_not_utf8_are_rejected() -> None:
    for escape in ["%FF", "%ED%A0%80", "a?versionId=%FF"]:
        with pytest.raises(UnicodeDecodeError):
            S3Uri.parse(f"s3://b/{escape}")
