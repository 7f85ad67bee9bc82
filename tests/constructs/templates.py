"""Engines and stacks for tests, and readers of their templates."""

from typing import Any

from aws_cdk import App, Stack
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Template

from quilt_packager import ContextFlags, PackagingEngine, PackagingEngineStack

JsonObject = dict[str, Any]


def placeholder_code() -> lambda_.Code:
    """Stands for the asset, which takes pip seconds to build."""
    return lambda_.Code.from_inline("# stands for the asset")


def make_stack(name: str = "Stack") -> Stack:
    return Stack(App(), name)


def existing_bucket(stack: Stack, name: str) -> s3.IBucket:
    return s3.Bucket.from_bucket_name(stack, f"Bucket-{name}", name)


def add_engine(stack: Stack, construct_id: str = "Engine", **props: Any) -> PackagingEngine:
    """An engine with the source bucket `raw` and the registry `reg`, unless props say otherwise."""
    if "source_buckets" not in props:
        props["source_buckets"] = [existing_bucket(stack, "raw")]
    if "registry_buckets" not in props:
        props["registry_buckets"] = [existing_bucket(stack, "reg")]
    return PackagingEngine(stack, construct_id, **({"code": placeholder_code()} | props))


def make_flagged_stack(app: App | None = None, **flags: Any) -> PackagingEngineStack:
    return PackagingEngineStack(
        app or App(), "Stack", flags=ContextFlags(**flags), code=placeholder_code()
    )


def template_of(stack: Stack) -> JsonObject:
    return dict(Template.from_stack(stack).to_json())


def find(template: JsonObject, resource_type: str, *, like: str = "") -> dict[str, JsonObject]:
    """The resources of a type, by logical ids that contain a text."""
    return {
        logical_id: resource
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == resource_type and like in logical_id
    }


def properties_of(template: JsonObject, resource_type: str, *, like: str = "") -> JsonObject:
    """The properties of the only resource of a type whose logical id contains a text."""
    (resource,) = find(template, resource_type, like=like).values()
    properties: JsonObject = resource["Properties"]
    return properties


def rules_of(template: JsonObject) -> dict[str, JsonObject]:
    """The rules by logical ids, except the engine's own for its state machine."""
    rules = find(template, "AWS::Events::Rule")
    return {name: rule for name, rule in rules.items() if "EndedLargeJobs" not in name}


def only_rule_of(template: JsonObject) -> JsonObject:
    """The properties of the only rule except the engine's own."""
    (rule,) = rules_of(template).values()
    properties: JsonObject = rule["Properties"]
    return properties


def permissions_of(template: JsonObject, holder: str = "PackagerFunction") -> dict[str, JsonObject]:
    """The statements of a policy whose id contains `holder`, by Sid, or by action without one."""
    policy = properties_of(template, "AWS::IAM::Policy", like=holder)
    return {
        each.get("Sid") or str(each["Action"]): each
        for each in policy["PolicyDocument"]["Statement"]
    }


def arn(name: str, path: str = "") -> JsonObject:
    """The ARN of an existing bucket, or of objects in it, in a template."""
    return {"Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, f":s3:::{name}{path}"]]}


def via(service: str) -> JsonObject:
    """The value of `kms:ViaService` for a service in the region of the stack."""
    return {
        "Fn::Join": ["", [f"{service}.", {"Ref": "AWS::Region"}, ".", {"Ref": "AWS::URLSuffix"}]]
    }


def assert_protected(template: JsonObject, bucket_id: str) -> None:
    """A bucket is private, reached by TLS alone, encrypted, and owned by the account."""
    bucket = template["Resources"][bucket_id]["Properties"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"] == [
        {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    ]
    denied = [
        statement["Condition"]
        for policy in find(template, "AWS::S3::BucketPolicy").values()
        if policy["Properties"]["Bucket"] == {"Ref": bucket_id}
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny"
    ]
    assert {"Bool": {"aws:SecureTransport": "false"}} in denied
