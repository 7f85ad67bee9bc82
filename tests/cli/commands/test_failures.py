"""`quilt-packager failures`, on an embedded AWS: list, questions, retry and discard."""

import functools
import json
from collections.abc import Callable
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
    redrive,
    reject,
    send_dead_letter,
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
    """Answers to the next questions; each is replaced by its question."""
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


def test_without_failures_there_is_nothing_to_retry(cli: Cli, deployment: Deployment) -> None:
    assert cli("failures").out == "No failures.\n"
    assert cli("failures", "retry", "--all").out == "No failures.\n"


def test_failures_are_grouped_by_reason(cli: Cli, deployment: Deployment) -> None:
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
        "    do         Allow it to the role, deploy, and retry. Until then, a retry fails again.",
        "    then       quilt-packager failures retry --code AccessDenied",
    ]
    assert any(job_id in line and "a/3" in line for line in lines)


def test_commands_address_the_same_engine(
    cli: Cli, deployment: Deployment, answers: list[str]
) -> None:
    reject(deployment, DENIED, folder("a/1"))
    chosen = ["--stack", deployment.name, "--region", deployment.region]
    retrying = "    then       quilt-packager failures retry --code AccessDenied"
    assert f"{retrying} {' '.join(chosen)}" in cli("failures", *chosen).out.splitlines()
    refused = " ".join(cli("failures", "retry", *chosen).err.split())
    assert f"quilt-packager failures {' '.join(chosen)} shows ids and codes." in refused
    answers.append("y")
    ran = cli("failures", "retry", "--all", *chosen)
    assert f"To follow them: quilt-packager jobs --follow {' '.join(chosen)}\n" in ran.err


def test_command_is_one_line_on_a_terminal(deployment: Deployment) -> None:
    reject(deployment, DENIED, folder("a/1"))
    arguments = ["failures", "--stack", deployment.name, "--region", deployment.region]
    written = on_terminal(f"from quilt_packager.cli.app import run; run({arguments!r})")
    command = "quilt-packager failures retry --code AccessDenied --stack lab --region us-east-1"
    assert command in written


def test_retry_is_suggested_only_if_it_keeps_every_event(cli: Cli, deployment: Deployment) -> None:
    stays = send_dead_letter(deployment, CUSTOM_EVENT, ERROR_CODE="NO_PERMISSIONS")
    out = cli("failures").out
    assert "do         It cannot be retried: its rule would have made a message of it." in out
    assert "quilt-packager failures" not in out
    assert not json.loads(cli("failures", "--json").out)["can_retry"]
    send_dead_letter(deployment, CRATE_EVENT, ERROR_CODE="NO_PERMISSIONS")
    lines = cli("failures").out.splitlines()
    assert any("1 event cannot be retried: its rule" in line for line in lines)
    assert any("quilt-packager failures retry --code Undelivered" in line for line in lines)
    assert [stays in line for line in lines if "It cannot be retried" in line] == [True]


def test_edit_is_suggested_for_invalid_messages(cli: Cli, deployment: Deployment) -> None:
    letter = send_dead_letter(deployment, "{}", code="InvalidMessage")
    out = cli("failures").out
    assert f"               quilt-packager failures edit {letter[:8]}\n" in out
    assert "failures retry" not in out


def test_invalid_message_is_shown_with_its_source(cli: Cli, deployment: Deployment) -> None:
    letter = send_dead_letter(deployment, '{"source_prefix": "raw/runs/1"}', code="InvalidMessage")
    (line,) = (line for line in cli("failures").out.splitlines() if letter in line)
    assert line.split()[1] == "raw/runs/1"


def test_different_failures_of_a_code_are_each_described(cli: Cli, deployment: Deployment) -> None:
    for name in ("a/1", "a/2"):
        happened = f"s3://raw/{name}/ has no objects."
        reject(deployment, errors.EmptySource(happened, why="So.", remedy="Look."), folder(name))
    out = cli("failures").out
    assert "happened   The source folder contained no objects to package." in out
    assert "s3://raw/a/1/ has no objects." in out
    assert "s3://raw/a/2/ has no objects." in out


def test_list_shows_the_id_of_the_job(cli: Cli, deployment: Deployment) -> None:
    letter = send_dead_letter(deployment, folder("a/1"), code="EmptySource", job_id="51c0-77")
    out = cli("failures").out
    assert "51c0-77" in out
    assert letter not in out


@pytest.mark.parametrize(
    ("options", "exit_code"),
    [
        ((), 0),
        (("--exit-code",), 1),
        (("--code", "EmptySource", "--exit-code"), 1),
        (("--code", "AccessDenied", "--exit-code"), 0),
    ],
)
def test_exit_code_says_if_there_are_failures(
    cli: Cli, deployment: Deployment, options: tuple[str, ...], exit_code: int
) -> None:
    send_dead_letter(deployment, folder("a/1"), code="EmptySource")
    assert cli("failures", *options).code == exit_code


def test_list_of_an_unknown_code_suggests_another(cli: Cli, deployment: Deployment) -> None:
    ran = cli("failures", "--code", "AcessDenied")
    assert (ran.code, "Did you mean AccessDenied?" in ran.err) == (3, True)


def test_failures_about_to_expire_are_mentioned(cli: Cli, deployment: Deployment) -> None:
    deployment.sqs.set_queue_attributes(
        QueueUrl=deployment.dead_letter_queue_url,
        Attributes={"MessageRetentionPeriod": str(22 * 3600)},
    )
    reject(deployment, DENIED)
    assert cli("failures").out.startswith("1 message in 1 group. SQS deletes them within 22 h.")


def test_json_is_one_object_per_line(cli: Cli, deployment: Deployment) -> None:
    reject(deployment, DENIED, folder("a/1"), job_id="51c0", package_name="a/1", registry="reg")
    (line,) = cli("failures", "--json").out.splitlines()
    result = json.loads(line)
    assert result["code"] == "AccessDenied"
    assert result["needs_change"]
    assert (result["job_id"], result["package_name"], result["registry"]) == ("51c0", "a/1", "reg")
    assert result["body"] == folder("a/1")
    assert result["origin"] == "packager"


def test_terminal_shows_the_first_ids_shortened(deployment: Deployment) -> None:
    ids = [send_dead_letter(deployment, folder(f"a/{n}"), code="EmptySource") for n in range(12)]
    out = on_terminal("from quilt_packager.cli.app import run; run(['failures'])", NO_COLOR="1")
    shown = [each for each in ids if f"{each[:8]}…" in out]
    assert len(shown) == 10
    assert "and 2 more" in out


def test_file_has_all_ids_in_full(deployment: Deployment, tmp_path: Path) -> None:
    ids = [send_dead_letter(deployment, folder(f"a/{n}"), code="EmptySource") for n in range(12)]
    file = tmp_path / "failures"
    on_terminal(
        f"import sys; sys.stdout = open({str(file)!r}, 'w'); "
        "from quilt_packager.cli.app import run; run(['failures'])"
    )
    assert all(each in file.read_text() for each in ids)


def test_retry_asks_and_warns_about_rejected_messages(
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
def test_event_that_needs_its_rule_stays(cli: Cli, deployment: Deployment, chosen: str) -> None:
    stays = send_dead_letter(deployment, CUSTOM_EVENT, ERROR_CODE="NO_PERMISSIONS")
    arguments = {"--all": ["--all"], "--code": ["--code", "Undelivered"], "id": [stays]}[chosen]
    ran = cli("failures", "retry", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert "1 event cannot be retried: its rule would have made a message of it." in ran.err
    assert f"Skipped: {stays}." in ran.err
    assert (left(deployment), sent(deployment)) == ([CUSTOM_EVENT], [])


@pytest.mark.parametrize("action", ["replace", "carry"])
def test_held_job_is_published_by_a_decision(
    cli: Cli, deployment: Deployment, answers: list[str], action: str
) -> None:
    held = errors.HeldForReview("It is held.", why="hold", remedy="Decide.")
    reject(deployment, held)
    decision = "failures retry --code HeldForReview --on-foreign-revision"
    assert f"quilt-packager {decision} replace" in cli("failures").out
    answers.append("y")
    cli(*decision.split(), action)
    assert answers == ["Retry 1 message? [y/N]"]
    (body,) = sent(deployment)
    assert json.loads(body)["on_foreign_revision"] == action


def test_retry_skips_and_names_events_that_need_their_rule(
    cli: Cli, deployment: Deployment, answers: list[str]
) -> None:
    stays = send_dead_letter(deployment, CUSTOM_EVENT, ERROR_CODE="NO_PERMISSIONS")
    send_dead_letter(deployment, CRATE_EVENT, ERROR_CODE="NO_PERMISSIONS")
    answers.append("y")
    ran = cli("failures", "retry", "--code", "Undelivered")
    assert answers == ["Retry 1 message? [y/N]"]
    assert (ran.code, ran.out) == (2, "Sent again 1 of 2.\n")
    assert f"Skipped: {stays}." in ran.err
    assert (left(deployment), sent(deployment)) == ([CUSTOM_EVENT], [CRATE_EVENT])
    ran = cli("failures", "retry", "--all", "--yes", "--json")
    result = json.loads(ran.out)
    assert (ran.code, result["sent"], [each["id"] for each in result["kept"]]) == (2, [], [stays])
    assert "Send that message by hand" in result["kept"][0]["remedy"]


@pytest.mark.parametrize("answer", ["", "n"])
def test_declined_retry_does_nothing(
    cli: Cli, deployment: Deployment, answers: list[str], answer: str
) -> None:
    reject(deployment, BUSY)
    answers.append(answer)
    assert cli("failures", "retry", "--all").code == 0
    assert (len(left(deployment)), sent(deployment)) == (1, [])


@pytest.mark.parametrize("action", ["retry", "discard"])
def test_questions_need_a_terminal_or_yes(cli: Cli, deployment: Deployment, action: str) -> None:
    reject(deployment, BUSY)
    ran = cli("failures", action, "--all")
    assert (ran.code, ran.out) == (3, "")
    assert "--yes" in ran.err
    assert len(left(deployment)) == 1


def test_messages_of_one_code_are_retried(cli: Cli, deployment: Deployment) -> None:
    reject(deployment, DENIED, folder("a/1"))
    reject(deployment, BUSY, folder("a/2"))
    assert cli("failures", "retry", "--code", "ServiceUnavailable", "--yes").code == 0
    assert sent(deployment) == [folder("a/2")]
    assert left(deployment) == [folder("a/1")]


def test_messages_are_selected_by_the_beginning_of_their_id_or_job_id(
    cli: Cli, deployment: Deployment
) -> None:
    letter = send_dead_letter(deployment, folder("a/1"), code="EmptySource")
    reject(deployment, BUSY, folder("a/2"), job_id="51c0-77")
    reject(deployment, BUSY, folder("a/3"), job_id="62d1")
    cli("failures", "retry", letter[:12], "51c0", "--yes")
    assert sent(deployment) == [folder("a/1"), folder("a/2")]


@pytest.mark.parametrize(
    ("chosen", "error"),
    [
        (("nothing",), "No single failure has the id"),
        (("51c0",), "2 ids begin with it."),
        (("--code", "WriteConflict"), "The codes are: ServiceUnavailable."),
        ((), "ids, --code, or --all"),
        (("51c0-1", "--all"), "ids, --code, or --all"),
    ],
)
def test_invalid_selection_is_an_error(
    cli: Cli, deployment: Deployment, chosen: tuple[str, ...], error: str
) -> None:
    reject(deployment, BUSY, folder("a/1"), job_id="51c0-1")
    reject(deployment, BUSY, folder("a/2"), job_id="51c0-2")
    ran = cli("failures", "discard", *chosen, "--yes")
    assert ran.code == 3
    assert error in ran.err
    assert len(left(deployment)) == 2


@pytest.fixture
def edit_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Set an editor that writes a text."""

    def set_editor(text: str) -> None:
        (tmp_path / "text").write_text(text)
        monkeypatch.setenv("VISUAL", f"cp {tmp_path / 'text'}")
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    return set_editor


def drafts(folder: Path) -> list[str]:
    return [each.read_text() for each in folder.glob("message-*.json")]


def test_edited_message_is_sent_and_the_old_one_deleted(
    cli: Cli, deployment: Deployment, edit_to: Callable[[str], None], tmp_path: Path
) -> None:
    letter = send_dead_letter(deployment, '{"source_prefix": "raw/a/1"}', code="InvalidMessage")
    edit_to(folder("a/1"))
    ran = cli("failures", "edit", letter[:8], "--json")
    assert (ran.code, json.loads(ran.out)["gone"]) == (0, [])
    assert (sent(deployment), left(deployment)) == ([folder("a/1")], [])
    assert drafts(tmp_path) == []


def test_edited_message_that_is_not_valid_is_not_sent_and_kept(
    cli: Cli, deployment: Deployment, edit_to: Callable[[str], None], tmp_path: Path
) -> None:
    old = '{"source_prefix": "raw/a/1"}'
    letter = send_dead_letter(deployment, old, code="InvalidMessage")
    edit_to('{"source_prefix": "raw/a/2"}')
    ran = cli("failures", "edit", letter)
    assert (ran.code, "raw/a/2" in ran.err) == (2, True)
    assert (sent(deployment), left(deployment)) == ([], [old])
    assert drafts(tmp_path) == ['{"source_prefix": "raw/a/2"}']


def test_unchanged_message_is_not_sent(
    cli: Cli, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter = send_dead_letter(deployment, folder("a/1"), code="EmptySource")
    monkeypatch.setenv("VISUAL", "true")
    assert cli("failures", "edit", letter).err == "Nothing changed, and nothing sent.\n"
    assert (sent(deployment), left(deployment)) == ([], [folder("a/1")])


def test_failing_editor_keeps_the_message(
    cli: Cli, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter = send_dead_letter(deployment, folder("a/1"), code="EmptySource")
    monkeypatch.setenv("VISUAL", "false")
    ran = cli("failures", "edit", letter)
    assert (ran.code, "The editor false failed." in ran.err) == (3, True)
    assert left(deployment) == [folder("a/1")]


def test_message_stays_if_its_correction_cannot_be_sent(
    cli: Cli,
    deployment: Deployment,
    edit_to: Callable[[str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    letter = send_dead_letter(deployment, folder("a/1"), code="EmptySource")
    edit_to(folder("a/2"))

    def fail(*_: object) -> None:
        raise RuntimeError("no network")

    monkeypatch.setattr(command, "retry", fail)
    assert cli("failures", "edit", letter).code == 1
    assert (sent(deployment), left(deployment)) == ([], [folder("a/1")])
    assert drafts(tmp_path) == [folder("a/2")]


def test_discard_asks_for_the_count(cli: Cli, deployment: Deployment, answers: list[str]) -> None:
    reject(deployment, DENIED, folder("a/1"), package_name="a/1")
    reject(deployment, DENIED, folder("a/2"), package_name="a/2")
    answers.append("y")
    ran = cli("failures", "discard", "--all")
    assert "Discard 2 messages permanently? Files in S3 are kept." in ran.err
    assert "a/1  a/2" in ran.err or "a/2  a/1" in ran.err
    assert len(left(deployment)) == 2
    answers[:] = ["2"]
    assert cli("failures", "discard", "--all").out == "Discarded 2. 0 messages left.\n"
    assert answers == ["Type 2 to discard, or Enter to keep them:"]
    assert left(deployment) == []


def test_failures_after_the_question_are_not_affected(
    cli: Cli, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    reject(deployment, BUSY, folder("a/1"))

    def ask(*_: object) -> str:
        reject(deployment, BUSY, folder("a/2"))
        return "1"

    monkeypatch.setattr(Terminal, "ask", ask)
    assert cli("failures", "discard", "--all").out == "Discarded 1. 0 messages left.\n"
    assert left(deployment) == [folder("a/2")]


def test_message_deleted_after_the_question_is_reported(
    cli: Cli, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = send_dead_letter(deployment, folder("a/1"), code="WriteConflict")
    send_dead_letter(deployment, folder("a/2"), code="WriteConflict")

    def ask(*_: object) -> str:
        cli("failures", "discard", gone, "--yes")
        return "y"

    monkeypatch.setattr(Terminal, "ask", ask)
    ran = cli("failures", "retry", "--all")
    assert (ran.code, ran.out) == (1, "Sent again 1 of 2.\n")
    assert (
        f"1 message skipped, deleted meanwhile or being read by another process: {gone}" in ran.err
    )


def test_interruption_reports_the_progress(
    cli: Cli, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    reject(deployment, BUSY)

    def interrupt(*_: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "retry", interrupt)
    ran = cli("failures", "retry", "--all", "--yes")
    assert ran.code == 130
    assert "0 of 1 sent again; the others are unchanged." in ran.err
    assert len(left(deployment)) == 1


def test_options_before_an_action_are_rejected(cli: Cli, deployment: Deployment) -> None:
    ran = cli("failures", "--stack", "other", "discard", "--all", "--yes")
    assert ran.code == 3
    assert "discard --help" in ran.err


def test_json_lists_the_affected_messages(cli: Cli, deployment: Deployment) -> None:
    letters = [
        send_dead_letter(deployment, folder(f"a/{n}"), code="WriteConflict") for n in range(2)
    ]
    result = json.loads(cli("failures", "retry", letters[0], "--yes", "--json").out)
    (again,) = result["sent"]
    assert (again["id"], result["gone"]) == (letters[0], [])
    assert again["job_id"] != letters[0]
    result = json.loads(cli("failures", "discard", letters[1], "--yes", "--json").out)
    assert result == {"discarded": [letters[1]], "gone": []}


@pytest.mark.parametrize(
    ("action", "expected"),
    [("retry", {"sent": [], "gone": [], "kept": []}), ("discard", {"discarded": [], "gone": []})],
)
def test_json_is_empty_if_nothing_was_done(
    cli: Cli, deployment: Deployment, answers: list[str], action: str, expected: dict[str, object]
) -> None:
    ran = cli("failures", action, "--all", "--json")
    assert (ran.code, json.loads(ran.out), ran.err) == (0, expected, "No failures.\n")
    reject(deployment, BUSY)
    answers.append("")
    ran = cli("failures", action, "--all", "--json")
    assert (ran.code, json.loads(ran.out), len(left(deployment))) == (0, expected, 1)


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_messages_being_read_elsewhere_are_counted(
    cli: Cli, deployment: Deployment, options: tuple[str, ...]
) -> None:
    reject(deployment, BUSY)
    with read_failures(deployment):
        ran = cli("failures", *options)
    assert ran.err.startswith("1 more message being read by another process.")
    assert ran.out in {"", "No failures can be read at the moment.\n"}


def test_incomplete_list_is_marked(
    cli: Cli, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(11):
        send_dead_letter(deployment, folder(f"a/{number}"), code="WriteConflict")
    few = functools.partial(read_failures, limit=10)
    monkeypatch.setattr(command, "read_failures", few)
    assert cli("failures").err == "Showing the first 10 of about 11.\n"
