import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aws_cdk.assertions import Template

from tests.constructs.templates import placeholder_code, rules_of

if TYPE_CHECKING:
    from aws_cdk import Stack

README = Path(__file__).parents[2] / "README.md"


def test_the_readmes_construct_makes_an_engine_with_two_rules(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("quilt_packager.engine.engine.bundle_code", lambda *_: placeholder_code())
    [code] = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - it is our own
    stack: Stack = names["stack"]
    template = Template.from_stack(stack)
    assert len(rules_of(dict(template.to_json()))) == 2
    template.resource_count_is("AWS::Lambda::EventSourceMapping", 1)
