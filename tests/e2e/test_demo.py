"""The demo from a user's view: deployed once with --keep, used with the printed settings.

The printed command ends it.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from quilt_packager.cli.demo import scenario
from quilt_packager.cli.demo.promises import LATE_FILE, LATE_NAME, RUN_NAME
from quilt_packager.cli.demo.scenario import EMPTY_FOLDER_MESSAGE, PACKAGES
from quilt_packager.local import samples
from quilt_packager.local.engine import BUCKET
from tests.running import listening_addresses

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("deployed"), pytest.mark.timeout(600)]

COMMAND = [str(Path(sys.executable).with_name("quilt-packager")), "demo"]
STACK = "quilt-packager"


@dataclass(frozen=True)
class Demo:
    """A demo that was kept.

    Attributes:
        output: Its output.
        settings: The printed shell settings.
        temporary: Its folder for temporary files.
        data: Its folder for the user's data.
    """

    output: str
    settings: dict[str, str]
    temporary: Path
    data: Path

    @property
    def process_ids(self) -> tuple[int, int]:
        """Process groups of the AWS and the page."""
        (kept,) = self.temporary.glob("quilt-packager-demo-*/kept.json")
        aws, page = json.loads(kept.read_text())
        return aws, page

    @property
    def page(self) -> str:
        """Address of the page."""
        return found(r"^  (http://\S+\?token=\S+)$", self.output)

    def client(self, service: str) -> Any:
        make: Any = boto3.client
        return make(
            service,
            endpoint_url=self.settings["AWS_ENDPOINT_URL"],
            aws_access_key_id=self.settings["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.settings["AWS_SECRET_ACCESS_KEY"],
            region_name=self.settings["AWS_REGION"],
        )

    def shell(self, commands: str) -> str:
        """Run commands in a shell with the printed settings."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        return subprocess.run(
            ["/bin/sh", "-c", commands],
            env=os.environ | self.settings | {"PATH": path},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def stop(self) -> str:
        """Run the printed command that stops it."""
        return self.shell(
            f"TMPDIR={self.temporary} {found('  (quilt-packager demo --stop)', self.output)}"
        )

    def jobs(self, package_name: str | None = None) -> list[dict[str, Any]]:
        """Return the outcomes that the function logged."""
        logs = self.client("logs")
        events = logs.filter_log_events(logGroupName=f"/quilt/{STACK}/PackagerLambda")["events"]
        lines = [line for event in events for line in event["message"].splitlines()]
        jobs = [json.loads(line) for line in lines if '"outcome"' in line]
        return [job for job in jobs if package_name in {None, job.get("package_name")}]

    def package(self, name: str) -> tuple[str, list[dict[str, Any]]]:
        """Return the top hash of a package and the lines of its manifest."""
        s3 = self.client("s3")
        pointer = s3.get_object(Bucket=BUCKET, Key=f".quilt/named_packages/{name}/latest")
        top_hash = pointer["Body"].read().decode()
        manifest = s3.get_object(Bucket=BUCKET, Key=f".quilt/packages/{top_hash}")["Body"].read()
        return top_hash, [json.loads(line) for line in manifest.splitlines()]


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    assert match is not None, text
    return match[1]


def environment(folder: Path) -> dict[str, str]:
    """Create the environment of a user, whose AWS settings the demo must ignore."""
    (folder / "tmp").mkdir()
    (folder / "data").mkdir()
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return os.environ | {
        "TMPDIR": str(folder / "tmp"),
        "XDG_DATA_HOME": str(folder / "data"),
        "XDG_CACHE_HOME": cache,
        "AWS_PROFILE": "production",
        "CDK_DEFAULT_ACCOUNT": "999999999999",
    }


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp("demo")
    ran = subprocess.run(
        [*COMMAND, "--keep"],
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    settings = dict(re.findall(r"^  export (\w+)=(.*)$", ran.stdout, re.MULTILINE))
    demo = Demo(ran.stdout, settings, folder / "tmp", folder / "data")
    yield demo
    demo.stop()


@pytest.mark.parametrize(
    ("name", "trigger"),
    [
        ("nextflow/rnaseq-7", "workflow_run_crate"),
        ("omics/3395667", "health_omics"),
        ("plates/plate-0093", "objects_ready"),
        ("cytometer/run-0041", "objects_ready"),
        ("cytometer/run-0042", "objects_ready"),
        ("assays/elisa-7", "message"),
    ],
)
def test_each_trigger_makes_its_package(demo: Demo, name: str, trigger: str) -> None:
    first, *_ = demo.jobs(name)
    assert (first["outcome"], first["trigger"]) == ("created", trigger)
    assert first["top_hash"] == demo.package(name)[0]


def test_a_complete_run_is_packaged_and_its_checksum_list_verified(demo: Demo) -> None:
    (created, *_) = demo.jobs(RUN_NAME)
    assert (created["verified"], created["checksum_lists"]) == (5, '"md5sum.txt"')
    assert '  verified   5 objects by "md5sum.txt"\n' in demo.output


def test_a_completed_run_that_lacks_a_file_is_awaited_and_then_whole(demo: Demo) -> None:
    assert f'1 file is missing of the run\'s summary: "{LATE_FILE}".' in demo.output
    _, (_, *entries) = demo.package(LATE_NAME)
    assert LATE_FILE in [entry["logical_key"] for entry in entries]


def test_a_damaged_file_is_rejected_with_both_md5_values(demo: Demo) -> None:
    shown = demo.output.partition("⊘ rejected  ChecksumMismatch\n")[2].partition("\n\n")[0]
    assert re.search(r'"raw/scan_01.tiff" \(md5: \w{32} in "md5sum.txt", \w{32} in S3\)', shown)
    with pytest.raises(Exception, match="NoSuchKey"):
        demo.package("plates/plate-0099")


def test_a_persons_readme_survives_the_next_revision(demo: Demo) -> None:
    _, (_, *entries) = demo.package(RUN_NAME)
    keys = [entry["logical_key"] for entry in entries]
    assert {"README.md", "reads/S3_L001_R1.fastq.gz"} <= set(keys)
    assert demo.jobs(RUN_NAME)[-1]["carried_entries"] == 1


def test_a_package_holds_every_file_of_its_folder_under_its_name(demo: Demo) -> None:
    folder = samples.nextflow_run("nextflow/rnaseq-7/")
    _, (_, *entries) = demo.package("nextflow/rnaseq-7")
    sizes = {entry["logical_key"]: entry["size"] for entry in entries}
    assert sizes == {path: len(data) for path, data in folder.files.items()}


@pytest.mark.parametrize("name", ["cytometer/run-0041", "cytometer/run-0042"])
def test_uploads_become_a_package_once_there_are_enough(demo: Demo, name: str) -> None:
    shown = demo.output.partition(f"✓ created  {name} in {BUCKET}, ")[2].partition("\n\n")[0]
    # It may have been announced before the last of the 25 came.
    assert 20 <= int(found(r"^(\d+) objects", shown)) <= 25
    assert "opened it and verified the top hash and every byte" in shown
    assert [job["outcome"] for job in demo.jobs(name)] == ["created"]


def test_the_metadata_of_the_crate_and_of_the_run_are_shown(demo: Demo) -> None:
    _, crate, run, *_ = re.findall(r"^  metadata +(.*)$", demo.output, re.MULTILINE)
    assert json.loads(crate)["workflow_engine"].startswith("Nextflow")
    assert json.loads(run)["workflow_name"] == "germline variants"


def test_the_events_of_all_outcomes_are_received(demo: Demo) -> None:
    events = re.findall(r"^  Package (\w+) +(\S+)$", demo.output, re.MULTILINE)
    assert sorted(events) == sorted(
        [
            *(("Created", name) for name in (RUN_NAME, RUN_NAME, LATE_NAME, *PACKAGES)),
            ("Rejected", "plates/plate-0099"),
            ("Unchanged", "assays/elisa-7"),
            ("Rejected", "not_uploaded/yet"),
        ]
    )


def test_the_message_decides_metadata_and_commit_message(demo: Demo) -> None:
    _, (header, *_) = demo.package("assays/elisa-7")
    assert header["user_meta"] == {"assay": "ELISA", "operator": "grace"}
    assert header["message"] == "First plate of the week"


@pytest.mark.parametrize("name", PACKAGES)
def test_quilt3_opens_and_verifies_each_package(demo: Demo, name: str) -> None:
    shown = demo.output.partition(f"✓ created  {name} in {BUCKET}, ")[2].partition("\n\n")[0]
    assert found(r"top hash +(\w{64})\n", shown) == demo.package(name)[0]
    assert "opened it and verified the top hash and every byte" in shown


@pytest.mark.parametrize("name", PACKAGES)
def test_the_first_entries_of_each_package_are_shown_with_their_hashes(
    demo: Demo, name: str
) -> None:
    shown = demo.output.partition(f"✓ created  {name} ")[2].partition("\n\n")[0]
    _, (_, *entries) = demo.package(name)
    rows = re.findall(r"^  (\S.*?) +([\d.]+ \w+)  (\S{44})$", shown, re.MULTILINE)
    assert [(key, value) for key, _, value in rows] == [
        (entry["logical_key"], entry["hash"]["value"]) for entry in entries[:3]
    ]
    assert (f"\n  and {len(entries) - 3} more" in shown) is (len(entries) > 3)


def test_the_same_message_again_is_unchanged_and_writes_nothing(demo: Demo) -> None:
    outcomes = [job["outcome"] for job in demo.jobs("assays/elisa-7")]
    assert outcomes == ["created", "unchanged"]
    assert "= unchanged  assays/elisa-7 " in demo.output
    prefix = ".quilt/named_packages/assays/elisa-7/"
    versions = demo.client("s3").list_object_versions(Bucket=BUCKET, Prefix=prefix)["Versions"]
    assert len(versions) == 2  # the pointer of the revision, and `latest`


def test_a_rejected_message_is_a_dead_letter_with_its_reason(demo: Demo) -> None:
    stack = demo.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
    urls = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    answer = demo.client("sqs").receive_message(
        QueueUrl=urls["PackagerDeadLetterQueueUrl"],
        MaxNumberOfMessages=10,
        MessageAttributeNames=["All"],
        VisibilityTimeout=0,
    )
    letters = [
        each for each in answer["Messages"] if json.loads(each["Body"]) == EMPTY_FOLDER_MESSAGE
    ]
    (letter,) = letters
    attributes = {name: it["StringValue"] for name, it in letter["MessageAttributes"].items()}
    assert attributes["code"] == "EmptySource"
    assert EMPTY_FOLDER_MESSAGE["source_prefix"] in attributes["reason"]
    assert "⊘ rejected  EmptySource\n" in demo.output
    assert attributes["reason"] in demo.output


def test_the_deployed_audit_finds_the_deleted_version(demo: Demo) -> None:
    name, file = scenario.DAMAGED_NAME, scenario.DAMAGED_FILE
    assert f'{name}  ObjectMissing  "{file}" does not exist.' in demo.output
    logs = demo.client("logs").filter_log_events(logGroupName=f"/quilt/{STACK}/AuditLambda")
    lines = [line for event in logs["events"] for line in event["message"].splitlines()]
    audited = [json.loads(line) for line in lines if '"package audited"' in line]
    assert {each["package_name"]: each["damaged"] for each in audited if each["damaged"]} == {
        name: 1
    }
    assert {*PACKAGES} <= {each["package_name"] for each in audited}


def test_a_second_run_names_the_package_of_its_input(demo: Demo) -> None:
    tree = json.loads(demo.shell(f"quilt-packager lineage {scenario.REPORT_NAME} --json"))
    assert [each["package_name"] for each in tree["inputs"]] == [scenario.INPUT_NAME]
    down = json.loads(demo.shell(f"quilt-packager lineage {scenario.INPUT_NAME} --down --json"))
    assert [each["package_name"] for each in down["users"]] == [scenario.REPORT_NAME]


def test_every_job_has_the_expected_outcome(demo: Demo) -> None:
    outcomes = sorted(job["outcome"] for job in demo.jobs())
    assert outcomes == [*["created"] * 11, "failed", *["rejected"] * 3, "unchanged"]


def test_a_kept_demo_has_several_failures_and_a_disabled_source(demo: Demo) -> None:
    failures = map(json.loads, demo.shell("quilt-packager failures --json").splitlines())
    assert {each["code"] for each in failures} == {
        "ChecksumMismatch",
        "EmptySource",
        "InvalidMessage",
        "LargeJobFailed",
    }
    sources = map(json.loads, demo.shell("quilt-packager sources --json").splitlines())
    assert {each["name"] for each in sources if each["differs"]} == {"edp"}


def test_the_page_is_served_at_the_printed_address(demo: Demo) -> None:
    browser = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor()
    )
    with browser.open(demo.page) as answer:
        assert f"<b>{STACK}</b> <i>us-east-1 · 123456789012</i>" in answer.read().decode()


def test_the_stack_has_the_outputs_that_users_rely_on(demo: Demo) -> None:
    stack = demo.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
    assert {output["OutputKey"] for output in stack["Outputs"]} == {
        "DataAccessRoleArns",
        "PackagerQueueArn",
        "PackagerQueueUrl",
        "PackagerDeadLetterQueueUrl",
    }


def test_a_pipe_gets_no_escape_sequences(demo: Demo) -> None:
    assert "\x1b" not in demo.output


def test_nothing_listens_beyond_the_loopback(demo: Demo) -> None:
    addresses = [each for leader in demo.process_ids for each in listening_addresses(leader)]
    assert {host for host, _ in addresses} == {"127.0.0.1"}


def test_the_users_quilt_data_is_unchanged(demo: Demo) -> None:
    assert list(demo.data.iterdir()) == []


# The remaining tests change the demo and end it, so they run last.


@pytest.mark.parametrize("line", range(3))
def test_the_printed_examples_work(demo: Demo, line: int) -> None:
    shown = demo.output.partition("Three things to try:\n")[2]
    examples = re.findall(r"^  (quilt-packager .*)$", shown, re.MULTILINE)
    assert len(examples) == 3
    begin = ["4 messages in 4 groups", "Can be packaged.", "✓ created"][line]
    assert demo.shell(examples[line]).startswith(begin)


def test_a_canary_flies_on_every_route(demo: Demo) -> None:
    demo.shell("quilt-packager sources enable edp")
    check = f"quilt-packager check --canary s3://{BUCKET}/canary/ --json"
    findings = json.loads(demo.shell(check))["findings"]
    assert [each for each in findings if each["status"] == "wrong"] == []
    routes = {each["subject"] for each in findings if " led to the package canary/" in each["text"]}
    assert routes == {"message", "omics", "wrroc", "edp", "uploads"}
    (opened,) = (each for each in findings if each["text"].startswith("quilt3 opened"))
    assert opened["status"] == "ok"
    for prefix in ("canary/", ".quilt/named_packages/canary/"):
        assert "Versions" not in demo.client("s3").list_object_versions(
            Bucket=BUCKET, Prefix=prefix
        )


def test_the_printed_command_ends_and_removes_everything(demo: Demo) -> None:
    assert demo.stop() == "Stopped 1 demo.\n"
    page = demo.page.partition("/?")[0]
    for url in (demo.settings["AWS_ENDPOINT_URL"], page):
        assert closes(url, within_seconds=10)
    assert list(demo.temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "sigterm"]
)
def test_an_interrupted_demo_leaves_nothing_behind(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    process = subprocess.Popen(
        COMMAND,
        env=environment(tmp_path) | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    endpoint = found("(http://.*?) ", process.stdout.readline())
    assert is_open(endpoint)
    process.send_signal(number)
    _, shown = process.communicate()
    assert (process.returncode, shown.splitlines()[-1]) == (
        code,
        "Interrupted. All processes are stopped, and all files are removed.",
    )
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not is_open(endpoint)


def closes(endpoint: str, *, within_seconds: float) -> bool:
    """Wait until a server that received a signal has ended."""
    deadline = time.monotonic() + within_seconds
    while is_open(endpoint) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_open(endpoint)


def is_open(endpoint: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(endpoint.rpartition(":")[2]))) == 0
