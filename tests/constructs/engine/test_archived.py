"""The role of S3 Batch Operations, and the right to create its jobs."""

import pytest

from tests.constructs.templates import add_engine, find, make_stack, permissions_of, template_of


def test_the_role_reads_sources_and_manifests_and_writes_reports() -> None:
    stack = make_stack()
    add_engine(stack, archived="s3_batch")
    found = permissions_of(template_of(stack), "BatchOperationsRole")
    assert {sid: each["Action"] for sid, each in found.items()} == {
        "ComputeChecksums": ["s3:GetObject", "s3:GetObjectVersion", "s3:RestoreObject"],
        "ReadManifests": ["s3:GetObject", "s3:GetObjectVersion"],
        "WriteReports": "s3:PutObject",
    }


def test_only_the_large_job_function_creates_jobs_by_this_role_with_this_operation() -> None:
    stack = make_stack()
    add_engine(stack, archived="s3_batch")
    template = template_of(stack)
    found = permissions_of(template, "LargeJobFunction")
    assert found["CreateBatchJobs"]["Condition"] == {
        "StringEquals": {"s3:RequestJobOperation": "S3ComputeObjectChecksum"}
    }
    assert found["PassBatchRole"]["Condition"] == {
        "StringEquals": {"iam:PassedToService": "batchoperations.s3.amazonaws.com"}
    }
    assert found["DescribeBatchJobs"]["Action"] == "s3:DescribeJob"
    for name in ("PackagerFunction", "ChecksumFunction"):
        assert not {"CreateBatchJobs", "PassBatchRole"} & permissions_of(template, name).keys()
    functions = find(template, "AWS::Lambda::Function").values()
    assert sum("QUILT_PACKAGER_BATCH_ROLE_ARN" in str(each) for each in functions) == 3


def test_there_is_no_role_by_default() -> None:
    stack = make_stack()
    add_engine(stack)
    assert not find(template_of(stack), "AWS::IAM::Role", like="BatchOperations")


def test_an_unknown_choice_is_refused() -> None:
    with pytest.raises(ValueError, match="archived is 'thaw': choose from reject, s3_batch"):
        add_engine(make_stack(), archived="thaw")


def test_the_role_is_one_of_the_data_access_roles() -> None:
    stack = make_stack()
    engine = add_engine(stack, archived="s3_batch")
    paths = [role.node.path for role in engine.data_access_roles]
    assert paths[-1] == "Stack/Engine/BatchOperationsRole"
