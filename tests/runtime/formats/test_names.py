"""Names in messages: packages, buckets, registries, source prefixes, references."""

import re
from collections.abc import Callable, Iterable
from urllib.parse import quote, urljoin

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from quilt_packager_runtime.formats.names import (
    MAX_PACKAGE_NAME,
    check_bucket,
    check_package_name,
    infer_package_name,
    parse_registry,
    parse_source_prefix,
    resolve_metadata_uri,
)
from quilt_packager_runtime.formats.objects import MAX_KEY_BYTES, S3Uri, SourceFolder

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
ODD_KEYS = st.text(st.sampled_from("/ab#?%2F+ '\"\\\n\x01äé.~:&="), min_size=1, max_size=40)


def assert_rejected(check: Callable[[str], object], rules: Iterable[tuple[str, str]]) -> None:
    for text, rule in rules:
        with pytest.raises(ValueError, match=re.escape(rule)):
            check(text)


class TestInferredPackageName:
    def test_follows_the_folder(self) -> None:
        names = {
            "": "package/null",
            "////": "package/null",
            "//f*0//": "package/f-0",
            "//f*0//b@r//": "f-0/b-r",
            "//f*0//b@r//b@z//": "f-0_b-r/b-z",
            "my/s3/folder/": "my_s3/folder",
            "omics-quilt/3395667/": "omics-quilt/3395667",
            "Übung/日本/": "-bung/--",
            "a.b/c\n/": "a-b/c-",
        }
        assert {prefix: infer_package_name(prefix) for prefix in names} == names

    @given(ANY_TEXT | ODD_KEYS)
    def test_is_legal_for_any_folder(self, prefix: str) -> None:
        name = infer_package_name(prefix)
        assume(len(name) <= MAX_PACKAGE_NAME)
        assert check_package_name(name) == name


class TestPackageName:
    def test_is_valid(self) -> None:
        for name in ["a/b", "A-1/_", "-/-", "x" * (MAX_PACKAGE_NAME - 2) + "/y"]:
            assert check_package_name(name) == name

    def test_is_two_ascii_words(self) -> None:
        names = [
            "",
            "a",
            "a/",
            "/b",
            "a/b/c",
            "a/b\n",
            "\na/b",
            "a b/c",
            "a.b/c",
            "é/b",
            "a/日本",
            "a//b",
        ]
        assert_rejected(check_package_name, ((name, "prefix/suffix") for name in names))

    def test_leaves_room_for_its_pointers_in_a_key_of_s3(self) -> None:
        name = "x" * (MAX_PACKAGE_NAME - 1) + "/y"
        with pytest.raises(ValueError, match="at most"):
            check_package_name(name)
        assert len(f".quilt/named_packages/{name[1:]}/1234567890") == MAX_KEY_BYTES


class TestBucket:
    def test_is_valid(self) -> None:
        for name in ["b", "run-data", "my.bucket.1", "0", "x" * 63, "1.2.3.4.5"]:
            assert check_bucket(name) == name

    def test_may_be_from_before_2018(self) -> None:
        for name in ["data_bucket", "LabData.2016", "a..b", "-begins", "ends-", ".b", "X" * 255]:
            assert check_bucket(name) == name

    def test_keeps_other_names_out_of_requests(self) -> None:
        names = [
            "",
            ".",
            "..",
            "...",
            "x" * 256,
            "169.254.169.254",
            "127.0.0.1:80",
            "arn:aws:s3:us-east-1:123456789012:accesspoint/x",
            "user@host",
            "b\n",
            "b?x",
            "b/c",
            "ä",
            "[::1]",
        ]
        assert_rejected(check_bucket, ((name, "bucket's name") for name in names))


class TestRegistry:
    def test_is_a_bucket_by_name_or_uri(self) -> None:
        for text in ["packages", "s3://packages", "s3://packages/"]:
            assert parse_registry(text) == "packages"

    def test_is_only_a_bucket(self) -> None:
        assert_rejected(
            parse_registry,
            [
                ("s3://packages/sub", "whole bucket"),
                ("packages/", "bucket's name"),
                ("", "bucket's name"),
                ("s3://", "bucket's name"),
                ("https://packages", "bucket's name"),
                ("arn:aws:s3:::packages", "bucket's name"),
            ],
        )


class TestSourcePrefix:
    def test_names_a_folder(self) -> None:
        prefixes = {
            "s3://b/f/": "f/",  # folder
            "s3://b/f/metadata.json": "f/",  # last-component-dropped
            "s3://b/f/m.json?versionId=v1": "f/",  # version-dropped-with-it
            "s3://b/f/?versionId=v1": "f/",  # version-of-a-folder-dropped
            "s3://b": "",  # bucket
            "s3://b/": "",  # bucket-root
            "s3://b?versionId=v1": "",  # bucket-with-version
            "s3://b/file": "",  # file-at-the-root
            "S3://b/f/": "f/",  # scheme-in-capitals
            "s3://b/run#1/": "run#1/",  # hash-is-ordinary
            "s3://b/run#1/x#y": "run#1/",  # hash-in-the-last-component
            "s3://b/what?/": "what?/",  # question-mark-is-ordinary
            "s3://b/a?b=c/d": "a?b=c/",  # other-query-is-ordinary
            "s3://b/run%231/": "run#1/",  # hash-escaped
            "s3://b/a%20b%2Bc+d/": "a b+c+d/",  # plus-is-ordinary
            "s3://b/a%252Fb/": "a%2Fb/",  # escapes-decoded-once
            "s3://b/f%2F": "f/",  # slash-escaped
            "s3://b/100%/": "100%/",  # lone-percent-is-ordinary
            "s3://b/%C3%A9/": "é/",  # composed-stays
            "s3://b/e%CC%81/": "e\u0301/",  # decomposed-stays
            "s3://b/a\nb\x01\"'\\/": "a\nb\x01\"'\\/",  # odd-characters
            "s3://b/a//": "a//",  # double-slash-stays
            "s3://b//f/": "/f/",  # leading-slash-stays
            "s3://b/a/../f/./": "a/../f/./",  # dots-are-ordinary
            "s3://b/a/.quilt/": "a/.quilt/",  # quilt-folder-below-a-folder
        }
        assert {text: parse_source_prefix(text) for text in prefixes} == {
            text: SourceFolder("b", prefix) for text, prefix in prefixes.items()
        }

    def test_is_rejected_with_its_rule(self) -> None:
        assert_rejected(
            parse_source_prefix,
            [
                ("", "begins with s3://"),
                ("b/f/", "begins with s3://"),
                (" s3://b/f/", "begins with s3://"),
                ("s3:/b/f/", "begins with s3://"),
                ("https://b.s3.amazonaws.com/f/", "begins with s3://"),
                ("file:///f/", "begins with s3://"),
                ("s3://", "names a bucket"),
                ("s3:///f/", "names a bucket"),
                ("s3://arn:aws:s3:us-east-1:123456789012:accesspoint/x/", "bucket's name"),
                ("s3://169.254.169.254/latest/", "bucket's name"),
                ("s3://b%2Fc/f/", "bucket's name"),
                ("s3://b/%FF/", "UTF-8"),
                ("s3://b/%ED%A0%80/", "UTF-8"),
                ("s3://b/.quilt/", "registry"),
                ("s3://b/%2Equilt/packages/x", "registry"),
                ("s3://b/" + "ä" * 512 + "/", "1024 bytes"),
            ],
        )

    @given(ANY_TEXT | ODD_KEYS)
    @example("run#1/what?/%2F/")
    @example("?versionId=v1/")
    def test_round_trips_through_the_uri_of_any_folder(self, prefix: str) -> None:
        folder = SourceFolder("b", f"f/{prefix}/")
        assume(len(folder.prefix.encode()) <= MAX_KEY_BYTES)
        assert parse_source_prefix(str(folder)) == folder


class TestMetadataUri:
    def test_leads_to_an_object(self) -> None:
        for reference, source_prefix, uri in [
            ("entry.json", "s3://b/f/", "s3://b/f/entry.json"),  # relative
            ("entry.json", "s3://b", "s3://b/entry.json"),  # relative-to-a-bucket
            ("m.json", "s3://b/f/x.json", "s3://b/f/m.json"),  # beside-a-file
            ("m", "s3://b/f/x?versionId=1", "s3://b/f/m"),  # beside-a-version
            ("a/m", "s3://b/f/", "s3://b/f/a/m"),  # below
            ("./m", "s3://b/f/", "s3://b/f/m"),  # dot
            ("../m", "s3://b/f/g/", "s3://b/f/m"),  # parent
            ("../../../m", "s3://b/f/", "s3://b/m"),  # never-above-the-root
            ("/m", "s3://b/f/", "s3://b/m"),  # from-the-root
            ("//c/k/m", "s3://b/f/", "s3://c/k/m"),  # another-bucket
            ("s3://c/k/m", "s3://b/f/", "s3://c/k/m"),  # absolute
            ("S3://c/k/m", "s3://b/f/", "s3://c/k/m"),  # scheme-in-capitals
            ("s3://c/k/../m", "s3://b/f/", "s3://c/m"),  # absolute-with-dots
            ("m?versionId=2", "s3://b/f/", "s3://b/f/m?versionId=2"),  # version
            ("//c/m?versionId=2", "s3://b/", "s3://c/m?versionId=2"),  # of-another
            ("?versionId=2", "s3://b/m", "s3://b/m?versionId=2"),  # version-alone
            ("", "s3://b/m?versionId=1", "s3://b/m?versionId=1"),  # empty-is-the-base
            ("a#b?c", "s3://b/f/", "s3://b/f/a%23b%3Fc"),  # ordinary-characters
            ("a%20%23+.json", "s3://b/", "s3://b/a%20%23%2B.json"),  # escapes
            ("m", "s3://b/run#1/", "s3://b/run%231/m"),  # hash-in-the-base
            ("m", "s3://b/a/../f/", "s3://b/a/../f/m"),  # dots-in-the-base-stay
            ("m", "s3://b/a//", "s3://b/a//m"),  # double-slash-in-the-base
            ("%2E%2E/m", "s3://b/f/", "s3://b/f/../m"),  # escaped-dots-are-ordinary
            ("./a:b", "s3://b/f/", "s3://b/f/a%3Ab"),  # colon-behind-a-dot
            ("x/a:b", "s3://b/f/", "s3://b/f/x/a%3Ab"),  # colon-behind-a-slash
        ]:
            assert str(resolve_metadata_uri(reference, source_prefix)) == uri

    def test_is_rejected_with_its_rule(self) -> None:
        assert_rejected(
            lambda reference: resolve_metadata_uri(reference, "s3://b/f/"),
            [
                ("http://b/m.json", "from S3 alone, not from http:"),
                ("file:///etc/passwd", "from S3 alone, not from file:"),
                ("arn:aws:s3:::b/m.json", "from S3 alone, not from arn:"),
                ("s3:m.json", "from S3 alone, not from s3:"),
                ("a:b.json", "./"),
                ("//169.254.169.254/latest", "bucket's name"),
                ("//user@host/m", "bucket's name"),
                ("s3://arn:aws:s3:::b/m", "bucket's name"),
                ("///m", "names a bucket"),
                ("", "folder"),
                (".", "folder"),
                ("..", "folder"),
                ("a/..", "folder"),
                ("a/", "folder"),
                ("/", "folder"),
                ("//c", "folder"),
                ("s3://c/?versionId=1", "folder"),
                ("%FF", "UTF-8"),
                ("x" * 1024, "1024 bytes"),
            ],
        )

    @given(
        st.lists(st.sampled_from(["a", "b.json", "..", ".", "c"]), min_size=1, max_size=6),
        st.sampled_from(["", "/"]),
    )
    def test_resolves_dots_as_the_standard_library_does(
        self, components: list[str], start: str
    ) -> None:
        reference = start + "/".join([*components, "m.json"])
        expected = urljoin("http://b/f/g/", reference).replace("http://", "s3://")
        assert str(resolve_metadata_uri(reference, "s3://b/f/g/")) == expected

    @given(ANY_TEXT | ODD_KEYS)
    def test_finds_any_key_by_its_escapes_alone(self, name: str) -> None:
        key = "f/" + name.replace("/", "-") + "x"
        assume(len(key.encode()) <= MAX_KEY_BYTES)
        reference = quote(key.removeprefix("f/"), safe="").replace(".", "%2E")
        assert resolve_metadata_uri(reference, "s3://b/f/") == S3Uri("b", key)

    @given(ANY_TEXT | ODD_KEYS, ANY_TEXT | ODD_KEYS)
    def test_raises_nothing_but_value_errors(self, reference: str, folder: str) -> None:
        source = SourceFolder("b", folder)
        try:
            uri = resolve_metadata_uri(reference, str(source))
        except ValueError:
            return
        assert check_bucket(uri.bucket)
        assert uri.key
