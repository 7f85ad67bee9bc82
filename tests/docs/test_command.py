"""`docs/reference/command.md` has exactly the existing commands, options and exit codes."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore
import botocore.session
import typer

import quilt_packager
from quilt_packager.cli.app import PROGRAM, app
from quilt_packager.cli.console.exits import Exit

REFERENCE = (Path(__file__).parents[2] / "docs" / "reference" / "command.md").read_text("utf-8")
SECTION = re.compile(r"^#+ (.+)\n((?:(?!#).*\n?)*)", re.MULTILINE)
SECTIONS: dict[str, str] = dict(SECTION.findall(REFERENCE))
COMMON = SECTIONS["Common options"]
LINK = "[common options](#common-options)"
OPTION = re.compile(r"`(--?[a-z][a-z-]*)")
PACKAGE = Path(quilt_packager.__file__).parent
SERVICES = "cloudformation cloudwatch events iam kms lambda logs omics s3 sqs stepfunctions sts"
# Operations whose action has a different name.
ACTIONS = {
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
    "CreateMultipartUpload": "PutObject",
    "DeleteObjects": "DeleteObjectVersion",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "GetBucketNotificationConfiguration": "GetBucketNotification",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    # A method of the runtime's S3, and of no relation to KMS.
    "ListKeys": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "ListObjectsV2": "ListBucket",
    "SendMessageBatch": "SendMessage",
    "UploadPartCopy": "PutObject",
}


def walk(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield every command with its command line."""
    yield path, command
    for name, each in getattr(command, "commands", {}).items():
        yield from walk(each, f"{path} {name}")


COMMANDS = dict(walk(typer.main.get_command(app), PROGRAM))


def heading_of(path: str) -> str:
    arguments = [each for each in COMMANDS[path].params if each.param_type_name == "argument"]
    return f"`{' '.join([path, *map(usage_of, arguments)])}`"


def usage_of(argument: Any) -> str:
    name = argument.metavar if argument.required else f"[{argument.metavar}]"
    return f"{name}..." if argument.nargs < 0 else str(name)


def options_of(path: str) -> set[str]:
    options = [each for each in COMMANDS[path].params if each.param_type_name == "option"]
    return {name for each in options for name in each.opts}


def named_in(text: str) -> set[str]:
    return set(OPTION.findall(text))


def test_reference_has_every_option() -> None:
    for path in COMMANDS:
        section = SECTIONS[heading_of(path)]
        # The short form of a common option stands with its long one.
        short = named_in(COMMON) & {"-y", "-h"} if LINK in section else set()
        assert options_of(path) - named_in(section) - short - {"--help", "-h"} == set(), path


def test_reference_has_no_other_options() -> None:
    for path in COMMANDS:
        section = SECTIONS[heading_of(path)]
        assert named_in(section) - options_of(path) - {"--help"} == set(), path


def test_reference_explains_common_options() -> None:
    for section in SECTIONS.values():
        if LINK in section:
            assert named_in(section.partition(LINK)[2]) <= named_in(COMMON)


def test_reference_has_exactly_these_commands_with_their_arguments() -> None:
    described = {heading for heading in SECTIONS if heading.startswith("`")}
    assert described == set(map(heading_of, COMMANDS))


def test_reference_has_the_commands_in_their_order() -> None:
    group: Any = COMMANDS[PROGRAM]
    described = re.findall(rf"^## `{PROGRAM} ([a-z-]+)", REFERENCE, re.MULTILINE)
    assert described == group.list_commands(typer.Context(group))


def called_operations() -> set[str]:
    """Return the AWS operations that the command and the page call with boto3."""
    session = botocore.session.get_session()
    operations = {
        botocore.xform_name(name): name
        for service in SERVICES.split()
        for name in session.get_service_model(service).operation_names
    }
    called = {
        name
        for folder in ("operations", "admin")
        for path in (PACKAGE / folder).rglob("*.py")
        for name in re.findall(r'[."]([a-z0-9_]+)(?=["(])', path.read_text("utf-8"))
    }
    return {operations[name] for name in called & operations.keys()}


def test_reference_has_the_permission_for_each_call() -> None:
    called = called_operations()
    assert {"DescribeStacks", "FilterLogEvents", "ReceiveMessage", "ListRuns"} <= called
    named = set(re.findall(r"`[a-z0-9]+:(\w+)`", SECTIONS["Permissions"]))
    assert {ACTIONS.get(name, name) for name in called} - named == set()


def test_reference_has_every_exit_code() -> None:
    text = SECTIONS["Exit codes"]
    assert [code for code in Exit if f"| {code.value} | " not in text] == []
