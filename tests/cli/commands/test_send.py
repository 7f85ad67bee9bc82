"""`quilt-packager send`: messages, queues and waiting."""

import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from quilt_packager_runtime.settings import Settings

from quilt_packager.cli.commands import wait
from quilt_packager.cli.commands.send import region_of
from quilt_packager.operations.deployment import configurations, deployments
from quilt_packager.operations.deployment.configurations import Configuration
from quilt_packager.operations.deployment.deployments import Deployment
from tests.cli.conftest import Cli
from tests.embedded_aws import WriteLog
from tests.operations.job_lines import Line, before_now, failed, line, progress, started, succeeded
from tests.s3_stub import Bucket, S3Stub

QUEUE = "https://sqs.eu-west-1.amazonaws.com/123456789012/prod-PackagerQueue-1A"


class Sqs:
    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.region: str | None = None
        self.error: Exception | None = None

    def make_client(self, _session: object, service: str, region: str | None) -> "Sqs":
        assert service == "sqs"
        self.region = region
        return self

    def send_message(self, **message: Any) -> dict[str, str]:
        if self.error:
            raise self.error
        self.sent.append(message)
        return {"MessageId": "51c0"}


@pytest.fixture
def raw(stub: S3Stub) -> Bucket:
    return stub.create_bucket("raw")


@pytest.fixture
def sqs(raw: Bucket, monkeypatch: pytest.MonkeyPatch) -> Sqs:
    sqs = Sqs()
    monkeypatch.setattr(deployments, "make_client", sqs.make_client)
    return sqs


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "No."}}, "SendMessage")


def test_options_describe_the_package(cli: Cli, sqs: Sqs) -> None:
    options = [
        "--name",
        "a/b",
        "--metadata",
        "run=42",
        "--metadata",
        "note=x",
        "--exclude",
        "*.tmp",
    ]
    options += ["--registry", "packages", "--workflow", ""]
    ran = cli("send", "s3://raw/runs/42/", *options, "--queue-url", QUEUE)
    assert ran.code == 0
    assert json.loads(sqs.sent[0]["MessageBody"]) == {
        "source_prefix": "s3://raw/runs/42/",
        "package_name": "a/b",
        "metadata": {"run": 42, "note": "x"},
        "exclude": ["*.tmp"],
        "registry": "packages",
        "workflow": "",
    }


def test_options_replace_fields_and_extend_metadata(cli: Cli, sqs: Sqs) -> None:
    body = json.dumps({"source_prefix": "s3://raw/1/", "metadata": {"a": 1, "b": 1}})
    cli("send", body, "--metadata", "b=2", "--queue-url", QUEUE)
    assert json.loads(sqs.sent[0]["MessageBody"])["metadata"] == {"a": 1, "b": 2}


@pytest.mark.parametrize("argument", ["-", "@"])
def test_message_is_read_from_a_file_or_stdin(
    cli: Cli, sqs: Sqs, argument: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = '{"source_prefix": "s3://raw/1/"}'
    (tmp_path / "message.json").write_text(body)
    monkeypatch.setattr("sys.stdin", io.StringIO(body))
    argument = f"@{tmp_path / 'message.json'}" if argument == "@" else argument
    assert cli("send", argument, "--no-metadata", "--queue-url", QUEUE).code == 0
    assert sqs.sent[0]["MessageBody"] == body


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("@missing.json",), "The file missing.json cannot be read."),
        (("s3://raw/1/", "--metadata", "run"), "Invalid --metadata: run"),
        (("[1]", "--name", "a/b"), "Options that describe a package need a folder"),
    ],
)
def test_arguments_of_no_message_are_refused(
    cli: Cli, sqs: Sqs, arguments: tuple[str, ...], error: str
) -> None:
    ran = cli("send", *arguments, "--queue-url", QUEUE)
    assert (ran.code, sqs.sent) == (3, [])
    assert error in ran.err


def test_a_folder_is_sent_as_a_message(cli: Cli, sqs: Sqs) -> None:
    ran = cli("send", "s3://raw/runs/42/", "--queue-url", QUEUE)
    assert (ran.code, ran.out) == (
        0,
        "Sent s3://raw/runs/42/ to prod-PackagerQueue-1A, message 51c0\n",
    )
    (message,) = sqs.sent
    assert message["QueueUrl"] == QUEUE
    assert json.loads(message["MessageBody"]) == {"source_prefix": "s3://raw/runs/42/"}


def test_a_message_in_json_is_sent_unchanged(cli: Cli, sqs: Sqs) -> None:
    body = '{"source_prefix":  "s3://raw/runs/42/", "unknown": 1}'
    cli("send", body, "--queue-url", QUEUE)
    assert sqs.sent[0]["MessageBody"] == body


def test_an_unknown_field_gets_a_warning(cli: Cli, sqs: Sqs) -> None:
    body = '{"source_prefix": "s3://raw/runs/42/", "packge_name": "a/b"}'
    ran = cli("send", body, "--queue-url", QUEUE)
    assert (ran.code, len(sqs.sent)) == (0, 1)
    assert "warning: Unknown field packge_name; did you mean package_name?" in ran.err


def test_a_folder_without_its_slash_is_not_sent(cli: Cli, sqs: Sqs, raw: Bucket) -> None:
    raw.put("runs/42/a.txt", b"hello")
    ran = cli("send", "s3://raw/runs/42", "--queue-url", QUEUE)
    assert (ran.code, sqs.sent) == (3, [])
    assert "Did you mean s3://raw/runs/42/?" in ran.err


def test_a_folder_at_the_root_of_a_bucket_needs_its_slash(cli: Cli, sqs: Sqs) -> None:
    ran = cli("send", "s3://raw/runs", "--queue-url", QUEUE)
    assert (ran.code, sqs.sent) == (3, [])
    assert "That is the whole bucket." in ran.err
    assert "Did you mean s3://raw/runs/?" in ran.err


@pytest.mark.parametrize("message", ["s3://raw/", '{"source_prefix": "s3://raw/runs"}'])
def test_a_whole_bucket_gets_a_warning(cli: Cli, sqs: Sqs, message: str) -> None:
    ran = cli("send", message, "--queue-url", QUEUE)
    assert (ran.code, len(sqs.sent)) == (0, 1)
    assert "warning: The message packages the whole bucket raw." in ran.err


class TestMetadata:
    """Metadata that is known of the folder."""

    CRATE = '{"@graph": [{"@id": "./", "@type": "Dataset", "name": "RNA"}]}'
    URI = "s3://raw/runs/42/ro-crate-metadata.json"

    def test_of_its_crate_is_filled_in(self, cli: Cli, sqs: Sqs, raw: Bucket) -> None:
        raw.put("runs/42/ro-crate-metadata.json", self.CRATE)
        ran = cli("send", "s3://raw/runs/42/", "--json", "--queue-url", QUEUE)
        fields = json.loads(sqs.sent[0]["MessageBody"])
        assert (fields["metadata_uri"], fields["metadata_format"]) == (self.URI, "ro-crate")
        found = f"{self.URI} (RO-Crate found in the folder)"
        assert ran.err == f"metadata: {found}; --no-metadata leaves it out\n"
        assert json.loads(ran.out)["metadata_found"] == found

    def test_is_left_out_on_request(self, cli: Cli, sqs: Sqs, raw: Bucket, stub: S3Stub) -> None:
        raw.put("runs/42/ro-crate-metadata.json", self.CRATE)
        cli("send", "s3://raw/runs/42/", "--no-metadata", "--queue-url", QUEUE)
        assert json.loads(sqs.sent[0]["MessageBody"]) == {"source_prefix": "s3://raw/runs/42/"}
        assert stub.requests == []

    def test_that_would_be_lost_is_named(self, cli: Cli, sqs: Sqs, raw: Bucket) -> None:
        raw.put("runs/42/a.txt", b"hello")
        cli("package", '{"source_prefix": "s3://raw/runs/42/", "metadata": {"study": "secret"}}')
        ran = cli("send", "s3://raw/runs/42/", "--json", "--queue-url", QUEUE)
        assert "1 metadata field that this one would not have: study" in ran.err
        assert "secret" not in ran.err
        assert json.loads(ran.out)["metadata_lost"] == ["study"]

    def test_that_cannot_be_looked_up_is_no_obstacle(
        self, cli: Cli, sqs: Sqs, raw: Bucket, stub: S3Stub
    ) -> None:
        raw.put("runs/42/ro-crate-metadata.json", self.CRATE)
        stub.on("GetObject", times=None).answer(403, "AccessDenied")
        ran = cli("send", "s3://raw/runs/42/", "--queue-url", QUEUE)
        assert (ran.code, len(sqs.sent)) == (0, 1)
        assert "warning: The folder's metadata was not looked up. Access denied" in ran.err


def test_the_region_is_that_of_the_queue(cli: Cli, sqs: Sqs) -> None:
    cli("send", "s3://raw/runs/42/", "--queue-url", QUEUE)
    assert sqs.region == "eu-west-1"


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("https://sqs.cn-north-1.amazonaws.com.cn/1/q", "cn-north-1"),
        ("https://sqs.eusc-de-east-1.amazonaws.eu/1/q", "eusc-de-east-1"),
        ("https://sqs.us-east-1.api.aws/1/q", "us-east-1"),
        ("https://sqs.us-east-1.amazonaws.eu/1/q", None),
        ("https://sqs.internal.example/1/q", None),
        ("http://127.0.0.1:4566/1/q", None),
        ("https://sqs.us-east-1.amazonaws.com.evil.example/1/q", None),
    ],
)
def test_only_a_queue_of_aws_names_its_region(url: str, region: str | None) -> None:
    assert region_of(url) == region


def test_an_invalid_message_is_not_sent(cli: Cli, sqs: Sqs) -> None:
    ran = cli("send", "{}", "--queue-url", QUEUE)
    assert (ran.code, sqs.sent) == (2, [])
    assert ran.out.startswith("⊘ rejected  InvalidMessage\n  happened   ")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (refusal("AWS.SimpleQueueService.NonExistentQueue"), 3),
        (refusal("ExpiredToken"), 4),
        (refusal("AccessDenied"), 4),
        (refusal("OverLimit"), 1),
        (EndpointConnectionError(endpoint_url=QUEUE), 4),
    ],
)
def test_an_error_of_sqs_has_its_exit_code(cli: Cli, sqs: Sqs, error: Exception, code: int) -> None:
    sqs.error = error
    ran = cli("send", "s3://raw/runs/42/", "--queue-url", QUEUE)
    assert (ran.code, ran.out) == (code, "")
    assert ran.err.startswith("error: ")


class TestStack:
    """A message for the engine of a stack."""

    FOLDER = "s3://raw/runs/1/"

    @pytest.fixture
    def answer(
        self, deployment: Deployment, write_log: WriteLog, monkeypatch: pytest.MonkeyPatch
    ) -> Callable[..., None]:
        """Writes lines of the message's job to the log: a list of lines for each poll."""

        def prepare(*polls: list[Callable[[str], Line]]) -> None:
            left = list(polls)

            def sleep(_: float) -> None:
                queue = deployment.queue_url
                (message,) = deployment.sqs.receive_message(QueueUrl=queue, VisibilityTimeout=0)[
                    "Messages"
                ]
                if not left:
                    raise KeyboardInterrupt
                write_log(*(make(message["MessageId"]) for make in left.pop(0)))

            monkeypatch.setattr(wait, "wait_for", partial(wait.wait_for, sleep=sleep))

        return prepare

    def test_is_sent_to_its_queue(self, cli: Cli, deployment: Deployment) -> None:
        ran = cli("send", self.FOLDER)
        (message,) = deployment.sqs.receive_message(QueueUrl=deployment.queue_url)["Messages"]
        queue = deployment.queue_url.rpartition("/")[2]
        sent = f"Sent {self.FOLDER} to {queue}, message {message['MessageId']}\n"
        assert (ran.code, ran.out) == (0, sent)

    def test_is_not_sent_if_the_engine_does_not_use_its_bucket(
        self, cli: Cli, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        known = Configuration(Settings(source_buckets=("other",)))
        monkeypatch.setattr(configurations, "read_configuration", lambda _: known)
        ran = cli("send", self.FOLDER)
        queue = deployment.queue_url
        assert (ran.code, ran.out.splitlines()[0]) == (2, "⊘ rejected  BucketNotAllowed")
        assert "Messages" not in deployment.sqs.receive_message(QueueUrl=queue)

    def test_is_sent_if_the_settings_of_the_engine_are_unknown(
        self, cli: Cli, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(_: object) -> None:
            raise refusal("AccessDenied")

        monkeypatch.setattr(configurations, "read_configuration", refuse)
        ran = cli("send", self.FOLDER)
        assert ran.code == 0
        assert "The engine's buckets were not checked." in ran.err

    def test_is_one_json_object(self, cli: Cli, deployment: Deployment) -> None:
        sent = json.loads(cli("send", self.FOLDER, "--json").out)
        assert sent["queue_url"] == deployment.queue_url
        assert sent["message_id"]
        assert sent["source"] == self.FOLDER

    def test_is_waited_for(self, cli: Cli, answer: Callable[..., None]) -> None:
        answer(
            [],
            [lambda job: started(job, before_now())],
            [lambda job: progress(job, before_now(), "checksums", 3, 10)],
            [lambda job: succeeded(job, before_now())],
        )
        ran = cli("send", self.FOLDER, "--wait")
        assert ran.code == 0
        assert ran.out.splitlines()[1:] == [
            "✓ created  runs/1 in packages, 12 objects, 2.0 KiB, 2.5 s",
            f"  top hash   {'ab' * 32}",
        ]

    def test_has_the_exit_code_of_its_job(self, cli: Cli, answer: Callable[..., None]) -> None:
        answer([lambda job: failed(job, before_now(), "rejected")])
        ran = cli("send", self.FOLDER, "--wait")
        assert ran.code == 2
        assert ran.out.splitlines()[1:] == [
            "⊘ rejected  EmptySource",
            "  happened   It is empty.",
            "  why        Nothing came.",
            "  do         Look there.",
        ]

    def test_is_waited_for_during_retries(self, cli: Cli, answer: Callable[..., None]) -> None:
        answer(
            [lambda job: failed(job, before_now(seconds=9))],
            [
                lambda job: started(job, before_now(seconds=5)),
                lambda job: failed(job, before_now(), final=True),
            ],
        )
        assert cli("send", self.FOLDER, "--wait").code == 1

    def test_has_its_own_exit_code_if_ignored(self, cli: Cli, answer: Callable[..., None]) -> None:
        answer([lambda job: line("message ignored", job, before_now(), why="it is left out")])
        ran = cli("send", self.FOLDER, "--wait")
        assert ran.code == 2
        assert ran.out.splitlines()[1].endswith("the message requests no package: it is left out")

    def test_has_its_outcome_in_json(self, cli: Cli, answer: Callable[..., None]) -> None:
        answer([lambda job: succeeded(job, before_now())])
        ended = json.loads(cli("send", self.FOLDER, "--wait", "--json").out)
        assert (ended["outcome"], ended["package_name"], ended["code"]) == (
            "created",
            "runs/1",
            None,
        )

    def test_continues_after_an_interruption(self, cli: Cli, answer: Callable[..., None]) -> None:
        answer([lambda job: started(job, before_now())])
        ran = cli("send", self.FOLDER, "--wait")
        message_id = ran.out.split()[-1]
        assert ran.code == 130
        assert f"quilt-packager jobs show {message_id}" in ran.err

    def test_suggested_command_addresses_the_same_engine(
        self, cli: Cli, answer: Callable[..., None]
    ) -> None:
        answer([lambda job: started(job, before_now())])
        ran = cli("send", self.FOLDER, "--wait", "--stack", "lab")
        message_id = ran.out.split()[-1]
        assert f"quilt-packager jobs show {message_id} --stack lab" in ran.err

    def test_continues_without_access_to_the_log(
        self, cli: Cli, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise refusal("AccessDenied")

        monkeypatch.setattr(wait, "wait_for", refuse)
        ran = cli("send", self.FOLDER, "--wait", "--json")
        (message,) = deployment.sqs.receive_message(QueueUrl=deployment.queue_url)["Messages"]
        assert (ran.code, ran.out) == (4, "")
        assert f"quilt-packager jobs show {message['MessageId']}" in ran.err


@pytest.mark.parametrize("option", [["--wait"], ["--stack", "lab"]])
def test_queue_url_excludes_stack_and_wait(cli: Cli, option: list[str]) -> None:
    ran = cli("send", "s3://raw/runs/42/", "--queue-url", QUEUE, *option)
    assert (ran.code, ran.out) == (3, "")
    assert "cannot be combined with --queue-url" in ran.err


def test_a_test_event_is_not_sent(cli: Cli, sqs: Sqs) -> None:
    ran = cli("send", '{"Event": "s3:TestEvent"}', "--queue-url", QUEUE)
    assert (ran.code, sqs.sent) == (3, [])
