"""The Packages tab and the page of a package, on an S3 server."""

import html
import json
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import quote

import pytest
from quilt_packager_runtime.settings import Settings

from quilt_packager.admin.model import package_views
from quilt_packager.operations.audits import AuditedPackage
from quilt_packager.operations.deployment.configurations import Configuration
from tests.admin.browser import Browser
from tests.admin.engine import Engine, ago
from tests.conftest import CREDENTIALS
from tests.runtime_s3 import connect_to
from tests.s3_stub import Bucket, S3Stub

FIRST, SECOND = "a" * 64, "b" * 64
HOSTILE = "<script>alert(1)</script>\"'{{ 7*7 }}"


@pytest.fixture
def registry(s3_stub: S3Stub, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A registry that the engine may read, with one package of two revisions."""
    monkeypatch.setattr(
        package_views, "connect_s3", lambda *_: connect_to(s3_stub.url, CREDENTIALS)
    )
    settings = Settings(registry_buckets=("packages",), catalog_url="https://catalog.example.com")
    engine.configuration = Configuration(settings)
    bucket = s3_stub.create_bucket("packages")
    add_revision(bucket, "runs/42", 1_700_000_000, FIRST, ["a.txt"])
    add_revision(bucket, "runs/42", 1_700_000_100, SECOND, ["a.txt", "vcf/b.vcf"])
    return bucket


def add_revision(
    bucket: Bucket, name: str, second: int, top_hash: str, keys: Sequence[str]
) -> None:
    lines: list[object] = [{"version": "v0", "user_meta": {"run": name}, "message": name}]
    checksum = {"type": "SHA256", "value": "c0ffee" * 10}
    lines += [
        {
            "logical_key": key,
            "physical_keys": [f"s3://raw/{quote(key)}?versionId=v1"],
            "size": 7,
            "hash": checksum,
        }
        for key in keys
    ]
    bucket.put(f".quilt/packages/{top_hash}", "\n".join(map(json.dumps, lines)).encode())
    for pointer in (str(second), "latest"):
        bucket.put(f".quilt/named_packages/{name}/{pointer}", top_hash.encode())


def damage(at: datetime) -> AuditedPackage:
    return AuditedPackage("packages", "runs/42", at, at, 2, ())


def test_frames_ask_nothing_of_s3(browser: Browser, registry: Bucket, s3_stub: S3Stub) -> None:
    s3_stub.requests.clear()
    assert 'hx-get="/packages/list?' in browser.get("/packages?q=runs").text
    assert (
        'hx-get="/packages/packages/runs/42/body?' in browser.get("/packages/packages/runs/42").text
    )
    assert not s3_stub.requests


def test_packages_are_listed_by_prefix_with_their_audit(
    browser: Browser, engine: Engine, registry: Bucket
) -> None:
    engine.audits = [damage(ago(hours=1))]
    add_revision(registry, "other/1", 1_700_000_000, FIRST, [])
    text = browser.htmx("/packages/list?q=runs").text
    assert 'href="/packages/packages/runs/42">runs/42</a>' in text
    assert "2 entries" in text
    assert "other/1" not in text


def test_pages_follow_each_other(browser: Browser, registry: Bucket) -> None:
    for number in range(51):
        registry.put(f".quilt/named_packages/a/{number:02}/latest", FIRST.encode())
    text = browser.htmx("/packages/list?q=a/").text
    assert "a/49</a>" in text
    assert "a/50</a>" not in text
    assert "after=a%2F49" in text
    assert "a/50</a>" in browser.htmx("/packages/list?q=a/&after=a/49").text


def test_list_is_asked_once_in_an_interval(
    browser: Browser, registry: Bucket, s3_stub: S3Stub
) -> None:
    browser.htmx("/packages/list")
    s3_stub.requests.clear()
    browser.htmx("/packages/list")
    assert not s3_stub.requests


def test_registries_beyond_the_engine_are_not_read(
    browser: Browser, registry: Bucket, s3_stub: S3Stub
) -> None:
    s3_stub.requests.clear()
    assert "no registry “secrets”" in browser.htmx("/packages/list?registry=secrets").text
    assert browser.get("/packages/secrets/runs/42?whole=1").status == 404
    assert not s3_stub.requests


def test_package_is_complete_without_javascript(browser: Browser, registry: Bucket) -> None:
    text = html.unescape(browser.get("/packages/packages/runs/42?whole=1").text)
    assert f'browse("runs/42", registry="s3://packages", top_hash="{SECOND}")' in text
    assert f"https://catalog.example.com/b/packages/packages/runs/42/tree/{SECOND}" in text
    assert "vcf/b.vcf" in text
    assert "versionId=v1" in text
    assert 'hx-trigger="load"' not in text


def test_two_revisions_are_compared(browser: Browser, registry: Bucket) -> None:
    text = browser.htmx(f"/packages/packages/runs/42/body?a={FIRST}&b={SECOND}").text
    assert "<b>1</b> added" in text
    assert '<span class="vh">added: </span>vcf/b.vcf' in text


@pytest.mark.parametrize(
    ("glob", "shown"),
    [("vcf/*", "vcf/b.vcf"), ("nothing", "matches “nothing”"), ("/x", "not a glob")],
)
def test_entries_are_filtered_by_a_glob(
    browser: Browser, registry: Bucket, glob: str, shown: str
) -> None:
    text = browser.htmx(f"/packages/packages/runs/42/body?entries={quote(glob)}").text
    assert shown in text
    assert "a.txt" not in text


@pytest.mark.parametrize(
    "url", ["/packages/packages/no/such", "/packages/packages/runs/42?revision=latest"]
)
def test_unknown_names_are_not_found(browser: Browser, registry: Bucket, url: str) -> None:
    joint = "&" if "?" in url else "?"
    assert browser.get(f"{url}{joint}whole=1").status == 404


def test_hostile_names_are_text(browser: Browser, registry: Bucket) -> None:
    name = f"x/{HOSTILE.replace('/', '')}"
    add_revision(registry, name, 1_700_000_000, FIRST, [HOSTILE])
    for url in ("/packages/list?q=x", f"/packages/packages/{name}/body"):
        text = browser.htmx(url).text
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert(1)&lt;" in text
