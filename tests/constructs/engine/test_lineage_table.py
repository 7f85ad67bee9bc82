"""The table of the index of lineage, which only an engine with `lineage` has."""

import pytest
from aws_cdk import aws_kms as kms
from quilt_packager_runtime.lineage import index

from quilt_packager.engine import lineage_table
from tests.constructs.templates import (
    add_engine,
    find,
    make_stack,
    permissions_of,
    properties_of,
    template_of,
)


@pytest.mark.parametrize("function", ["PackagerFunction", "LargeJobFunction"])
def test_publishing_functions_may_query_and_update_the_table_alone(function: str) -> None:
    stack = make_stack()
    add_engine(stack, lineage=True)
    template = template_of(stack)
    statement = permissions_of(template, function)["KeepLineage"]
    [table] = find(template, "AWS::DynamoDB::Table")
    assert statement["Action"] == ["dynamodb:Query", "dynamodb:UpdateItem"]
    assert statement["Resource"] == {"Fn::GetAtt": [table, "Arn"]}
    variables = properties_of(template, "AWS::Lambda::Function", like=function)["Environment"]
    assert variables["Variables"]["QUILT_PACKAGER_LINEAGE_TABLE"] == {"Ref": table}
    assert "KeepLineage" not in permissions_of(template, "ChecksumFunction")


def test_the_key_of_the_engine_encrypts_the_table() -> None:
    stack = make_stack()
    add_engine(stack, lineage=True, encryption_key=kms.Key(stack, "Key"))
    table = properties_of(template_of(stack), "AWS::DynamoDB::Table")
    assert table["SSESpecification"]["SSEType"] == "KMS"


def test_an_engine_without_lineage_has_no_table() -> None:
    stack = make_stack()
    add_engine(stack)
    assert not find(template_of(stack), "AWS::DynamoDB::Table")


def test_both_sides_agree_on_the_keys_of_an_item() -> None:
    assert lineage_table.PARTITION_KEY == index.PARTITION_KEY
    assert lineage_table.SORT_KEY == index.SORT_KEY
