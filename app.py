"""The CDK app: one packaging engine, made of the `quilt:` flags of `cdk.json` and `-c`."""

import sys

from aws_cdk import App

from quilt_packager import BundlingError, ContextError, LimitExceeded, PackagingEngineStack

app = App()
try:
    PackagingEngineStack(app, "PackagingEngine")
except (BundlingError, ContextError, LimitExceeded) as error:
    sys.exit(str(error))
app.synth()
