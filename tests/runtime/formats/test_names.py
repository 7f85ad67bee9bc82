"""What senders call things: package names, buckets, registries, source prefixes, references."""

import re
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


class TestInferredPackageName:
    @pytest.mark.parametrize(
        ("prefix", "name"),
        [
            ("", "package/null"),
            ("////", "package/null"),
            ("//f*0//", "package/f-0"),
            ("//f*0//b@r//", "f-0/b-r"),
            ("//f*0//b@r//b@z//", "f-0_b-r/b-z"),
            ("my/s3/folder/", "my_s3/folder"),
            ("omics-quilt/3395667/", "omics-quilt/3395667"),
            ("Übung/日本/", "-bung/--"),
            ("a.b/c\n/", "a-b/c-"),
        ],
    )
    def test_follows_the_folder(self, prefix: str, name: str) -> None:
        assert infer_package_name(prefix) == name

    @given(ANY_TEXT | ODD_KEYS)
    def test_is_legal_for_any_folder(self, prefix: str) -> None:
        name = infer_package_name(prefix)
        assume(len(name) <= MAX_PACKAGE_NAME)
        assert check_package_name(name) == name


class TestPackageName:
    @pytest.mark.parametrize("name", ["a/b", "A-1/_", "-/-", "x" * (MAX_PACKAGE_NAME - 2) + "/y"])
    def test_is_let_through(self, name: str) -> None:
        assert check_package_name(name) == name

    @pytest.mark.parametrize(
        "name",
        ["", "a", "a/", "/b", "a/b/c", "a/b\n", "\na/b", "a b/c", "a.b/c", "é/b", "a/日本", "a//b"],
    )
    def test_is_two_ascii_words(self, name: str) -> None:
        with pytest.raises(ValueError, match="prefix/suffix"):
            check_package_name(name)

    def test_leaves_room_for_its_pointers_in_a_key_of_s3(self) -> None:
        name = "x" * (MAX_PACKAGE_NAME - 1) + "/y"
        with pytest.raises(ValueError, match="at most"):
            check_package_name(name)
        assert len(f".quilt/named_packages/{name[1:]}/1234567890") == MAX_KEY_BYTES


class TestBucket:
    @pytest.mark.parametrize("name", ["b", "run-data", "my.bucket.1", "0", "x" * 63, "1.2.3.4.5"])
    def test_is_let_through(self, name: str) -> None:
        assert check_bucket(name) == name

    @pytest.mark.parametrize(
        "name",
        [
            "",
            "Upper",
            "under_score",
            "-begins",
            "ends-",
            ".begins",
            "a..b",
            "x" * 64,
            "169.254.169.254",
            "127.0.0.1:80",
            "arn:aws:s3:us-east-1:123456789012:accesspoint/x",
            "user@host",
            "b\n",
            "b?x",
            "b/c",
            "ä",
            "[::1]",
        ],
    )
    def test_keeps_what_is_no_bucket_out_of_host_names(self, name: str) -> None:
        with pytest.raises(ValueError, match="bucket's name"):
            check_bucket(name)


class TestRegistry:
    @pytest.mark.parametrize("text", ["packages", "s3://packages", "s3://packages/"])
    def test_is_a_bucket_bare_or_as_a_uri(self, text: str) -> None:
        assert parse_registry(text) == "packages"

    @pytest.mark.parametrize(
        ("text", "rule"),
        [
            ("s3://packages/sub", "whole bucket"),
            ("packages/", "bucket's name"),
            ("", "bucket's name"),
            ("s3://", "bucket's name"),
            ("https://packages", "bucket's name"),
            ("arn:aws:s3:::packages", "bucket's name"),
        ],
    )
    def test_is_nothing_else(self, text: str, rule: str) -> None:
        with pytest.raises(ValueError, match=rule):
            parse_registry(text)


class TestSourcePrefix:
    @pytest.mark.parametrize(
        ("text", "prefix"),
        [
            pytest.param("s3://b/f/", "f/", id="folder"),
            pytest.param("s3://b/f/metadata.json", "f/", id="last-component-dropped"),
            pytest.param("s3://b/f/m.json?versionId=v1", "f/", id="version-dropped-with-it"),
            pytest.param("s3://b/f/?versionId=v1", "f/", id="version-of-a-folder-dropped"),
            pytest.param("s3://b", "", id="bucket"),
            pytest.param("s3://b/", "", id="bucket-root"),
            pytest.param("s3://b?versionId=v1", "", id="bucket-with-version"),
            pytest.param("s3://b/file", "", id="file-at-the-root"),
            pytest.param("S3://b/f/", "f/", id="scheme-in-capitals"),
            pytest.param("s3://b/run#1/", "run#1/", id="hash-is-ordinary"),
            pytest.param("s3://b/run#1/x#y", "run#1/", id="hash-in-the-last-component"),
            pytest.param("s3://b/what?/", "what?/", id="question-mark-is-ordinary"),
            pytest.param("s3://b/a?b=c/d", "a?b=c/", id="other-query-is-ordinary"),
            pytest.param("s3://b/run%231/", "run#1/", id="hash-escaped"),
            pytest.param("s3://b/a%20b%2Bc+d/", "a b+c+d/", id="plus-is-ordinary"),
            pytest.param("s3://b/a%252Fb/", "a%2Fb/", id="escapes-decoded-once"),
            pytest.param("s3://b/f%2F", "f/", id="slash-escaped"),
            pytest.param("s3://b/100%/", "100%/", id="lone-percent-is-ordinary"),
            pytest.param("s3://b/%C3%A9/", "é/", id="composed-stays"),
            pytest.param("s3://b/e%CC%81/", "e\u0301/", id="decomposed-stays"),
            pytest.param("s3://b/a\nb\x01\"'\\/", "a\nb\x01\"'\\/", id="odd-characters"),
            pytest.param("s3://b/a//", "a//", id="double-slash-stays"),
            pytest.param("s3://b//f/", "/f/", id="leading-slash-stays"),
            pytest.param("s3://b/a/../f/./", "a/../f/./", id="dots-are-ordinary"),
            pytest.param("s3://b/a/.quilt/", "a/.quilt/", id="quilt-folder-below-a-folder"),
        ],
    )
    def test_names_a_folder(self, text: str, prefix: str) -> None:
        assert parse_source_prefix(text) == SourceFolder("b", prefix)

    @pytest.mark.parametrize(
        ("text", "rule"),
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
    def test_is_rejected_with_its_rule(self, text: str, rule: str) -> None:
        with pytest.raises(ValueError, match=re.escape(rule)):
            parse_source_prefix(text)

    @given(ANY_TEXT | ODD_KEYS)
    @example("run#1/what?/%2F/")
    @example("?versionId=v1/")
    def test_round_trips_through_the_uri_of_any_folder(self, prefix: str) -> None:
        folder = SourceFolder("b", f"f/{prefix}/")
        assume(len(folder.prefix.encode()) <= MAX_KEY_BYTES)
        assert parse_source_prefix(str(folder)) == folder


class TestMetadataUri:
    @pytest.mark.parametrize(
        ("reference", "source_prefix", "uri"),
        [
            pytest.param("entry.json", "s3://b/f/", "s3://b/f/entry.json", id="relative"),
            pytest.param("entry.json", "s3://b", "s3://b/entry.json", id="relative-to-a-bucket"),
            pytest.param("m.json", "s3://b/f/x.json", "s3://b/f/m.json", id="beside-a-file"),
            pytest.param("m", "s3://b/f/x?versionId=1", "s3://b/f/m", id="beside-a-version"),
            pytest.param("a/m", "s3://b/f/", "s3://b/f/a/m", id="below"),
            pytest.param("./m", "s3://b/f/", "s3://b/f/m", id="dot"),
            pytest.param("../m", "s3://b/f/g/", "s3://b/f/m", id="parent"),
            pytest.param("../../../m", "s3://b/f/", "s3://b/m", id="never-above-the-root"),
            pytest.param("/m", "s3://b/f/", "s3://b/m", id="from-the-root"),
            pytest.param("//c/k/m", "s3://b/f/", "s3://c/k/m", id="another-bucket"),
            pytest.param("s3://c/k/m", "s3://b/f/", "s3://c/k/m", id="absolute"),
            pytest.param("S3://c/k/m", "s3://b/f/", "s3://c/k/m", id="scheme-in-capitals"),
            pytest.param("s3://c/k/../m", "s3://b/f/", "s3://c/m", id="absolute-with-dots"),
            pytest.param("m?versionId=2", "s3://b/f/", "s3://b/f/m?versionId=2", id="version"),
            pytest.param("//c/m?versionId=2", "s3://b/", "s3://c/m?versionId=2", id="of-another"),
            pytest.param("?versionId=2", "s3://b/m", "s3://b/m?versionId=2", id="version-alone"),
            pytest.param(
                "", "s3://b/m?versionId=1", "s3://b/m?versionId=1", id="empty-is-the-base"
            ),
            pytest.param("a#b?c", "s3://b/f/", "s3://b/f/a%23b%3Fc", id="ordinary-characters"),
            pytest.param("a%20%23+.json", "s3://b/", "s3://b/a%20%23%2B.json", id="escapes"),
            pytest.param("m", "s3://b/run#1/", "s3://b/run%231/m", id="hash-in-the-base"),
            pytest.param("m", "s3://b/a/../f/", "s3://b/a/../f/m", id="dots-in-the-base-stay"),
            pytest.param("m", "s3://b/a//", "s3://b/a//m", id="double-slash-in-the-base"),
            pytest.param("%2E%2E/m", "s3://b/f/", "s3://b/f/../m", id="escaped-dots-are-ordinary"),
            pytest.param("./a:b", "s3://b/f/", "s3://b/f/a%3Ab", id="colon-behind-a-dot"),
            pytest.param("x/a:b", "s3://b/f/", "s3://b/f/x/a%3Ab", id="colon-behind-a-slash"),
        ],
    )
    def test_leads_to_an_object(self, reference: str, source_prefix: str, uri: str) -> None:
        assert str(resolve_metadata_uri(reference, source_prefix)) == uri

    @pytest.mark.parametrize(
        ("reference", "rule"),
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
    def test_is_rejected_with_its_rule(self, reference: str, rule: str) -> None:
        with pytest.raises(ValueError, match=re.escape(rule)):
            resolve_metadata_uri(reference, "s3://b/f/")

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
