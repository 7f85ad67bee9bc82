"""Rules of event sources in a template."""

from typing import Any

OMICS = {
    "source": ["aws.omics"],
    "detail-type": ["Run Status Change"],
    "detail": {"status": ["COMPLETED", "FAILED"]},
}
CRATES = {
    "source": ["aws.s3"],
    "detail-type": ["Object Created"],
    "detail": {
        "bucket": {"name": ["raw", "results"]},
        "object": {"key": [{"suffix": "/ro-crate-metadata.json"}]},
    },
}
UPLOADS = {**CRATES, "detail": {"bucket": {"name": ["raw"]}}}
READY = {"source": ["com.quiltdata.edp"], "detail-type": ["package-objects-ready"]}
LIMS = {"source": ["com.example.lims"], "detail": {"plate": ["A"]}}


def rule(
    name: str,
    kind: str,
    pattern: dict[str, Any],
    state: object = "ENABLED",
    *,
    sender: str | None = None,
    **properties: object,
) -> dict[str, Any]:
    named = {"name": name, "kind": kind} | ({} if sender is None else {"sender": sender})
    return {
        "Type": "AWS::Events::Rule",
        "Properties": {"EventPattern": pattern, "State": state, "Description": name, **properties},
        "Metadata": {"quilt:source": named},
    }


SOURCES = {
    "Omics": rule("omics", "health_omics", OMICS),
    "Crates": rule("wrroc", "workflow_run_crate", CRATES, "DISABLED"),
    "Bus": {"Type": "AWS::Events::EventBus", "Properties": {"Name": "edp-bus"}},
    "Ready": rule("edp", "objects_ready", READY, EventBusName={"Ref": "Bus"}),
    "Uploads": rule("uploads", "objects_ready", UPLOADS, sender="quilt.packager.uploads"),
    "Lims": rule("lims", "custom", LIMS),
    # One that decides nothing: the way of announcements.
    "Nameless": {**rule("nameless", "custom", LIMS), "Metadata": {}},
}
