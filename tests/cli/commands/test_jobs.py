"""`quilt-packager jobs`, on the log of an engine in an embedded AWS."""

import json
import os
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from quilt_packager.operations.deployment.deployments import Deployment
from quilt_packager.operations.jobs import links, watch
from quilt_packager.operations.jobs.job import Job, State
from tests.cli.conftest import Cli
from tests.cli.terminals import on_terminal
from tests.embedded_aws import WriteLog
from tests.operations.dead_letters.letters import send_dead_letter
from tests.operations.job_lines import (
    before_now,
    failed,
    progress,
    started,
    succeeded,
)

RUN = """
import sys
from quilt_packager.cli.app import run
sys.exit(run(sys.argv[1:] or {arguments!r}))
"""

ID = "3f9a61c2-0000-4000-8000-00000000009e"


@pytest.fixture
def day(write_log: WriteLog) -> None:
    """Jobs of all outcomes."""
    write_log(started("a", before_now(seconds=12), "rnaseq/cohort-12"))
    write_log(progress("a", before_now(seconds=2), "checksums", 31_940, 48_112))
    write_log(
        succeeded("b", before_now(minutes=4), name="rnaseq/run-8841", trigger="workflow_run_crate")
    )
    write_log(failed("c", before_now(minutes=11), "rejected", name="imaging/plate-0093"))
    write_log(succeeded("d", before_now(minutes=18), "unchanged", name="rnaseq/run-8840"))
    write_log(failed("e", before_now(minutes=39), name="wgs/NA12878", final=True))


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A profile of AWS's configuration, with the credentials that the environment has."""
    credentials = tmp_path / "credentials"
    credentials.write_text(
        f"[prod]\naws_access_key_id = {os.environ['AWS_ACCESS_KEY_ID']}\n"
        f"aws_secret_access_key = {os.environ['AWS_SECRET_ACCESS_KEY']}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    return "prod"


def test_an_engine_without_jobs_has_no_list(cli: Cli, deployment: Deployment) -> None:
    ran = cli("jobs")
    assert ran.code == 0
    assert ran.out.startswith("No jobs since ")


@pytest.mark.usefixtures("day")
class TestList:
    def test_has_a_row_for_each_job_and_a_total(self, cli: Cli) -> None:
        lines = cli("jobs").out.splitlines()
        assert lines[0].split() == [
            *("OUTCOME", "PACKAGE", "SOURCE", "STARTED", "TIME", "OBJECTS", "SIZE", "JOB"),
        ]
        assert [line.split()[1:3] for line in lines[1:-1]] == [
            ["running", "rnaseq/cohort-12"],
            ["created", "rnaseq/run-8841"],
            ["rejected", "imaging/plate-0093"],
            ["unchanged", "rnaseq/run-8840"],
            ["failed", "wgs/NA12878"],
        ]
        assert lines[-1] == "5 jobs: 1 running, 1 created, 1 unchanged, 1 rejected, 1 failed"

    def test_shows_errors_and_progress(self, cli: Cli) -> None:
        lines = cli("jobs").out.splitlines()
        assert lines[1].endswith("  Checking 31,940 of 48,112 objects")
        assert lines[3].endswith("  EmptySource: It is empty.")

    def test_matches_its_filters(self, cli: Cli) -> None:
        filters = ["--name", "rnaseq/*", "--outcome", "created", "--outcome", "running"]
        lines = cli("jobs", *filters).out.splitlines()
        assert lines[-1] == "2 jobs: 1 running, 1 created"
        assert cli("jobs", "--since", "5m").out.splitlines()[-1] == "2 jobs: 1 running, 1 created"

    @pytest.mark.parametrize(
        ("filters", "packages"),
        [
            (("--outcome", "rejected,failed"), ["imaging/plate-0093", "wgs/NA12878"]),
            (("--source", "nextflow run"), ["rnaseq/run-8841"]),
            (("--code", "EmptySource", "--until", "20m"), ["wgs/NA12878"]),
            (("--folder", "s3://raw/runs/"), ["rnaseq/cohort-12"]),
            (("--folder", "s3://raw/runs/2"), []),
        ],
        ids=lambda value: " ".join(value[:2]),
    )
    def test_matches_each_filter(
        self, cli: Cli, filters: tuple[str, ...], packages: list[str]
    ) -> None:
        jobs = [json.loads(line) for line in cli("jobs", *filters, "--json").out.splitlines()]
        assert [job["package_name"] for job in jobs] == packages

    def test_without_matches_says_so(self, cli: Cli) -> None:
        assert cli("jobs", "--name", "x").out.startswith("No job matches.")

    @pytest.mark.parametrize(
        ("filters", "hint"),
        [
            (("--code", "AccesDenied"), "--code AccesDenied: Did you mean AccessDenied?\n"),
            (("--source", "uplod"), "--source uplod: Did you mean Upload?\n"),
            (("--code", "AccessDenied", "--source", "com.example.lims"), ""),
        ],
    )
    def test_without_matches_suggests_a_known_value(
        self, cli: Cli, filters: tuple[str, ...], hint: str
    ) -> None:
        assert cli("jobs", *filters).err == hint

    def test_of_a_period_that_ends_before_it_begins_are_wrong_usage(self, cli: Cli) -> None:
        ran = cli("jobs", "--since", "2h", "--until", "3d")
        assert (ran.code, ran.out) == (3, "")
        assert "why  --until is not after --since." in ran.err

    def test_that_is_cut_off_says_so(self, cli: Cli) -> None:
        ran = cli("jobs", "--limit", "2")
        assert ran.out.splitlines()[-1] == "2 jobs: 1 running, 1 created"
        assert "More jobs may match: use --limit 20" in ran.err

    def test_suggests_details_of_a_failed_job(self, cli: Cli) -> None:
        ran = cli("jobs")
        assert ran.err == "Details of a job: quilt-packager jobs show c\n"
        assert cli("jobs", "show", "c…").code == 0

    def test_suggests_commands_for_the_same_engine(self, cli: Cli, profile: str) -> None:
        ran = cli("jobs", "--stack", "lab", "--profile", profile)
        options = f"--stack lab --profile {profile}"
        assert ran.err == f"Details of a job: quilt-packager jobs show c {options}\n"
        arguments = ["jobs", "--stack", "lab", "--profile", profile, "--region", "us-east-1"]
        assert f"show c {options} --region us-east-1" in on_terminal(
            RUN.format(arguments=arguments)
        )
        ran = cli("jobs", "show", "77", "--stack", "lab")
        assert "quilt-packager jobs --since 7d --stack lab" in ran.err

    def test_with_json_is_one_object_per_job(self, cli: Cli) -> None:
        ran = cli("jobs", "--json", "--outcome", "failed")
        (job,) = [json.loads(line) for line in ran.out.splitlines()]
        assert (job["id"], job["code"], job["final"]) == ("e", "EmptySource", True)
        assert re.fullmatch(r"[\d-]+T[\d:]+Z", job["started"])
        assert set(job) == set(Job.__struct_fields__)

    def test_on_a_narrow_terminal_has_errors_below_its_rows(self, deployment: Deployment) -> None:
        written = on_terminal(RUN.format(arguments=["jobs"]), NO_COLOR="1")
        lines = [line.rstrip() for line in written.splitlines()]
        assert lines[0].split() == ["OUTCOME", "PACKAGE", "STARTED", "TIME", "SIZE", "JOB"]
        assert re.fullmatch(r"◐ running    rnaseq/cohort-12 +\d+ s ago +\d+\.\d s +-  a", lines[1])
        assert lines[2] == "             Checking 31,940 of 48,112 objects"
        assert all(len(line) <= 80 for line in lines)


@pytest.mark.usefixtures("deployment")
class TestMisuse:
    @pytest.mark.parametrize("since", ["soon", "2999-01-01"])
    def test_of_since_shows_an_example(self, cli: Cli, since: str) -> None:
        ran = cli("jobs", "--since", since)
        assert (ran.code, ran.out) == (3, "")
        assert "--since 2h" in ran.err

    def test_of_an_outcome_names_the_valid_ones(self, cli: Cli) -> None:
        ran = cli("jobs", "--outcome", "good")
        assert ran.code == 3
        assert "unchanged" in ran.err
        assert "Did you mean queued?" in cli("jobs", "--outcome", "created,queue").err

    def test_of_limit_with_follow_is_an_error(self, cli: Cli) -> None:
        ran = cli("jobs", "--follow", "--limit", "50")
        assert (ran.code, ran.out) == (3, "")
        assert "--limit and --follow cannot be combined." in ran.err

    def test_of_options_before_show_is_an_error(self, cli: Cli) -> None:
        assert cli("jobs", "--json", "show", "a").code == 3
        assert cli("jobs", "--since", "2h", "show", "a").code == 3

    def test_of_an_unknown_id_is_an_error(self, cli: Cli) -> None:
        ran = cli("jobs", "show", "77")
        assert (ran.code, ran.out) == (3, "")
        assert ran.err.startswith('error: There is no job "77".')


class TestFollow:
    def test_writes_each_outcome_once_until_it_is_interrupted(
        self, cli: Cli, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def job(job_id: str, state: State) -> Job:
            name = f"{job_id}/1"
            return Job(
                id=job_id,
                outcome=state,
                started=before_now(),
                updated=before_now(),
                package_name=name,
            )

        def follow(*_: Any) -> Iterator[Job]:
            yield job("a", State.RUNNING)
            yield job("a", State.RUNNING)
            yield job("b", State.RUNNING)
            yield job("a", State.CREATED)
            raise KeyboardInterrupt

        monkeypatch.setattr(watch, "follow", follow)
        ran = cli("jobs", "--follow", "--name", "a/*")
        assert ran.code == 130
        assert [line.split()[1:] for line in ran.out.splitlines()] == [
            ["◐", "running", "a", "a/1"],
            ["✓", "created", "a", "a/1"],
        ]


class TestShow:
    def test_takes_the_beginning_of_the_id_of_a_dead_letter(
        self, cli: Cli, write_log: WriteLog, deployment: Deployment
    ) -> None:
        write_log(started(ID, before_now(seconds=9)), failed(ID, before_now(seconds=1)))
        letter = send_dead_letter(deployment, "{}", code="EmptySource", job_id=ID)
        assert letter[:8] != ID[:8]
        assert json.loads(cli("jobs", "show", letter[:8], "--json").out)["job"]["id"] == ID

    def test_shows_all_facts_of_a_package(
        self, cli: Cli, write_log: WriteLog, deployment: Deployment
    ) -> None:
        began = before_now(seconds=9)
        write_log(
            started(ID, began),
            progress(ID, began + timedelta(seconds=1), "listing", 0, None),
            progress(ID, began + timedelta(seconds=3), "checksums", 3),
            succeeded(ID, began + timedelta(seconds=8)),
        )
        lines = cli("jobs", "show", "3f9a").out.splitlines()
        assert lines[0].startswith("✓ created  runs/1  ")
        assert lines[0].endswith(", 2.5 s")
        assert [each for each in lines if each.startswith(("Source", "Checksums", "Phases"))] == [
            "Checksums  2 reused, 10 stored, 0 computed",
            "Source     s3://raw/runs/1/  HealthOmics event e1",
            "Phases     listing 2.0 s, checksums 5.0 s",
        ]
        assert f"Package    quilt+s3://packages#package=runs/1@{'ab' * 32}" in lines
        assert re.fullmatch(
            r"[\d-]+T[\d:.]+Z  INFO +package progress +phase=checksums  done=3  total=10", lines[-2]
        )

    def test_shows_all_sources(self, cli: Cli, write_log: WriteLog, deployment: Deployment) -> None:
        began = before_now(seconds=9)
        sources = [{"prefix": "s3://raw/runs/1/"}, {"prefix": "s3://results/1/", "into": "r/"}]
        write_log(started(ID, began, sources=sources))
        lines = [line.split() for line in cli("jobs", "show", ID).out.splitlines()]
        first = lines.index(["Sources", "s3://raw/runs/1/", "/"])
        assert lines[first + 1] == ["s3://results/1/", "r/"]

    def test_counts_the_objects_that_checksum_lists_verify(
        self, cli: Cli, write_log: WriteLog, deployment: Deployment
    ) -> None:
        began = before_now(seconds=9)
        lists: dict[str, Any] = {"verified": 12, "checksum_lists": '"md5sum.txt"'}
        write_log(started(ID, began), succeeded(ID, began + timedelta(seconds=8), **lists))
        lines = cli("jobs", "show", ID).out.splitlines()
        assert 'Verified   12 objects by "md5sum.txt"' in lines

    def test_begins_with_the_error_of_a_failed_job(
        self, cli: Cli, write_log: WriteLog, deployment: Deployment
    ) -> None:
        write_log(started(ID, before_now(seconds=9)), failed(ID, before_now(seconds=1)))
        lines = cli("jobs", "show", ID).out.splitlines()
        assert lines[1:6] == [
            "  code       EmptySource",
            "  happened   It is empty.",
            "  why        Nothing came.",
            "  do         Look there.",
            "             It will be retried.",
        ]

    def test_shows_every_attempt(
        self, cli: Cli, write_log: WriteLog, deployment: Deployment
    ) -> None:
        write_log(started(ID, before_now(hours=2)), failed(ID, before_now(hours=1)))
        write_log(
            started(ID, before_now(minutes=9), delivery=2), succeeded(ID, before_now(minutes=8))
        )
        out = cli("jobs", "show", ID).out
        assert re.search(r"^Attempts +\S+Z  failed  1.0 s  EmptySource$", out, re.MULTILINE)
        assert re.search(r"^ +\S+Z  created  2.5 s$", out, re.MULTILINE)

    def test_with_json_is_one_object_with_all_fields_of_all_lines(
        self, cli: Cli, write_log: WriteLog, deployment: Deployment
    ) -> None:
        write_log(started(ID, before_now(seconds=9)), succeeded(ID, before_now(seconds=1)))
        shown = json.loads(cli("jobs", "show", ID, "--json").out)
        assert (shown["job"]["id"], shown["job"]["outcome"]) == (ID, "created")
        assert [each["outcome"] for each in shown["attempts"]] == ["created"]
        assert shown["lines"][0]["source"] == "s3://raw/runs/1/"
        assert shown["links"] == {"catalog": None, "execution": None}

    def test_links_to_the_catalog(
        self, cli: Cli, write_log: WriteLog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_log(started(ID, before_now(seconds=9)), succeeded(ID, before_now(seconds=1)))
        link = "https://catalog.example.com/b/packages/packages/runs/1/tree/abab"
        monkeypatch.setattr(links, "find_links", lambda *_: links.Links(link, None))
        assert f"Catalog    {link}" in cli("jobs", "show", ID).out.splitlines()

    def test_logged_text_cannot_control_the_terminal(
        self, cli: Cli, write_log: WriteLog, deployment: Deployment
    ) -> None:
        write_log(started(ID, before_now(), "[red]\x1b[31m"))
        out = cli("jobs", "show", ID).out
        assert "[red]\\x1b[31m" in out
        assert "\x1b" not in out
