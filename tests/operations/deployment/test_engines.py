"""Engines are identified by outputs and logical ids, in stacks with several engines."""

import json
from pathlib import Path
from typing import Any

import pytest

from quilt_packager.contract import (
    CHECKSUM_LOG,
    LARGE_JOBS,
    PACKAGER_FUNCTION,
    PACKAGER_LOG,
    SCRATCH_BUCKET,
)
from quilt_packager.operations.deployment.engines import (
    PARTS,
    Engine,
    Queues,
    Resource,
    find_queues,
    read_engines,
)
from tests.operations.engine_templates import read_template

SNAPSHOTS = Path(__file__).parents[2] / "constructs" / "snapshots"
TYPES = {
    PACKAGER_LOG: "AWS::Logs::LogGroup",
    CHECKSUM_LOG: "AWS::Logs::LogGroup",
    LARGE_JOBS: "AWS::StepFunctions::StateMachine",
    SCRATCH_BUCKET: "AWS::S3::Bucket",
    PACKAGER_FUNCTION: "AWS::Lambda::Function",
}


def outputs_of(prefix: str, queue: str = "", number: int = 1) -> dict[str, str]:
    """The outputs of an engine in a user's stack."""
    queue = queue or prefix
    return {
        f"{prefix}PackagerQueueUrl1A2B3C4{number}": f"https://sqs/{queue}",
        f"{prefix}PackagerDeadLetterQueueUrl5E6F7A8{number}": f"https://sqs/{queue}-dead",
    }


def resources_of(construct: str, engine_name: str = "") -> list[Resource]:
    """The resources of an engine that operations use."""
    service = "/".join(filter(None, ["Lab", engine_name]))
    names = {PACKAGER_LOG: f"/quilt/{service}/PackagerLambda"}
    return [
        Resource(f"{construct}{part}0A1B2C3D", TYPES[part], names.get(part, f"{construct}-{part}"))
        for part in PARTS
    ]


def find_all(engine: Engine) -> dict[str, str | None]:
    return {part: engine.find(TYPES[part], part) for part in PARTS if part != PACKAGER_LOG}


def expected(construct: str) -> dict[str, str]:
    return {part: f"{construct}-{part}" for part in PARTS if part != PACKAGER_LOG}


class TestOutputs:
    def test_of_the_stack_of_flags_have_no_prefix(self) -> None:
        outputs = {
            "PackagerQueueArn": "arn:aws:sqs:us-east-1:123456789012:jobs",
            "PackagerQueueUrl": "https://sqs/jobs",
            "PackagerDeadLetterQueueUrl": "https://sqs/dead",
        }
        assert find_queues(outputs) == [Queues("", "https://sqs/jobs", "https://sqs/dead")]

    def test_of_an_engine_are_found_among_others(self) -> None:
        outputs = {"BucketName": "runs", **outputs_of("LabEngine"), "Url": "https://example.com"}
        assert find_queues(outputs) == [
            Queues("LabEngine", "https://sqs/LabEngine", "https://sqs/LabEngine-dead")
        ]

    def test_of_several_engines_are_each_their_own(self) -> None:
        outputs = {**outputs_of("Engine2"), **outputs_of("Engine")}
        assert [each.prefix for each in find_queues(outputs)] == ["Engine2", "Engine"]

    @pytest.mark.parametrize(
        "outputs",
        [
            {},
            {"PackagerQueueUrl": "https://sqs/jobs"},
            {"EnginePackagerDeadLetterQueueUrl1A2B3C4D": "https://sqs/dead"},
            {"APackagerQueueUrl": "https://sqs/a", "BPackagerDeadLetterQueueUrl": "https://sqs/b"},
            {"PackagerQueueUrls": "https://sqs/a", "PackagerDeadLetterQueueUrls": "https://sqs/b"},
        ],
    )
    def test_that_are_no_pair_are_ignored(self, outputs: dict[str, str]) -> None:
        assert find_queues(outputs) == []

    @pytest.mark.parametrize("made", ["", "Aliased"])
    def test_of_a_user_for_the_same_queues_are_ignored(self, made: str) -> None:
        outputs = {
            f"{made}PackagerQueueUrl": "https://sqs/Engine",
            f"{made}PackagerDeadLetterQueueUrl": "https://sqs/Engine-dead",
        }
        for both in ({**outputs, **outputs_of("Engine")}, {**outputs_of("Engine"), **outputs}):
            assert [each.prefix for each in find_queues(both)] == ["Engine"]

    def test_that_are_ambiguous_are_ignored(self) -> None:
        # Of the constructs Lab/Engine and LabEngine.
        outputs = {**outputs_of("LabEngine"), **outputs_of("LabEngine", "other", number=2)}
        assert find_queues(outputs) == []


class TestResources:
    def test_of_other_constructs_are_ignored(self) -> None:
        others = [
            Resource("Runs1A2B3C4D", "AWS::S3::Bucket", "runs"),
            Resource("LargeJobs1A2B3C4D", "AWS::StepFunctions::StateMachine", "others"),
            Resource("OtherPackagerFunction1A2B3C4D", "AWS::Lambda::Function", "other"),
            # A user's construct with a similar id.
            Resource("EngineRoomScratchBucket1A2B3C4D", "AWS::S3::Bucket", "room"),
            Resource("EngineRoomLargeJobs1A2B3C4D", "AWS::StepFunctions::StateMachine", "room"),
        ]
        (engine,) = read_engines(outputs_of("Engine"), [*others, *resources_of("Engine")])
        assert (engine.name, engine.construct) == ("", "Engine")
        assert find_all(engine) == expected("Engine")
        assert not {*others[:3]} & {*engine.resources}

    @pytest.mark.parametrize(
        ("first", "second"), [("Engine", "Engine2"), ("Lab", "LabPackager"), ("", "Second")]
    )
    def test_of_engines_that_begin_alike_are_each_their_own(self, first: str, second: str) -> None:
        outputs = {**outputs_of(first), **outputs_of(second)}
        construct = first or "Engine"
        resources = [*resources_of(second, "second"), *resources_of(construct)]
        one, other = read_engines(outputs, resources)
        assert (one.name, one.construct) == ("", construct)
        assert (other.name, other.construct) == ("second", second)
        assert find_all(one) == expected(construct)
        assert find_all(other) == expected(second)
        assert set(one.resources) == set(resources_of(construct))
        assert set(other.resources) == set(resources_of(second, "second"))

    def test_of_an_engine_in_creation_are_missing(self) -> None:
        (engine,) = read_engines(outputs_of(""), [])
        assert (engine.name, engine.construct) == ("", "")
        assert set(find_all(engine).values()) == {None}


@pytest.mark.parametrize("name", ["defaults", "existing_buckets", "construct"])
def test_constructs_have_the_expected_ids(name: str) -> None:
    path = SNAPSHOTS / f"{name}.json"
    template: dict[str, Any] = json.loads(path.read_text("utf-8"))
    (engine,) = read_template(template)
    found = {part: engine.find(TYPES[part], part) for part in PARTS}
    assert None not in found.values()
    packager = template["Resources"][found[PACKAGER_FUNCTION]]["Properties"]
    assert packager["Handler"] == "quilt_packager_runtime.handlers.packager.handler"
