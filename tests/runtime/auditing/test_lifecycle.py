"""Lifecycle rules that will delete or archive what a package names, and the first date."""

import pytest
from quilt_packager_runtime.auditing.findings import Code
from quilt_packager_runtime.aws.s3 import S3

from tests.audits import audit, entry_of, publish, put
from tests.s3_stub import Bucket, S3Stub, Versioning

DAY = 24 * 60 * 60
WRITTEN = 1_700_000_000.0  # 2023-11-14T22:13:20Z
REPLACED = WRITTEN + 5 * DAY  # 2023-11-19
NONCURRENT = "<NoncurrentVersionExpiration><NoncurrentDays>30</NoncurrentDays>{}"
NONCURRENT += "</NoncurrentVersionExpiration>"
EXPIRATION = "<Expiration><Days>10</Days></Expiration>"
ARCHIVAL = "<Transition><Days>90</Days><StorageClass>DEEP_ARCHIVE</StorageClass></Transition>"
ARCHIVAL_ON_A_DATE = (
    "<Transition><Date>2024-03-01T00:00:00.000Z</Date>"
    "<StorageClass>GLACIER</StorageClass></Transition>"
)
ARCHIVAL_OF_NONCURRENT = (
    "<NoncurrentVersionTransition><NoncurrentDays>1</NoncurrentDays>"
    "<StorageClass>GLACIER</StorageClass></NoncurrentVersionTransition>"
)


def rule(actions: str, where: str = "<Filter/>", status: str = "Enabled") -> str:
    return f"<Rule><ID>tidy</ID>{where}<Status>{status}</Status>{actions}</Rule>"


@pytest.fixture
def buckets(s3_stub: S3Stub) -> tuple[Bucket, Bucket]:
    return s3_stub.create_bucket("raw"), s3_stub.create_bucket("packages")


async def first_losses(
    s3: S3, buckets: tuple[Bucket, Bucket], lifecycle: str, *, is_replaced: bool = False
) -> list[tuple[Code, str | None]]:
    """Publish a package of an object, and audit it under a lifecycle configuration."""
    raw, packages = buckets
    version = put(raw, "f/a", last_modified=WRITTEN)
    publish(packages, [entry_of(raw, "f/a", version)])
    if is_replaced:
        put(raw, "f/a", b"newer", last_modified=REPLACED)
    raw.lifecycle = lifecycle
    _, findings = await audit(s3)
    return [(each.code, each.first_loss) for each in findings]


@pytest.mark.parametrize(
    ("actions", "is_replaced", "expected"),
    [
        (NONCURRENT.format(""), True, (Code.EXPIRES, "2023-12-20")),
        # It will be, as soon as someone overwrites the object.
        (NONCURRENT.format(""), False, (Code.EXPIRES, None)),
        (
            NONCURRENT.format("<NewerNoncurrentVersions>3</NewerNoncurrentVersions>"),
            True,
            (Code.EXPIRES, None),
        ),
        # The first makes it noncurrent on 2023-11-25, the second deletes it.
        (EXPIRATION + NONCURRENT.format(""), False, (Code.EXPIRES, "2023-12-26")),
        (ARCHIVAL, False, (Code.WILL_BE_ARCHIVED, "2024-02-13")),
        (
            ARCHIVAL_ON_A_DATE,
            False,
            (Code.WILL_BE_ARCHIVED, "2024-03-01"),
        ),
        (
            ARCHIVAL_OF_NONCURRENT,
            True,
            (Code.WILL_BE_ARCHIVED, "2023-11-21"),
        ),
    ],
)
async def test_a_rule_that_will_bite_has_the_date_of_the_first_loss(
    s3: S3,
    buckets: tuple[Bucket, Bucket],
    actions: str,
    is_replaced: bool,
    expected: tuple[Code, str | None],
) -> None:
    found = await first_losses(s3, buckets, rule(actions), is_replaced=is_replaced)
    assert found == [expected]


async def test_expiration_deletes_objects_of_an_unversioned_bucket(
    s3: S3, buckets: tuple[Bucket, Bucket]
) -> None:
    buckets[0].versioning = Versioning.OFF
    found = await first_losses(s3, buckets, rule(EXPIRATION))
    assert found == [(Code.EXPIRES, "2023-11-25")]


@pytest.mark.parametrize(
    "harmless",
    [
        rule(EXPIRATION),  # the version stays behind a delete marker
        rule(NONCURRENT.format(""), status="Disabled"),
        rule(NONCURRENT.format(""), "<Filter><Prefix>logs/</Prefix></Filter>"),
        rule(NONCURRENT.format(""), "<Prefix>logs/</Prefix>"),
        rule(
            NONCURRENT.format(""),
            "<Filter><And><Prefix>f/</Prefix>"
            "<ObjectSizeGreaterThan>1000</ObjectSizeGreaterThan></And></Filter>",
        ),
        rule("<Transition><Days>1</Days><StorageClass>GLACIER_IR</StorageClass></Transition>"),
        rule(
            "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>"
        ),
        rule(
            "<AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation>"
            "</AbortIncompleteMultipartUpload>"
        ),
    ],
)
async def test_other_rules_are_no_findings(
    s3: S3, buckets: tuple[Bucket, Bucket], harmless: str
) -> None:
    assert await first_losses(s3, buckets, harmless) == []


async def test_a_rule_with_tags_says_so(s3: S3, buckets: tuple[Bucket, Bucket]) -> None:
    buckets[0].versioning = Versioning.OFF
    where = "<Filter><Tag><Key>tier</Key><Value>cold</Value></Tag></Filter>"
    raw, packages = buckets
    publish(packages, [entry_of(raw, "f/a", put(raw, "f/a"))])
    raw.lifecycle = rule(EXPIRATION, where)
    _, [finding] = await audit(s3)
    assert ", if they have its tags" in finding.happened


async def test_rules_that_cannot_be_read_are_unchecked(
    s3: S3, s3_stub: S3Stub, buckets: tuple[Bucket, Bucket]
) -> None:
    s3_stub.deny("GetBucketLifecycleConfiguration")
    assert await first_losses(s3, buckets, "") == [(Code.RULES_UNKNOWN, None)]
