import threading
import time
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    IncompleteReadError,
    ResponseStreamingError,
)

from tests.s3_stub import Bucket, S3Stub

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


def test_the_nth_request_is_answered_with_an_error(
    boto_s3: "S3Client", s3_stub: S3Stub, bucket: Bucket
) -> None:
    bucket.put("k")
    rule = s3_stub.on("GetObject", nth=2, times=1).answer(503, "SlowDown")
    boto_s3.get_object(Bucket="bucket", Key="k")
    with pytest.raises(ClientError, match="SlowDown"):
        boto_s3.get_object(Bucket="bucket", Key="k")
    boto_s3.get_object(Bucket="bucket", Key="k")
    assert rule.hits == 1
    assert s3_stub.counts["GetObject"] == 3
    assert [request.status for request in s3_stub.requests] == [200, 503, 200]


def test_what_is_asked_for_again_is_not_distinct(
    boto_s3: "S3Client", s3_stub: S3Stub, bucket: Bucket
) -> None:
    bucket.put("k", b"hello")
    for part in ("bytes=0-1", "bytes=2-4", "bytes=0-1"):
        boto_s3.get_object(Bucket="bucket", Key="k", Range=part)
    boto_s3.head_object(Bucket="bucket", Key="k")
    assert s3_stub.counts == {"GetObject": 3, "HeadObject": 1}
    assert s3_stub.distinct_counts == {"GetObject": 2, "HeadObject": 1}


def test_a_rule_is_for_matching_requests_only(
    boto_s3: "S3Client", s3_stub: S3Stub, bucket: Bucket
) -> None:
    bucket.put("open/k")
    bucket.put("secret/k")
    s3_stub.deny("*Object", bucket="buck*", key="secret/*")
    boto_s3.get_object(Bucket="bucket", Key="open/k")
    for _ in range(2):
        with pytest.raises(ClientError, match="AccessDenied"):
            boto_s3.get_object(Bucket="bucket", Key="secret/k")


def test_a_refused_head_has_a_status_alone(
    boto_s3: "S3Client", s3_stub: S3Stub, bucket: Bucket
) -> None:
    s3_stub.deny("HeadObject")
    with pytest.raises(ClientError, match=r"\(403\).*Forbidden"):
        boto_s3.head_object(Bucket="bucket", Key="k")


def test_a_dropped_connection_applied_nothing(
    boto_s3: "S3Client", s3_stub: S3Stub, bucket: Bucket
) -> None:
    s3_stub.on("PutObject").drop_connection()
    with pytest.raises(ConnectionClosedError):
        boto_s3.put_object(Bucket="bucket", Key="k", Body=b"1")
    assert not bucket.get("k")


def test_a_lost_reply_leaves_what_was_applied(
    boto_s3: "S3Client", s3_stub: S3Stub, bucket: Bucket
) -> None:
    s3_stub.on("PutObject").lose_reply()
    with pytest.raises(ConnectionClosedError):
        boto_s3.put_object(Bucket="bucket", Key="k", Body=b"1")
    assert bucket.get("k")
    assert s3_stub.requests[0].status == 200


def test_a_cut_body_ends_early(boto_s3: "S3Client", s3_stub: S3Stub, bucket: Bucket) -> None:
    bucket.put("k", b"0123456789")
    s3_stub.on("GetObject").cut_body(4)
    body = boto_s3.get_object(Bucket="bucket", Key="k")["Body"]
    with pytest.raises((IncompleteReadError, ResponseStreamingError)):
        body.read()


def test_a_rewritten_body_is_consistent_http(
    boto_s3: "S3Client", s3_stub: S3Stub, bucket: Bucket
) -> None:
    bucket.put("k", b"0123456789", stored=[])
    s3_stub.on("GetObject").rewrite_body(lambda body: body + b"long")
    assert boto_s3.get_object(Bucket="bucket", Key="k")["Body"].read() == b"0123456789long"


def test_headers_can_be_changed_and_left_out(
    boto_s3: "S3Client", s3_stub: S3Stub, bucket: Bucket
) -> None:
    bucket.put("k", b"1", metadata={"a": "b"})
    s3_stub.on("HeadObject").rewrite_headers({"x-amz-meta-a": "c", "x-amz-version-id": None})
    head = boto_s3.head_object(Bucket="bucket", Key="k")
    assert head["Metadata"] == {"a": "c"}
    assert "VersionId" not in head


def test_a_slow_answer_holds_up_no_other(
    boto_s3: "S3Client", s3_stub: S3Stub, bucket: Bucket
) -> None:
    bucket.put("slow")
    s3_stub.on("HeadObject").delay(0.05)
    started = time.monotonic()
    thread = threading.Thread(target=lambda: boto_s3.head_object(Bucket="bucket", Key="slow"))
    thread.start()
    boto_s3.get_object(Bucket="bucket", Key="slow")
    thread.join()
    assert time.monotonic() - started >= 0.05


@pytest.mark.parametrize("is_applied", [False, True])
def test_a_paused_request_waits_before_or_after_it_is_applied(
    boto_s3: "S3Client", s3_stub: S3Stub, bucket: Bucket, is_applied: bool
) -> None:
    rule = s3_stub.on("PutObject")
    pause = rule.pause_after() if is_applied else rule.pause_before()
    thread = threading.Thread(
        target=lambda: boto_s3.put_object(Bucket="bucket", Key="k", Body=b"1")
    )
    thread.start()
    held = pause.wait()
    assert bool(bucket.get("k")) == is_applied
    assert held.request.key == "k"
    held.release()
    thread.join()
    assert bucket.get("k")


def test_reset_releases_what_waits(boto_s3: "S3Client", s3_stub: S3Stub, bucket: Bucket) -> None:
    bucket.put("k")
    pause = s3_stub.on("HeadObject", times=None).pause_after()
    thread = threading.Thread(target=lambda: boto_s3.head_object(Bucket="bucket", Key="k"))
    thread.start()
    pause.wait()
    s3_stub.reset()
    thread.join(timeout=10)
    assert not thread.is_alive()


def test_a_request_that_never_comes_fails_the_test(s3_stub: S3Stub) -> None:
    with pytest.raises(TimeoutError):
        s3_stub.on("PutObject").pause_before().wait(timeout_seconds=0.001)


def test_the_log_tells_who_asked(boto_s3: "S3Client", s3_stub: S3Stub, bucket: Bucket) -> None:
    boto_s3.head_bucket(Bucket="bucket")
    [request] = s3_stub.requests_of("HeadBucket")
    assert request.access_key == "AKIATESTTESTTESTTEST"
    assert request.signing_region == "us-east-1"
    assert request.session_token is None


def test_an_operation_that_the_stub_lacks_says_so(
    boto_s3: "S3Client", s3_stub: S3Stub, bucket: Bucket
) -> None:
    with pytest.raises(ClientError, match="NotImplemented"):
        boto_s3.get_bucket_acl(Bucket="bucket")
