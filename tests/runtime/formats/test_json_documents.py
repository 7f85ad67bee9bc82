"""JSON from other people: values that are accepted, and the one error for all others."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quilt_packager_runtime.errors import InvalidMetadata
from quilt_packager_runtime.formats.json_documents import (
    MAX_DEPTH,
    MAX_INTEGER_DIGITS,
    MAX_METADATA_BYTES,
    check_metadata,
    read_json,
    read_metadata,
)
from quilt_packager_runtime.formats.objects import S3Uri

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=20,
)


def nested(depth: int) -> str:
    return '{"a":[' * (depth // 2) + "[" * (depth % 2) + "]" * (depth % 2) + "]}" * (depth // 2)


class TestReadJson:
    @given(JSON_VALUES)
    def test_returns_what_the_standard_library_does(self, value: object) -> None:
        for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
            read = read_json(text, max_bytes=10**6)
            assert json.dumps(read) == json.dumps(json.loads(text))

    def test_keeps_odd_values_as_the_standard_library_does(self) -> None:
        for text in [
            "1.0",
            "-0.0",
            "-0",
            "1e-07",
            "1E5",
            "1e-999",
            "12345678901234567890123",
            '"\\u0000\x7f"',
        ]:
            assert repr(read_json(text, max_bytes=100)) == repr(json.loads(text))

    def test_the_last_of_a_repeated_key_counts(self) -> None:
        assert read_json('{"a": 1, "a": 2}', max_bytes=100) == {"a": 2}

    def test_two_halves_of_a_surrogate_pair_are_one_character(self) -> None:
        assert read_json('"\\ud83d\\ude00"', max_bytes=100) == "😀"

    def test_other_text_is_rejected(self) -> None:
        for text in [
            "",
            "x",
            "{",
            "[1,]",
            '{"a" 1}',
            '"a\nb"',
            "{} {}",
            "\ufeff{}",
            "01",
            "'a'",
        ]:
            with pytest.raises(ValueError, match="it is not JSON"):
                read_json(text, max_bytes=100)

    def test_values_that_json_cannot_represent_are_rejected(self) -> None:
        for text, rule in [
            ("NaN", "NaN"),
            ("[-Infinity]", "-Infinity"),
            ("1e999", "too large for a float"),
            ("-1e999", "too large for a float"),
            ("1" * 400 + ".5", "too large for a float"),
            ("1" * 5000, "4,300 digits"),
            ("-" + "1" * 5000, "4,300 digits"),
            ('"\\ud800"', "surrogate"),
            ('{"\\udfff": 1}', "surrogate"),
            ('"\ud800"', "surrogate"),
        ]:
            with pytest.raises(ValueError, match=rule):
                read_json(text, max_bytes=10_000)

    def test_integers_up_to_the_limit_are_read(self) -> None:
        digits = "9" * MAX_INTEGER_DIGITS
        assert str(read_json(f"-{digits}", max_bytes=10_000)) == f"-{digits}"

    def test_nesting_up_to_the_limit_is_read(self) -> None:
        assert json.dumps(read_json(nested(MAX_DEPTH), max_bytes=10_000))

    def test_deeper_nesting_is_rejected(self) -> None:
        for depth in [MAX_DEPTH + 1, 1_000, 100_000]:
            with pytest.raises(ValueError, match="deeper than 100"):
                read_json(nested(depth), max_bytes=10**6)

    def test_the_size_is_in_bytes(self) -> None:
        documents: list[str | bytes] = ['"ä"', '"ä"'.encode()]
        for document in documents:
            assert read_json(document, max_bytes=4) == "ä"
            with pytest.raises(ValueError, match="more than 3 bytes"):
                read_json(document, max_bytes=3)

    def test_bytes_are_read_in_the_encodings_of_the_standard_library(self) -> None:
        for encoding in ["utf-8", "utf-8-sig", "utf-16", "utf-32-le"]:
            assert read_json('{"é": "😀"}'.encode(encoding), max_bytes=100) == {"é": "😀"}

    def test_bytes_that_are_not_text_are_rejected(self) -> None:
        for document in [b'"\xff"', b'"\xed\xa0\x80"', b"\xff\xfe\x00"]:
            with pytest.raises(ValueError, match=r"not JSON|surrogate"):
                read_json(document, max_bytes=100)

    @given(st.text() | st.binary() | st.text(st.sampled_from('[]{}",:\\ud8001e9NaI-. ')))
    def test_raises_nothing_but_plain_value_errors(self, document: str | bytes) -> None:
        try:
            read_json(document, max_bytes=1_000)
        except ValueError as error:
            assert not isinstance(error, UnicodeError)  # noqa: PT017 reading is fine too


class TestMetadata:
    def test_is_an_object(self) -> None:
        values: list[object] = [None, [], "text", 5, True]
        for value in values:
            with pytest.raises(ValueError, match="not a JSON object"):
                check_metadata(value)

    @pytest.mark.parametrize("character", ["x", "ä", "\x01"])
    def test_is_measured_as_a_manifest_holds_it(self, character: str) -> None:
        character_bytes = len(json.dumps(character, ensure_ascii=False).encode()) - 2
        room = MAX_METADATA_BYTES - len('{"a": ""}')
        text = character * (room // character_bytes)
        metadata = {"a": text + "x" * (room % character_bytes)}
        assert check_metadata(metadata) is metadata
        with pytest.raises(ValueError, match="1,000,001 bytes"):
            check_metadata({"a": metadata["a"] + "x"})

    def test_of_a_file_is_read(self) -> None:
        document = b'\xef\xbb\xbf{"run": 42}\r\n'
        assert read_metadata(document, S3Uri("raw", "m.json")) == {"run": 42}

    def test_of_a_file_is_rejected_with_the_files_name(self) -> None:
        for document, rule in [
            (b"", "not JSON"),
            (b"[]", "not a JSON object"),
            (b"null", "not a JSON object"),
            (b'{"a": NaN}', "NaN"),
            (b'{"a": "\xff"}', "not JSON"),
            (b'{"a": "\\ud800"}', "surrogate"),
            (b"[" * 100_000, "deeper"),
            (b" " * MAX_METADATA_BYTES + b"{}", "more than 1,000,000 bytes"),
        ]:
            with pytest.raises(InvalidMetadata, match=f"s3://raw/a%20b.json: .*{rule}"):
                read_metadata(document, S3Uri("raw", "a b.json"))
