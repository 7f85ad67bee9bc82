import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from quilt3.util import QuiltException, validate_package_name
from quilt_packager_runtime.formats.names import (
    MAX_PACKAGE_NAME,
    check_package_name,
    infer_package_name,
)

near_names = st.text(st.sampled_from("aZ09_-/. \nä\u0661") | st.characters(), max_size=8)


def quilt3_takes(name: str) -> bool:
    try:
        validate_package_name(name)
    except QuiltException:
        return False
    return True


def we_take(name: str) -> bool:
    try:
        check_package_name(name)
    except ValueError:
        return False
    return True


@given(near_names)
@example("a/b")
@example("a/b\n")
@example("a/ä")
@example("a/b/c")
def test_ascii_names_are_valid_if_they_are_in_quilt3(name: str) -> None:
    # quilt3's pattern ends in $, which lets a newline through.
    expected = quilt3_takes(name) and name.isascii() and not name.endswith("\n")

    assert we_take(name) == expected


@given(st.text())
def test_quilt3_takes_every_inferred_name(prefix: str) -> None:
    assert quilt3_takes(infer_package_name(prefix))


@pytest.mark.parametrize("length", [MAX_PACKAGE_NAME, MAX_PACKAGE_NAME + 1])
def test_names_are_valid_if_their_pointers_fit_into_s3(length: int) -> None:
    name = "a/" + "b" * (length - 2)

    assert we_take(name) == (len(f".quilt/named_packages/{name}/1234567890") <= 1024)
