"""A CloudFormation template of one engine, for deployments without the CDK.

Example:
    python -m quilt_packager.app.template quilt-packager dist/template
"""

import json
import shutil
import sys
from pathlib import Path

from aws_cdk import App, BootstraplessSynthesizer, CfnCondition, CfnParameter, Fn, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3

from quilt_packager import contract
from quilt_packager.app.stack import name_outputs
from quilt_packager.bundling import Platform, build_asset
from quilt_packager.engine.engine import PackagingEngine
from quilt_packager.event_sources.object_uploads import ObjectUploads
from quilt_packager.event_sources.sources import HealthOmicsRuns, WorkflowRunCrates
from quilt_packager.guardrails.quotas import LimitExceeded

MAX_BODY_BYTES = 51_200
"""Maximum size of a template that CloudFormation takes without a bucket."""

DESCRIPTIONS = {
    contract.OMICS: "Package the output of completed HealthOmics runs",
    contract.CRATES: "Package folders with the RO-Crate of a workflow run",
    contract.UPLOADS: "Package folders to which uploads have stopped",
}
"""Description of the switch of each event source, by the name of the source."""

DEFAULT_STATES = {contract.UPLOADS: "DISABLED"}
"""The other event sources are enabled."""


class TemplateStack(Stack):
    """One engine whose buckets, code and event sources are parameters.

    Args:
        app: The app.
        stack_name: Name that the stack is deployed under: its logs and metrics have it.
        code_key: Default key of the code.

    Attributes:
        engine: The engine.
    """

    def __init__(self, app: App, *, stack_name: str, code_key: str) -> None:
        super().__init__(
            app,
            "PackagingEngine",
            stack_name=stack_name,
            description="Packages folders in S3 as Quilt packages",
            synthesizer=BootstraplessSynthesizer(),
        )
        source = self._parameter("SourceBucket", "Name of the bucket whose folders are packaged")
        registry = self._parameter(
            "RegistryBucket",
            "Name of the bucket for packages. Empty: the source bucket",
            default="",
        )
        is_named = CfnCondition(
            self,
            "HasRegistryBucket",
            expression=Fn.condition_not(Fn.condition_equals(registry.value_as_string, "")),
        )
        registry_name = Fn.condition_if(
            is_named.logical_id, registry.value_as_string, source.value_as_string
        )
        self.engine = PackagingEngine(
            self,
            "Engine",
            source_buckets=[s3.Bucket.from_bucket_name(self, "Source", source.value_as_string)],
            registry_buckets=[
                s3.Bucket.from_bucket_name(self, "Registry", registry_name.to_string())
            ],
            event_sources=[HealthOmicsRuns(), WorkflowRunCrates(), ObjectUploads()],
            code=lambda_.Code.from_cfn_parameters(
                bucket_name_param=self._parameter(
                    "CodeBucket", "Name of the bucket that has the code, in the region of the stack"
                ),
                object_key_param=self._parameter(
                    "CodeKey", "Key of the code in that bucket", default=code_key
                ),
            ),
        )
        name_outputs(self, self.engine)
        for rule in self.engine.node.find_all():
            if isinstance(rule, events.CfnRule):
                self._add_switch(rule)

    def _parameter(
        self,
        name: str,
        description: str,
        *,
        default: str | None = None,
        allowed_values: list[str] | None = None,
    ) -> CfnParameter:
        return CfnParameter(
            self, name, description=description, default=default, allowed_values=allowed_values
        )

    def _add_switch(self, rule: events.CfnRule) -> None:
        """Add a parameter for the state of a rule, if the rule switches an event source."""
        source = rule.get_metadata(contract.SOURCE_METADATA)
        if source is None:
            return
        name = source["name"]
        state = self._parameter(
            f"{name.capitalize()}State",
            DESCRIPTIONS[name],
            default=DEFAULT_STATES.get(name, "ENABLED"),
            allowed_values=["ENABLED", "DISABLED"],
        )
        rule.state = state.value_as_string


def write_template(folder: Path, *, stack_name: str, platform: Platform) -> None:
    """Write `template.json` and the code of the functions, whose name has its hash.

    Args:
        folder: Folder for both.
        stack_name: Name that the stack is deployed under.
        platform: Platform of the functions.

    Raises:
        BundlingError: The code could not be built.
        LimitExceeded: The template is too large.
    """
    asset = build_asset(platform)
    code_key = f"quilt-packager-{asset.asset_hash}.zip"
    app = App()
    TemplateStack(app, stack_name=stack_name, code_key=code_key)
    template = app.synth().get_stack_by_name(stack_name).template
    body = json.dumps(template, separators=(",", ":"))
    if len(body) > MAX_BODY_BYTES:
        raise LimitExceeded(
            f"The template has {len(body):,} bytes; CloudFormation takes {MAX_BODY_BYTES:,}."
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "template.json").write_text(body, "utf-8")
    shutil.copyfile(asset.path, folder / code_key)


if __name__ == "__main__":
    write_template(Path(sys.argv[2]), stack_name=sys.argv[1], platform=Platform.aws_lambda("arm64"))
