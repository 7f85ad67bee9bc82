"""The Packages tab and the page of a package, on an S3 server."""

import csv
import html
import io
import json
import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from botocore.exceptions import ClientError
from quilt_packager_runtime.registry.publish import Message, Pointer
from quilt_packager_runtime.reporting.log_events import DamagedEntry
from quilt_packager_runtime.settings import Settings

from quilt_packager.admin.model import package_views
from quilt_packager.operations.audits import AuditedPackage
from quilt_packager.operations.deployment.configurations import Configuration
from quilt_packager.operations.revisions.registry_index import index_packages
from tests.admin.browser import Browser
from tests.admin.engine import Engine, ago, make_job
from tests.conftest import CREDENTIALS
from tests.runtime_s3 import connect_to
from tests.s3_stub import Bucket, S3Stub

FIRST, SECOND, THIRD = "a" * 64, "b" * 64, "c" * 64
FINDING = DamagedEntry(
    code="ObjectMissing",
    happened='"a.txt" does not exist.',
    remedy="Restore it.",
    logical_key="a.txt",
    uri="s3://raw/a.txt?versionId=v1",
    replacement="s3://raw/a.txt?versionId=v2",
)
HOSTILE = "<script>alert(1)</script>\"'{{ 7*7 }}"


@pytest.fixture
def registry(s3_stub: S3Stub, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A registry that the engine may read, with one package of two revisions."""
    monkeypatch.setattr(
        package_views, "connect_s3", lambda *_: connect_to(s3_stub.url, CREDENTIALS)
    )
    settings = Settings(registry_buckets=("packages",), catalog_url="https://catalog.example.com")
    engine.configuration = Configuration(settings)
    engine.comparison = None
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
    return AuditedPackage("packages", "runs/42", at, at, 2, (FINDING,))


def test_frames_ask_nothing_of_s3(browser: Browser, registry: Bucket, s3_stub: S3Stub) -> None:
    s3_stub.requests.clear()
    assert 'hx-get="/packages/list?' in browser.get("/packages?q=runs").text
    assert (
        'hx-get="/packages/packages/runs/42/body?' in browser.get("/packages/packages/runs/42").text
    )
    assert not s3_stub.requests


def names(text: str) -> list[str]:
    """Return the packages of a list, in its order."""
    return re.findall(r'<a class="pkg"[^>]*>([^<]*)</a>', text)


def chips(text: str) -> dict[str, str]:
    return dict(re.findall(r'<a class="chip[^>]*>([^<]*) <b>([^<]*)</b>', text))


def second(**span: float) -> int:
    return int(ago(**span).timestamp())


@pytest.fixture
def four(registry: Bucket, engine: Engine) -> Bucket:
    """A package in each state of its audit, the newest first."""
    for hours, name in enumerate(("new/1", "good/1", "late/1", "bad/1"), 1):
        add_revision(registry, name, second(hours=hours), str(hours) * 64, [])
    audited = ago(minutes=90)
    engine.audits = [
        AuditedPackage("packages", "good/1", None, audited, top_hash="2" * 64, entries=1200),
        AuditedPackage("packages", "late/1", None, audited, expiring=64, first_loss="2026-12-04"),
        AuditedPackage("packages", "bad/1", audited, audited, 2, (FINDING,)),
    ]
    registry.delete(".quilt/named_packages/runs/42/1700000000")
    registry.delete(".quilt/named_packages/runs/42/1700000100")
    registry.delete(".quilt/named_packages/runs/42/latest")
    return registry


@pytest.mark.usefixtures("four")
def test_packages_are_listed_newest_first_with_the_state_of_their_audit(browser: Browser) -> None:
    text = browser.htmx("/packages/list").text
    assert names(text) == ["new/1", "good/1", "late/1", "bad/1"]
    assert re.findall(r'<span class="badge [^"]*"><svg.*?</svg>([^<]*)<', text) == [
        "Not audited",
        "Sound",
        "Losing soon",
        "2 entries",
    ]
    assert "64 versions will be deleted or archived from 2026-12-04 on." in text
    assert "1,200" in text
    expected = {"All": "4", "Damaged": "1", "Losing soon": "1", "Sound": "1", "Not audited": "1"}
    assert chips(text) == expected


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("audit=damaged", ["bad/1"]),
        ("audit=unaudited", ["new/1"]),
        ("q=OO", ["good/1"]),
        ("q=*a*/1", ["late/1", "bad/1"]),
        ("order=oldest", ["bad/1", "late/1", "good/1", "new/1"]),
        ("order=name", ["bad/1", "good/1", "late/1", "new/1"]),
        ("age=7d&audit=sound", ["good/1"]),
        ("age=1y", []),
        ("by=person&q=new", ["new/1"]),
        ("by=engine", []),
        # Unknown values are ignored.
        ("by=robot&audit=odd&order=&q=new&after=x", ["new/1"]),
    ],
)
@pytest.mark.usefixtures("four")
def test_packages_are_filtered_and_ordered(browser: Browser, query: str, shown: list[str]) -> None:
    assert names(browser.htmx(f"/packages/list?{query}").text) == shown


@pytest.mark.usefixtures("four")
def test_chips_count_under_the_other_filters(browser: Browser) -> None:
    text = browser.htmx("/packages/list?q=oo&audit=damaged").text
    expected = {"All": "1", "Damaged": "0", "Losing soon": "0", "Sound": "1", "Not audited": "0"}
    assert chips(text) == expected
    assert 'href="/packages?q=oo&amp;audit=sound"' in text


def test_all_registries_are_listed_and_one_can_be_chosen(
    browser: Browser, registry: Bucket, engine: Engine, s3_stub: S3Stub
) -> None:
    engine.configuration = Configuration(Settings(registry_buckets=("packages", "lims")))
    add_revision(s3_stub.create_bucket("lims"), "runs/42", second(hours=1), FIRST, [])
    text = browser.htmx("/packages/list").text
    assert re.findall(r'class="pkg" href="([^"]*)"', text) == [
        "/packages/lims/runs/42",
        "/packages/packages/runs/42",
    ]
    assert names(browser.htmx("/packages/list?registry=lims").text) == ["runs/42"]


def test_a_registry_that_fails_does_not_hide_the_others(
    browser: Browser, registry: Bucket, engine: Engine
) -> None:
    engine.configuration = Configuration(Settings(registry_buckets=("packages", "gone")))
    text = browser.htmx("/packages/list").text
    assert names(text) == ["runs/42"]
    assert "NoSuchBucket" in text
    assert browser.get("/packages?format=csv").status == 502


def test_thousands_of_packages_take_a_request_per_thousand_and_one_for_each_row(
    browser: Browser, registry: Bucket, s3_stub: S3Stub
) -> None:
    for number in range(2500):
        registry.put(f".quilt/named_packages/a/{number:04}/17{number:08}", FIRST.encode())
    s3_stub.requests.clear()
    text = browser.htmx("/packages/list").text
    assert names(text)[0] == "a/2499"
    assert "1 to 50 of 2,501" in text
    sent = Counter(each.operation for each in s3_stub.requests)
    assert sent == {"ListObjectsV2": 3, "GetObject": 50}
    s3_stub.requests.clear()
    following = re.search(r'href="(/packages\?after=[^"]*)">Next 50', text)
    assert following is not None
    second_page = browser.htmx(html.unescape(following[1]).replace("?", "/list?")).text
    assert names(second_page)[0] == "a/2449"
    assert "51 to 100 of 2,501" in second_page
    # Names and pointers are read once.
    browser.htmx("/packages/list")
    assert Counter(each.operation for each in s3_stub.requests) == {"GetObject": 50}


def test_of_a_large_registry_a_prefix_is_listed(
    browser: Browser, registry: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_packages, "__kwdefaults__", {"prefix": "", "max_keys": 1})
    for number in range(1200):
        registry.put(f".quilt/named_packages/a/{number:04}/1700000000", FIRST.encode())
    cut = browser.htmx("/packages/list").text
    assert "packages has more than" in cut
    assert "runs/42" not in names(cut)
    assert names(browser.htmx("/packages/list?q=runs/*").text) == ["runs/42"]


@pytest.mark.usefixtures("four")
def test_packages_are_exported_as_csv_and_json(browser: Browser) -> None:
    answer = browser.get("/packages?format=csv&audit=damaged")
    assert answer.headers["content-disposition"] == 'attachment; filename="packages.csv"'
    [row] = csv.DictReader(io.StringIO(answer.text))
    assert (row["package_name"], row["audit"], row["damaged"]) == ("bad/1", "damaged", "2")
    rows = json.loads(browser.get("/packages?format=json&order=name").text)
    assert [each["package_name"] for each in rows] == ["bad/1", "good/1", "late/1", "new/1"]
    assert {each["made_by"] for each in rows} == {"person"}


def test_audits_that_cannot_be_read_leave_the_list(
    browser: Browser, registry: Bucket, engine: Engine
) -> None:
    engine.audits = ClientError({"Error": {"Code": "AccessDenied"}}, "FilterLogEvents")
    text = browser.htmx("/packages/list").text
    assert names(text) == ["runs/42"]
    assert "FilterLogEvents" in text


def test_filter_of_a_form_becomes_the_address(browser: Browser, registry: Bucket) -> None:
    answer = browser.htmx("/packages/list?q=a&registry=&by=&age=7d", hx_source="form")
    assert answer.headers["hx-push-url"] == "/packages?q=a&age=7d"


def test_registries_beyond_the_engine_are_not_read(
    browser: Browser, registry: Bucket, s3_stub: S3Stub
) -> None:
    s3_stub.requests.clear()
    assert "no registry “secrets”" in browser.htmx("/packages/list?registry=secrets").text
    assert browser.get("/packages/secrets/runs/42?whole=1").status == 404
    assert not s3_stub.requests


def test_package_is_complete_without_javascript(browser: Browser, registry: Bucket) -> None:
    text = html.unescape(browser.get("/packages/packages/runs/42?whole=1").text)
    assert f'"runs/42",\n    registry="s3://packages",\n    top_hash="{SECOND}")' in text
    assert f"https://catalog.example.com/b/packages/packages/runs/42/tree/{SECOND}" in text
    assert "vcf/b.vcf" in text
    assert "versionId=v1" in text
    assert 'hx-trigger="load"' not in text


BODY = "/packages/packages/runs/42/body"


def test_two_revisions_are_compared(browser: Browser, registry: Bucket) -> None:
    text = browser.htmx(f"{BODY}?a={FIRST}&b={SECOND}").text
    assert "Revision 1 to 2" in text
    assert "<b>1</b> added" in text
    assert '<span class="vh">added: </span>vcf/b.vcf' in text


def test_a_comparison_has_the_values_of_metadata(browser: Browser, registry: Bucket) -> None:
    for top_hash, value in ((FIRST, "2.4.0"), (SECOND, ["2.4.1"])):
        header = json.dumps({"version": "v0", "user_meta": {"workflow": value}})
        registry.put(f".quilt/packages/{top_hash}", header.encode())
    text = html.unescape(browser.htmx(f"{BODY}?a={FIRST}&b={SECOND}").text)
    assert "workflow (metadata)" in text
    assert '<td role="cell">["2.4.1"]</td><td role="cell" class="right muted">2.4.0</td>' in text


def test_all_differences_are_shown_on_request(browser: Browser, registry: Bucket) -> None:
    add_revision(registry, "runs/42", 1_700_000_200, THIRD, [f"k{n:02}" for n in range(30)])
    url = f"{BODY}?a={FIRST}&b={THIRD}"
    few, all_ = browser.htmx(url).text, browser.htmx(f"{url}&diff=all").text
    assert "20 of 31 shown" in few
    assert "k29</td>" not in few
    assert 'class="vh">added: </span>k29</td>' in all_


def test_revisions_have_pages(browser: Browser, registry: Bucket) -> None:
    for number in range(2, 13):
        add_revision(registry, "runs/42", 1_700_000_000 + number * 100, f"{number:064x}", [])
    text = browser.htmx(BODY).text
    assert re.findall(r"<b>(\d+)</b></span>", text) == [str(number) for number in range(13, 3, -1)]
    assert "13 to 4 of 13" in text
    older = re.search(r'href="([^"]*before=[^"]*)#revisions">Older', text)
    assert older is not None
    url = html.unescape(older[1]).replace("runs/42?", "runs/42/body?")
    assert re.findall(r"<b>(\d+)</b></span>", browser.htmx(url).text) == ["3", "2", "1"]
    assert "13 to 1 of 13" in browser.htmx(f"{BODY}?revisions=all").text


def test_a_package_of_many_revisions_takes_few_requests(
    browser: Browser, registry: Bucket, s3_stub: S3Stub
) -> None:
    for number in range(60):
        pointer = f".quilt/named_packages/runs/42/{1_700_000_200 + number}"
        registry.put(pointer, SECOND.encode())
    s3_stub.forget_requests()
    browser.htmx(BODY)
    # `latest`, eleven pointers, and a manifest.
    assert dict(s3_stub.counts) == {"ListObjectsV2": 1, "GetObject": 13}


@pytest.mark.parametrize("url", ["/packages/list?after={}.a/b", f"{BODY}?before={{}}"])
@pytest.mark.parametrize("odd", ["9" * 5000, "²", "-1", ""])
def test_odd_places_are_the_first_page(
    browser: Browser, registry: Bucket, url: str, odd: str
) -> None:
    text = browser.htmx(url.format(quote(odd))).text
    assert "1 of 1" in text or "2 to 1 of 2" in text


def test_each_revision_says_what_it_changed(
    browser: Browser, registry: Bucket, s3_stub: S3Stub
) -> None:
    add_revision(registry, "runs/42", 1_700_000_200, THIRD, ["vcf/b.vcf"])
    url = "/packages/packages/runs/42/changes"
    text = browser.htmx(url).text
    assert re.findall(r'#changes-(\d)">([^<]*)<', text) == [
        ("0", "1 removed"),
        ("1", "1 added"),
        ("2", "1 entry"),
    ]
    assert (
        '<span class="sub one-line" id="changes-1">1 added'
        in browser.get("/packages/packages/runs/42?whole=1").text
    )
    s3_stub.forget_requests()
    browser.htmx(url)
    assert s3_stub.counts["GetObject"] == 0


def test_changes_of_large_manifests_are_left_out(
    browser: Browser, registry: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_views, "MAX_SUMMARY_BYTES", 10)
    assert "added" not in browser.htmx("/packages/packages/runs/42/changes").text


def test_damaged_entries_say_so_and_can_be_chosen(
    browser: Browser, registry: Bucket, engine: Engine
) -> None:
    engine.audits = [damage(ago(hours=1))]
    text = browser.htmx(f"{BODY}?entries=damaged").text
    entries = text.partition('id="entries"')[2].partition("</section>")[0]
    assert "Version gone" in entries
    assert "s3://raw/a.txt?versionId=v2" in entries
    assert "vcf/b.vcf" not in entries
    assert "names 1 of 2" in entries


def test_another_version_of_a_damaged_object_is_not_damaged(
    browser: Browser, registry: Bucket, engine: Engine
) -> None:
    gone = msgspec.structs.replace(FINDING, uri="s3://raw/a.txt?versionId=v0")
    engine.audits = [AuditedPackage("packages", "runs/42", ago(), ago(), 1, (gone,))]
    assert "Version gone" not in browser.htmx(BODY).text


@pytest.mark.parametrize(
    ("fields", "badge", "remark"),
    [
        ({"entries": 1200, "top_hash": SECOND}, "Sound", "1,200 entries compared with S3"),
        ({"expiring": 3, "warnings": ("A rule.",)}, "Losing soon", "A rule."),
        ({"top_hash": FIRST}, "Not audited", "was of an earlier revision"),
        ({"unchecked": 3}, "Not audited", "3 entries could not be checked"),
        ({"not_audited": "S3 failed."}, "Not audited", "S3 failed."),
        ({"damaged": 2}, "2 entries damaged", "2 more entries damaged"),
        (None, "Not audited", "No audit of the last 35 days"),
    ],
)
@pytest.mark.usefixtures("registry")
def test_a_package_shows_its_last_audit(
    browser: Browser,
    engine: Engine,
    fields: dict[str, Any] | None,
    badge: str,
    remark: str,
) -> None:
    if fields is not None:
        engine.audits = [AuditedPackage("packages", "runs/42", None, ago(hours=1), **fields)]
    text = browser.htmx(BODY).text
    assert f"</svg>{badge}</span>" in text.partition("</h1>")[2]
    assert remark in text.partition('id="audit"')[2]


def test_lineage_is_exported_as_openlineage(
    browser: Browser, registry: Bucket, engine: Engine
) -> None:
    source = f"quilt+s3://packages#package=raw/7@{FIRST}"
    header = {"version": "v0", "user_meta": {"input_packages": [source]}}
    registry.put(f".quilt/packages/{SECOND}", json.dumps(header).encode())
    text = browser.htmx(BODY).text
    assert f'<a href="/packages/packages/raw/7?revision={FIRST}">raw/7</a>' in text
    assert f"runs/42?revision={SECOND}&amp;format=openlineage" in text
    answer = browser.get("/packages/packages/runs/42?format=openlineage")
    assert answer.headers["content-disposition"] == 'attachment; filename="lineage.json"'
    outputs = {each["name"] for event in json.loads(answer.text) for each in event["outputs"]}
    assert outputs == {"runs/42", "raw/7"}


def test_a_package_of_a_known_job_links_its_folder_and_run(
    browser: Browser, registry: Bucket, engine: Engine
) -> None:
    assert 'href="/new?registry=packages&amp;package_name=runs%2F42"' in browser.htmx(BODY).text
    writer = Pointer(message=Message(1, "a1")).to_metadata()
    registry.put(".quilt/named_packages/runs/42/1700000100", SECOND.encode(), metadata=writer)
    header = {"version": "v0", "user_meta": {"run_id": "3391102", "workflow_id": "7"}}
    registry.put(f".quilt/packages/{SECOND}", json.dumps(header).encode())
    engine.jobs = [make_job("a1", source="s3://omics-out/3391102/")]
    browser.htmx("/jobs/list")
    fresh = f"{BODY}?revisions=all&revision={SECOND}&entries=*"
    text = browser.htmx(fresh).text
    assert "s3://omics-out/3391102/" in text
    assert "source_prefix=s3%3A%2F%2Fomics-out%2F3391102%2F" in text
    assert "#/runs/3391102" in text
    assert 'href="/jobs/a1"' in text


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
