"""`quilt-packager failures`, on an embedded AWS: what is told, asked, sent again and discarded."""

import functools
import json
from pathlib import Path

import pytest
from quilt_packager_runtime import errors

from quilt_packager.cli.commands import failures as command
from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.operations.dead_letters.queue import read_failures
from quilt_packager.operations.deployment.deployments import Deployment
from tests.cli.conftest import Cli
from tests.cli.terminals import on_terminal
from tests.operations.dead_letters.letters import (
    bodies_in,
    folder,
    object_created,
    put_aside,
    redrive,
    reject,
)

DENIED = errors.AccessDenied(
    "The packager may not decrypt objects under s3://raw/.",
    why="The key's policy does not name it.",
    remedy="Allow it to the role, deploy, and retry.",
)
CUSTOM_EVENT = object_created("a/1/done.txt")
CRATE_EVENT = object_created("a/1/ro-crate-metadata.json")
BUSY = errors.ServiceUnavailable("S3 answered 503.", why="It is throttled.", remedy="Retry.")


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What somebody answers to the questions to come, and in the end the questions."""
    given: list[str] = []

    def ask(_: Terminal, question: str) -> str:
        given.append(question)
        return given.pop(0)

    monkeypatch.setattr(Terminal, "ask", ask)
    return given


def left(deployment: Deployment) -> list[str]:
    return bodies_in(deployment, deployment.dead_letter_queue_url)


def sent(deployment: Deployment) -> list[str]:
    return bodies_in(deployment, deployment.queue_url)


def test_nothing_has_failed(cli: Cli, deployment: Deployment) -> None:
    assert cli("failures").out == "Nothing has failed.\n"
    assert cli("failures", "retry", "--all").out == "Nothing has failed.\n"


def test_failures_are_told_by_their_reasons(cli: Cli, deployment: Deployment) -> None:
    for name in ("a/1", "a/2"):
        reject(deployment, DENIED, folder(name), package_name=name)
    job_id = redrive(deployment, folder("a/3"))
    out = cli("failures").out
    assert out.startswith("3 messages in 2 groups.")
    lines = out.splitlines()
    first = lines.index(" 2  AccessDenied  Access denied")
    assert lines[first + 1 : first + 5] == [
        "    happened   The packager may not decrypt objects under s3://raw/.",
        "    why        The key's policy does not name it.",
        "    do         Allow it to the role, deploy, and retry. A plain retry fails again.",
        "               quilt-packager failures retry --code AccessDenied",
    ]
    assert any(job_id in line and "a/3" in line for line in lines)


def test_commands_address_the_same_engine(
    cli: Cli, deployment: Deployment, answers: list[str]
) -> None:
    reject(deployment, DENIED, folder("a/1"))
    chosen = ["--stack", deployment.name, "--region", deployment.region]
    retrying = "               quilt-packager failures retry --code AccessDenied"
    assert f"{retrying} {' '.join(chosen)}" in cli("failures", *chosen).out.splitlines()
    refused = " ".join(cli("failures", "retry", *chosen).err.split())
    assert f"quilt-packager failures {' '.join(chosen)} shows ids and codes." in refused
    answers.append("y")
    ran = cli("failures", "retry", "--all", *chosen)
    assert f"Follow them: quilt-packager jobs --follow {' '.join(chosen)}\n" in ran.err


def test_command_is_not_cut_into_lines_on_a_terminal(deployment: Deployment) -> None:
    reject(deployment, DENIED, folder("a/1"))
    arguments = ["failures", "--stack", deployment.name, "--region", deployment.region]
    written = on_terminal(f"from quilt_packager.cli.app import run; run({arguments!r})")
    command = "quilt-packager failures retry --code AccessDenied --stack lab --region us-east-1"
    assert command in written


def test_retry_that_would_lose_an_event_is_not_proposed(cli: Cli, deployment: Deployment) -> None:
    stays = put_aside(deployment, CUSTOM_EVENT, ERROR_CODE="NO_PERMISSIONS")
    out = cli("failures").out
    assert "do         It cannot be retried: its rule would have made a message of it." in out
    assert "quilt-packager failures" not in out
    assert not json.loads(cli("failures", "--json").out)["can_retry"]
    put_aside(deployment, CRATE_EVENT, ERROR_CODE="NO_PERMISSIONS")
    lines = cli("failures").out.splitlines()
    assert any("1 event cannot be retried: its rule" in line for line in lines)
    assert any("quilt-packager failures retry --code Undelivered" in line for line in lines)
    assert [stays in line for line in lines if "It cannot be retried" in line] == [True]


def test_discarding_is_proposed_for_what_its_sender_wrote_wrongly(
    cli: Cli, deployment: Deployment
) -> None:
    put_aside(deployment, "{}", code="InvalidMessage")
    assert "quilt-packager failures discard --code InvalidMessage" in cli("failures").out


def test_message_that_is_not_valid_is_shown_by_what_its_sender_wrote(
    cli: Cli, deployment: Deployment
) -> None:
    letter = put_aside(deployment, '{"source_prefix": "raw/runs/1"}', code="InvalidMessage")
    (line,) = (line for line in cli("failures").out.splitlines() if letter in line)
    assert line.split()[1] == "raw/runs/1"


def test_different_failures_of_a_code_are_each_told(cli: Cli, deployment: Deployment) -> None:
    for name in ("a/1", "a/2"):
        happened = f"s3://raw/{name}/ holds no objects."
        reject(deployment, errors.EmptySource(happened, why="So.", remedy="Look."), folder(name))
    out = cli("failures").out
    assert "happened   The source folder contained no objects to package." in out
    assert "s3://raw/a/1/ holds no objects." in out
    assert "s3://raw/a/2/ holds no objects." in out


def test_failures_that_are_about_to_be_lost_are_told(cli: Cli, deployment: Deployment) -> None:
    deployment.sqs.set_queue_attributes(
        QueueUrl=deployment.dead_letter_queue_url,
        Attributes={"MessageRetentionPeriod": str(22 * 3600)},
    )
    reject(deployment, DENIED)
    assert cli("failures").out.startswith("1 message in 1 group. SQS deletes them within 22 h.")


def test_json_is_one_object_a_line(cli: Cli, deployment: Deployment) -> None:
    reject(deployment, DENIED, folder("a/1"), job_id="51c0", package_name="a/1", registry="reg")
    (line,) = cli("failures", "--json").out.splitlines()
    told = json.loads(line)
    assert told["code"] == "AccessDenied"
    assert told["needs_change"]
    assert (told["job_id"], told["package_name"], told["registry"]) == ("51c0", "a/1", "reg")
    assert told["body"] == folder("a/1")
    assert told["origin"] == "packager"


def test_terminal_shows_short_ids_of_a_few(deployment: Deployment) -> None:
    ids = [put_aside(deployment, folder(f"a/{n}"), code="EmptySource") for n in range(12)]
    out = on_terminal("from quilt_packager.cli.app import run; run(['failures'])", NO_COLOR="1")
    shown = [each for each in ids if f"{each[:8]}…" in out]
    assert len(shown) == 10
    assert "and 2 more" in out


def test_nothing_is_left_out_of_a_file(deployment: Deployment, tmp_path: Path) -> None:
    ids = [put_aside(deployment, folder(f"a/{n}"), code="EmptySource") for n in range(12)]
    file = tmp_path / "failures"
    on_terminal(
        f"import sys; sys.stdout = open({str(file)!r}, 'w'); "
        "from quilt_packager.cli.app import run; run(['failures'])"
    )
    assert all(each in file.read_text() for each in ids)


def test_retry_asks_and_warns_of_what_fails_again(
    cli: Cli, deployment: Deployment, answers: list[str]
) -> None:
    reject(deployment, DENIED, folder("a/1"))
    reject(deployment, BUSY, folder("a/2"))
    answers.append("y")
    ran = cli("failures", "retry", "--all")
    assert answers == [
        "Retry 2 messages? 1 was rejected and will fail again unless something changed. [y/N]"
    ]
    assert (ran.code, ran.out) == (0, "Sent again 2 of 2.\n")
    assert "quilt-packager jobs --follow" in ran.err
    assert (len(sent(deployment)), left(deployment)) == (2, [])


@pytest.mark.parametrize("chosen", ["--all", "--code", "id"])
def test_event_that_a_retry_would_lose_stays(cli: Cli, deployment: Deployment, chosen: str) -> None:
    stays = put_aside(deployment, CUSTOM_EVENT, ERROR_CODE="NO_PERMISSIONS")
    arguments = {"--all": ["--all"], "--code": ["--code", "Undelivered"], "id": [stays]}[chosen]
    ran = cli("failures", "retry", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert "1 event cannot be retried: its rule would have made a message of it." in ran.err
    assert f"Left alone: {stays}." in ran.err
    assert (left(deployment), sent(deployment)) == ([CUSTOM_EVENT], [])


def test_retry_leaves_what_it_would_lose_and_says_so(
    cli: Cli, deployment: Deployment, answers: list[str]
) -> None:
    stays = put_aside(deployment, CUSTOM_EVENT, ERROR_CODE="NO_PERMISSIONS")
    put_aside(deployment, CRATE_EVENT, ERROR_CODE="NO_PERMISSIONS")
    answers.append("y")
    ran = cli("failures", "retry", "--code", "Undelivered")
    assert answers == ["Retry 1 message? [y/N]"]
    assert (ran.code, ran.out) == (2, "Sent again 1 of 2.\n")
    assert f"Left alone: {stays}." in ran.err
    assert (left(deployment), sent(deployment)) == ([CUSTOM_EVENT], [CRATE_EVENT])
    ran = cli("failures", "retry", "--all", "--yes", "--json")
    told = json.loads(ran.out)
    assert (ran.code, told["sent"], [each["id"] for each in told["kept"]]) == (2, [], [stays])
    assert "Send that message by hand" in told["kept"][0]["remedy"]


@pytest.mark.parametrize("answer", ["", "n"])
def test_retry_that_is_not_wanted_does_nothing(
    cli: Cli, deployment: Deployment, answers: list[str], answer: str
) -> None:
    reject(deployment, BUSY)
    answers.append(answer)
    assert cli("failures", "retry", "--all").code == 0
    assert (len(left(deployment)), sent(deployment)) == (1, [])


@pytest.mark.parametrize("action", ["retry", "discard"])
def test_nobody_to_answer_is_told(cli: Cli, deployment: Deployment, action: str) -> None:
    reject(deployment, BUSY)
    ran = cli("failures", action, "--all")
    assert (ran.code, ran.out) == (3, "")
    assert "--yes" in ran.err
    assert len(left(deployment)) == 1


def test_only_the_messages_of_a_code_are_retried(cli: Cli, deployment: Deployment) -> None:
    reject(deployment, DENIED, folder("a/1"))
    reject(deployment, BUSY, folder("a/2"))
    assert cli("failures", "retry", "--code", "ServiceUnavailable", "--yes").code == 0
    assert sent(deployment) == [folder("a/2")]
    assert left(deployment) == [folder("a/1")]


def test_message_is_known_by_how_its_id_or_its_jobs_begins(
    cli: Cli, deployment: Deployment
) -> None:
    letter = put_aside(deployment, folder("a/1"), code="EmptySource")
    reject(deployment, BUSY, folder("a/2"), job_id="51c0-77")
    reject(deployment, BUSY, folder("a/3"), job_id="62d1")
    cli("failures", "retry", letter[:12], "51c0", "--yes")
    assert sent(deployment) == [folder("a/1"), folder("a/2")]


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        (("nothing",), "the id of no failure"),
        (("51c0",), "2 begin so."),
        (("--code", "WriteConflict"), "There are: ServiceUnavailable."),
        ((), "ids, --code, or --all"),
        (("51c0-1", "--all"), "ids, --code, or --all"),
    ],
)
def test_choice_without_sense_is_told(
    cli: Cli, deployment: Deployment, chosen: tuple[str, ...], said: str
) -> None:
    reject(deployment, BUSY, folder("a/1"), job_id="51c0-1")
    reject(deployment, BUSY, folder("a/2"), job_id="51c0-2")
    ran = cli("failures", "discard", *chosen, "--yes")
    assert ran.code == 3
    assert said in ran.err
    assert len(left(deployment)) == 2


def test_discard_wants_the_count(cli: Cli, deployment: Deployment, answers: list[str]) -> None:
    reject(deployment, DENIED, folder("a/1"), package_name="a/1")
    reject(deployment, DENIED, folder("a/2"), package_name="a/2")
    answers.append("y")
    ran = cli("failures", "discard", "--all")
    assert "Discard 2 messages? They leave the queue for good; the files in S3 stay." in ran.err
    assert "a/1  a/2" in ran.err or "a/2  a/1" in ran.err
    assert len(left(deployment)) == 2
    answers[:] = ["2"]
    assert cli("failures", "discard", "--all").out == "Discarded 2. 0 messages left.\n"
    assert answers == ["Type 2 to discard, or Enter to keep them:"]
    assert left(deployment) == []


def test_what_failed_since_the_question_is_let_be(
    cli: Cli, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    reject(deployment, BUSY, folder("a/1"))

    def ask(*_: object) -> str:
        reject(deployment, BUSY, folder("a/2"))
        return "1"

    monkeypatch.setattr(Terminal, "ask", ask)
    assert cli("failures", "discard", "--all").out == "Discarded 1. 0 messages left.\n"
    assert left(deployment) == [folder("a/2")]


def test_message_that_is_gone_since_the_question_is_told(
    cli: Cli, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = put_aside(deployment, folder("a/1"), code="WriteConflict")
    put_aside(deployment, folder("a/2"), code="WriteConflict")

    def ask(*_: object) -> str:
        cli("failures", "discard", gone, "--yes")
        return "y"

    monkeypatch.setattr(Terminal, "ask", ask)
    ran = cli("failures", "retry", "--all")
    assert (ran.code, ran.out) == (1, "Sent again 1 of 2.\n")
    assert f"1 message left alone: no longer there, or in the hands of another reader: {gone}" in (
        ran.err
    )


def test_interruption_says_how_far_it_came(
    cli: Cli, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    reject(deployment, BUSY)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "retry", interrupt)
    ran = cli("failures", "retry", "--all", "--yes")
    assert ran.code == 130
    assert "0 of 1 were sent again; the others are still there." in ran.err
    assert len(left(deployment)) == 1


def test_options_before_an_action_are_refused(cli: Cli, deployment: Deployment) -> None:
    ran = cli("failures", "--stack", "other", "discard", "--all", "--yes")
    assert ran.code == 3
    assert "discard --help" in ran.err


def test_json_tells_what_was_done(cli: Cli, deployment: Deployment) -> None:
    letters = [put_aside(deployment, folder(f"a/{n}"), code="WriteConflict") for n in range(2)]
    told = json.loads(cli("failures", "retry", letters[0], "--yes", "--json").out)
    (again,) = told["sent"]
    assert (again["id"], told["gone"]) == (letters[0], [])
    assert again["job_id"] != letters[0]
    told = json.loads(cli("failures", "discard", letters[1], "--yes", "--json").out)
    assert told == {"discarded": [letters[1]], "gone": []}


@pytest.mark.parametrize(
    ("action", "told"),
    [("retry", {"sent": [], "gone": [], "kept": []}), ("discard", {"discarded": [], "gone": []})],
)
def test_json_tells_that_nothing_was_done(
    cli: Cli, deployment: Deployment, answers: list[str], action: str, told: dict[str, object]
) -> None:
    ran = cli("failures", action, "--all", "--json")
    assert (ran.code, json.loads(ran.out), ran.err) == (0, told, "Nothing has failed.\n")
    reject(deployment, BUSY)
    answers.append("")
    ran = cli("failures", action, "--all", "--json")
    assert (ran.code, json.loads(ran.out), len(left(deployment))) == (0, told, 1)


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_messages_that_somebody_else_reads_are_told(
    cli: Cli, deployment: Deployment, options: tuple[str, ...]
) -> None:
    reject(deployment, BUSY)
    with read_failures(deployment):
        ran = cli("failures", *options)
    assert ran.err.startswith("1 more message: somebody else reads them at the moment.")
    assert ran.out in {"", "No failure can be read now.\n"}


def test_list_that_is_not_complete_says_so(
    cli: Cli, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(11):
        put_aside(deployment, folder(f"a/{number}"), code="WriteConflict")
    few = functools.partial(read_failures, limit=10)
    monkeypatch.setattr(command, "read_failures", few)
    assert cli("failures").err == "These are the first 10 of about 11.\n"
