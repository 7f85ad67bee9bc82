"""The CDK app: one packaging engine, made of the `quilt:` flags of `cdk.json` and `-c`."""

from aws_cdk import App

from quilt_packager import PackagingEngineStack

app = App()
PackagingEngineStack(app, "PackagingEngine")
app.synth()
