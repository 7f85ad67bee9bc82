"""The examples of docs/explanation/what-a-package-promises.md have the outcomes that it shows."""

import hashlib
import json
import re
from pathlib import Path

import pytest
from quilt_packager_runtime import errors
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import PackagerError
from quilt_packager_runtime.formats.manifest_lines import TopHasher, decode_entries, encode_header

from quilt_packager.operations import formats
from tests.package_requests import package_request, request_of
from tests.s3_stub import Bucket, S3Stub

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "explanation" / "what-a-package-promises.md").read_text("utf-8")
LIST = re.findall(r"^```text\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)[0]
EXAMPLES = re.findall(r"^```json\n(.*?)^```\n\n```text\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
CODES = re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)

FIRST, SECOND = b"hello\n", b"world\n"


LATEST = ".quilt/named_packages/runs/42/latest"
TOP_HASH = re.compile(r"[0-9a-f]{64}")


def start(raw: Bucket, _: Bucket) -> None:
    raw.put("runs/42/S1_R1.fastq", FIRST)
    raw.put("runs/42/md5sum.txt", LIST)


def upload_damaged(raw: Bucket, _: Bucket) -> None:
    raw.put("runs/42/S1_R2.fastq", FIRST)


def upload_again(raw: Bucket, _: Bucket) -> None:
    raw.put("runs/42/S1_R2.fastq", SECOND)


def upload_elsewhere(_: Bucket, archive: Bucket) -> None:
    archive.put("runs/42/S1_R1.fastq", FIRST)


def add_readme(raw: Bucket, _archive: Bucket) -> None:
    """Publish a revision with a README, as another program writes it."""
    text = b"# Run 42"
    readme = raw.put("notes/README.md", text)
    entry = {
        "logical_key": "README.md",
        "physical_keys": [f"s3://raw/notes/README.md?versionId={readme.version_id}"],
        "size": len(text),
        "hash": {"type": "SHA256", "value": hashlib.sha256(text).hexdigest()},
        "meta": {},
    }
    _, *entries = read(raw, f".quilt/packages/{read(raw, LATEST)[0].decode()}")
    lines = sorted(
        [json.dumps(entry).encode(), *entries], key=lambda line: json.loads(line)["logical_key"]
    )
    header = encode_header({"version": "v0", "user_meta": {}, "message": "Add a README"})
    hasher = TopHasher(header)
    for _, each, _ in decode_entries(lines):
        hasher.add(each)
    raw.put(f".quilt/packages/{hasher.top_hash()}", b"\n".join([header, *lines]))
    raw.put(LATEST, hasher.top_hash())


def read(bucket: Bucket, key: str) -> list[bytes]:
    """The lines of an object."""
    version = bucket.get(key)
    assert version
    return version.data.splitlines()


def change_nothing(_raw: Bucket, _archive: Bucket) -> None:
    pass


STEPS = [start, upload_damaged, upload_again, upload_elsewhere, add_readme, change_nothing]
"""What precedes each example, as the page says."""


async def test_examples_have_the_outcomes_that_they_show(s3: S3, s3_stub: S3Stub) -> None:
    raw, archive = s3_stub.create_bucket("raw"), s3_stub.create_bucket("archive")
    for step, (message, shown) in zip(STEPS, EXAMPLES, strict=True):
        step(raw, archive)
        assert await outcome_of(message, s3) == shown


@pytest.mark.parametrize("code", CODES)
def test_codes_exist_and_have_words(code: str) -> None:
    error = getattr(errors, code)
    assert issubclass(error, PackagerError)
    assert error.title
    assert error.usual_cause
    assert error.usual_remedy


def test_every_broken_promise_has_its_code() -> None:
    shown = {text.split()[1] for _, text in EXAMPLES if text.startswith("rejected")}
    assert shown | {"InvalidCrate"} == set(CODES)


async def outcome_of(message: str, s3: S3) -> str:
    try:
        outcome = await package_request(s3, request_of(message))
    except PackagerError as error:
        happened = TOP_HASH.sub("\N{HORIZONTAL ELLIPSIS}", error.happened)
        return f"rejected  {error.code}\n{happened}\n"
    lines = [f"{outcome.outcome}  {outcome.package_name}"]
    if outcome.verified:
        lines.append(f"verified {outcome.verified} by {outcome.checksum_lists}")
    if outcome.carried_entries:
        lines.append(f"carried {formats.count(outcome.carried_entries, 'entry')}")
    return "\n".join([*lines, ""])
