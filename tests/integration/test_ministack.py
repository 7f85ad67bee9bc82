"""The embedded AWS starts, keeps to itself, speaks S3 and SQS as AWS does, and ends."""

import json
import os
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from quilt_packager.cli.app import run
from quilt_packager.local import ministack as ministack_module
from quilt_packager.local import processes, samples
from quilt_packager.local.errors import LocalError
from quilt_packager.local.ministack import ACCOUNT, MiniStack
from tests.running import group_members, listening_addresses

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


@pytest.fixture
def only_aws(ministack: MiniStack) -> Iterator[None]:
    with ministack.as_only_aws():
        yield


@pytest.fixture
def versioned(only_aws: None) -> "tuple[S3Client, str]":
    """A client, and the name of a new versioned bucket."""
    s3 = boto3.client("s3")
    bucket = f"bucket-{uuid.uuid4()}"
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return s3, bucket


linux_alone = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


class TestMiniStack:
    def test_listens_on_the_loopback_alone(self, ministack: MiniStack) -> None:
        addresses = listening_addresses(ministack.process_id)
        port = int(ministack.endpoint_url.rpartition(":")[2])
        assert addresses == {("127.0.0.1", port)}

    def test_is_the_account_of_the_examples(self, only_aws: None) -> None:
        assert boto3.client("sts").get_caller_identity()["Account"] == ACCOUNT

    @linux_alone
    def test_writes_into_its_own_directory_alone(self, ministack: MiniStack) -> None:
        environment = Path(f"/proc/{ministack.process_id}/environ").read_bytes().split(b"\0")
        directory = os.fsencode(ministack.directory)
        for name in (b"HOME", b"TMPDIR", b"STATE_DIR", b"S3_DATA_DIR"):
            (value,) = [line for line in environment if line.startswith(name + b"=")]
            assert value.startswith(name + b"=" + directory)

    @linux_alone
    def test_leaves_docker_alone(self, ministack: MiniStack) -> None:
        environment = Path(f"/proc/{ministack.process_id}/environ").read_bytes()
        (docker,) = [line for line in environment.split(b"\0") if line.startswith(b"DOCKER_HOST=")]
        assert not Path(os.fsdecode(docker.partition(b"unix://")[2])).exists()

    def test_ends_with_its_block(self, tmp_path: Path) -> None:
        with MiniStack(tmp_path) as aws:
            process_id = aws.process_id
        assert group_members(process_id) == []
        with pytest.raises(RuntimeError):
            _ = aws.process_id

    def test_takes_another_port_when_somebody_was_faster(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            find = ministack_module._free_port
            ports = iter([taken.getsockname()[1], find()])
            monkeypatch.setattr(ministack_module, "_free_port", lambda: next(ports))
            with MiniStack(tmp_path) as aws:
                assert aws.endpoint_url != f"http://127.0.0.1:{taken.getsockname()[1]}"

    def test_that_does_not_start_shows_its_log(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ministack_module, "HOST", "256.0.0.1")
        monkeypatch.setattr(ministack_module, "_free_port", lambda: 1)
        with pytest.raises(LocalError, match="did not start") as raised, MiniStack(tmp_path):
            pass
        assert raised.value.log

    def test_hides_every_other_aws_from_clients(
        self, ministack: MiniStack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_PROFILE", "production")
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        with ministack.as_only_aws():
            boto3.client("s3").list_buckets()
        assert os.environ["AWS_PROFILE"] == "production"


class TestS3:
    def test_gives_the_range_of_a_version(self, versioned: "tuple[S3Client, str]") -> None:
        s3, bucket = versioned
        version = s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")["VersionId"]
        s3.put_object(Bucket=bucket, Key="k", Body=b"new")
        answer = s3.get_object(Bucket=bucket, Key="k", VersionId=version, Range="bytes=2-4")
        assert answer["Body"].read() == b"234"
        assert answer["ContentRange"] == "bytes 2-4/10"

    def test_refuses_a_range_that_a_version_does_not_have(
        self, versioned: "tuple[S3Client, str]"
    ) -> None:
        s3, bucket = versioned
        version = s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")["VersionId"]
        with pytest.raises(ClientError, match="InvalidRange"):
            s3.get_object(Bucket=bucket, Key="k", VersionId=version, Range="bytes=10-11")


class TestEventBridge:
    def test_takes_the_events_of_health_omics(self, only_aws: None) -> None:
        event: Any = samples.health_omics_event("b", "runs/7/", account=ACCOUNT, region="us-east-1")
        assert boto3.client("events").put_events(Entries=[event])["FailedEntryCount"] == 0

    def test_refuses_those_of_every_other_aws_service(self, only_aws: None) -> None:
        event: Any = {"Source": "aws.s3", "DetailType": "Object Created", "Detail": "{}"}
        assert boto3.client("events").put_events(Entries=[event])["FailedEntryCount"] == 1


class TestCommand:
    def test_packages_a_folder(
        self, versioned: "tuple[S3Client, str]", capsys: pytest.CaptureFixture[str]
    ) -> None:
        s3, bucket = versioned
        folder = samples.nextflow_run("runs/7/")
        for path, data in folder.files.items():
            s3.put_object(Bucket=bucket, Key=folder.prefix + path, Body=data)
        assert run(["package", "--json", f"s3://{bucket}/runs/7/"]) == 0
        result = json.loads(capsys.readouterr().out)
        assert result["objects"] == len(folder.files)
        assert result["bytes"] == sum(map(len, folder.files.values()))

    def test_sends_a_message(self, only_aws: None, capsys: pytest.CaptureFixture[str]) -> None:
        sqs = boto3.client("sqs")
        url = sqs.create_queue(QueueName=f"queue-{uuid.uuid4()}")["QueueUrl"]
        assert run(["send", "s3://raw/runs/42/", "--queue-url", url]) == 0
        (message,) = sqs.receive_message(QueueUrl=url)["Messages"]
        assert json.loads(message["Body"]) == {"source_prefix": "s3://raw/runs/42/"}
        assert message["MessageId"] in capsys.readouterr().out

    def test_tells_of_a_queue_that_is_not_there(
        self, only_aws: None, ministack: MiniStack, capsys: pytest.CaptureFixture[str]
    ) -> None:
        url = f"{ministack.endpoint_url}/{ACCOUNT}/none"
        assert run(["send", "s3://raw/runs/42/", "--queue-url", url]) == 3
        assert "error: The queue does not exist.\n" in capsys.readouterr().err


class TestProcesses:
    def test_stopping_ends_what_a_process_started_too(self, tmp_path: Path) -> None:
        script = "sleep 1000 & echo ready; exec sleep 1000"
        log_path = tmp_path / "log"
        process = processes.start(
            ["/bin/sh", "-c", script],
            environment={},
            directory=tmp_path,
            log_path=log_path,
        )
        while not processes.last_lines(log_path, 1):
            pass
        assert len(group_members(process.pid)) == 2
        processes.stop(process)
        while group_members(process.pid):  # init reaps the orphan
            time.sleep(0.01)

    def test_one_that_does_not_listen_is_killed(self, tmp_path: Path) -> None:
        log_path = tmp_path / "log"
        process = processes.start(
            ["/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"],
            environment={},
            directory=tmp_path,
            log_path=log_path,
        )
        while not processes.last_lines(log_path, 1):
            pass
        processes.stop(process, grace_seconds=0.1)
        assert process.returncode == -9

    def test_a_private_directory_is_the_users_alone_until_it_is_removed(self) -> None:
        directory = processes.make_private_directory("quilt-packager-test-")
        assert directory.stat().st_mode & 0o077 == 0
        (directory / "file").touch()
        processes.remove(directory)
        assert not directory.exists()
