"""Exports a tree as events of OpenLineage, by its own library, which is an extra of the command."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from quilt_packager.operations.errors import MissingExtra
from quilt_packager.operations.lineage.tree import Node, parse_revision

PRODUCER = "https://github.com/quiltdata/quilt-packager"
JOB_NAMESPACE = "quilt-packager"


def export_events(tree: Node) -> Iterator[dict[str, Any]]:
    """Yield an event for each revision of a tree, as JSON: a completed run with its datasets.

    A package is a dataset, whose version is its top hash.

    Raises:
        MissingExtra: The library is not installed.
    """
    try:
        from openlineage.client import event_v2, serde
    except ImportError as error:
        raise MissingExtra(
            "The library openlineage-python is not installed.",
            why="It makes the events of OpenLineage.",
            remedy="pip install 'quilt-packager[openlineage]'",
        ) from error
    for node in {each.revision: each for each in tree.walk()}.values():
        ended = node.run.ended or (node.published or datetime.now(UTC)).isoformat()
        event = event_v2.RunEvent(
            eventType=event_v2.RunState.COMPLETE,
            eventTime=ended,
            producer=PRODUCER,
            # The same revision always has the same id.
            run=event_v2.Run(runId=str(uuid5(NAMESPACE_URL, node.revision))),
            job=event_v2.Job(JOB_NAMESPACE, node.run.workflow or node.package_name),
            inputs=[
                event_v2.InputDataset(*_name(each), facets=_version(each))
                for each in node.input_packages
            ],
            outputs=[event_v2.OutputDataset(*_name(node.revision), facets=_version(node.revision))],
        )
        yield json.loads(serde.Serde.to_json(event))


def _name(revision: str) -> tuple[str, str]:
    fields = parse_revision(revision)
    return f"quilt+s3://{fields.registry}", fields.package_name or ""


def _version(revision: str) -> dict[str, Any]:
    from openlineage.client.facet_v2 import dataset_version_dataset

    version = parse_revision(revision).top_hash or ""
    facet = dataset_version_dataset.DatasetVersionDatasetFacet(version, producer=PRODUCER)
    return {"version": facet}
