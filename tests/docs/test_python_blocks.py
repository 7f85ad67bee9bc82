"""The Python of the documents, copied as it stands, is a CDK app that makes a template."""

import functools
import json
import re
from pathlib import Path

import aws_cdk
import pytest

ROOT = Path(__file__).parents[2]
# Not the files that the page of examples includes, which `test_apps` runs.
BLOCK = re.compile(r"^```python\n((?!--8<--).*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = [
    pytest.param(block, id=f"{document.relative_to(ROOT)}-{number}")
    for document in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
    for number, block in enumerate(BLOCK.findall(document.read_text("utf-8")))
]


@pytest.mark.parametrize("block", BLOCKS)
def test_python_in_documents_makes_templates(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As `cdk list` would run it: without building the asset. Node runs already, so that it would
    # not notice the environment that `cdk` says this by.
    context: dict[str, list[str]] = {"aws:cdk:bundling-stacks": []}
    app = functools.partial(aws_cdk.App, outdir=str(tmp_path), context=context)
    monkeypatch.setattr(aws_cdk, "App", app)
    exec(compile(block, "block.py", "exec"), {})  # noqa: S102 - what a reader would run
    templates = [json.loads(each.read_text("utf-8")) for each in tmp_path.glob("*.template.json")]
    types = {each["Type"] for template in templates for each in template["Resources"].values()}
    assert {"AWS::SQS::Queue", "AWS::Lambda::Function"} <= types


def test_documents_show_python() -> None:
    shown = {str(block.id).rpartition("-")[0] for block in BLOCKS}
    assert {"README.md", "docs/reference/construct.md", "docs/how-to/event-sources.md"} <= shown
