"""The patterns of the built-in event sources, as an EventBridge matches samples of their events."""

import copy
import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from quilt_packager_runtime.requests.events import (
    health_omics_pattern,
    objects_ready_pattern,
    workflow_run_crate_pattern,
)
from quilt_packager_runtime.uploads.upload_events import uploads_pattern

from quilt_packager.engine.promotion import promotion_pattern
from quilt_packager.local.ministack import MiniStack

SAMPLES = Path(__file__).parents[1] / "data" / "events"
PATTERNS: dict[str, dict[str, object]] = {
    "omics": health_omics_pattern(["COMPLETED"]),
    "crates": workflow_run_crate_pattern(["runs"]),
    "crates at roots": workflow_run_crate_pattern(["runs"], allow_bucket_root=True),
    "ready": objects_ready_pattern(),
    "uploads": uploads_pattern(["runs"], ["tmp/"]),
    "promotions": promotion_pattern("lab", ["assays/*"], "production"),
    "marked": uploads_pattern(["runs"], ["tmp/"], ["illumina", "nf-core"]),
}
LONGEST_NAMES = [f"{number:02}-{'x' * 60}" for number in range(25)]


def sample(name: str, **detail: Any) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((SAMPLES / f"{name}.json").read_text("utf-8"))
    event["detail"] |= detail
    return event


def packaged(name: str, registry: str = "lab") -> dict[str, Any]:
    event = sample("s3-object-created")
    detail = {"engine": "lab", "package_name": name, "registry": registry}
    return {**event, "source": "quilt.packager", "detail-type": "Package Created", "detail": detail}


def created(key: str, bucket: str = "runs") -> dict[str, Any]:
    event = sample("s3-object-created")
    event["detail"] = copy.deepcopy(event["detail"])
    event["detail"]["bucket"]["name"] = bucket
    event["detail"]["object"]["key"] = key
    return event


CASES = {
    "a run of 2023": (sample("omics-2023-07", status="COMPLETED"), {"omics"}),
    "a run of 2024": (sample("omics-2024-12", status="COMPLETED"), {"omics"}),
    "a run of today": (sample("omics-today", status="COMPLETED"), {"omics"}),
    "a failed run": (sample("omics-today", status="FAILED"), set()),
    "a crate": (
        created("run/ro-crate-metadata.json"),
        {"crates", "crates at roots", "uploads"},
    ),
    "a created package": (packaged("assays/42"), {"promotions"}),
    "a package of another name": (packaged("runs/assays-42"), set()),
    "a package that is there": (packaged("assays/42", "production"), set()),
    "a crate at the root": (created("ro-crate-metadata.json"), {"crates at roots", "uploads"}),
    "a detached crate": (created("run/my-ro-crate-metadata.json"), {"uploads"}),
    "a crate in another bucket": (created("run/ro-crate-metadata.json", "other"), set()),
    "a completion marker": (created("a/run/CopyComplete.txt"), {"uploads", "marked"}),
    "a completion marker with a wildcard": (
        created("run/pipeline_info/execution_report_2026.html"),
        {"uploads", "marked"},
    ),
    "the name of a marker at the root": (created("CopyComplete.txt"), {"uploads"}),
    "an ignored upload": (created("tmp/a.csv"), set()),
    "a manifest": (created(".quilt/packages/0123"), set()),
    "a ready prefix": (sample("edp-objects-ready"), {"ready"}),
}


@pytest.mark.parametrize("case", CASES)
def test_sample_matches_exactly_the_patterns_of_its_sources(aws: MiniStack, case: str) -> None:
    event, matching = CASES[case]
    client = boto3.client("events")
    matches = {
        name
        for name, pattern in PATTERNS.items()
        if client.test_event_pattern(EventPattern=json.dumps(pattern), Event=json.dumps(event))[
            "Result"
        ]
    }
    assert matches == matching


@pytest.mark.parametrize("pattern", [workflow_run_crate_pattern, uploads_pattern])
def test_pattern_of_25_longest_names_is_within_the_quota(pattern: Any) -> None:
    # As the documentation says. The constructs refuse longer ones.
    text = json.dumps(pattern(LONGEST_NAMES), separators=(",", ":"))
    assert len(text) <= 2048
