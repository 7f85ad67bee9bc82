"""The bucket policy of `docs/how-to/accounts-and-regions.md` allows what the engine's roles do."""

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import aws_cdk
import pytest

from tests.constructs.templates import find, permissions_of

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "accounts-and-regions.md"


def synthesize(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The templates of the first app, by stack."""
    found = re.search(r"^```python\n(.*?)^```", HOW_TO.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert found
    context: dict[str, list[str]] = {"aws:cdk:bundling-stacks": []}
    monkeypatch.setattr(aws_cdk, "App", partial(aws_cdk.App, outdir=str(folder), context=context))
    exec(found[1], {})  # noqa: S102 - it is our own
    return {
        path.name.split(".")[0]: json.loads(path.read_text("utf-8"))
        for path in folder.glob("*.template.json")
    }


def test_policies_of_both_accounts_allow_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    templates = synthesize(tmp_path, monkeypatch)
    allowed = permissions_of(templates["Packaging"])
    (policy,) = find(templates["Lab"], "AWS::S3::BucketPolicy").values()
    statements = policy["Properties"]["PolicyDocument"]["Statement"]
    assert [each["Action"] for each in statements] == [
        allowed[sid]["Action"] for sid in ("ListSources", "ReadSources")
    ]
    names = {
        each["Properties"].get("RoleName")
        for each in find(templates["Packaging"], "AWS::IAM::Role").values()
    }
    for statement in statements:
        arns = statement["Principal"]["AWS"]
        assert {arn.rpartition("/")[2] for arn in arns} == names - {None}


def test_key_of_the_other_account_is_used_by_the_roles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    templates = synthesize(tmp_path, monkeypatch)
    decrypt = permissions_of(templates["Packaging"])["DecryptSources"]
    assert ":222222222222:key/" in decrypt["Resource"]
    (key,) = find(templates["Lab"], "AWS::KMS::Key").values()
    _, statement = key["Properties"]["KeyPolicy"]["Statement"]
    assert statement["Action"] == decrypt["Action"]
