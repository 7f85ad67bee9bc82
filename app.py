"""The CDK app: one packaging engine, made of the `quilt:` flags of `cdk.json` and `-c`."""

import sys

from aws_cdk import App

from quilt_packager import BundlingError, ContextError, LimitExceeded, PackagingEngineStack
from quilt_packager.app.deployed_flags import warn_of_dropped_flags

app = App()
try:
    stack = PackagingEngineStack(app, "PackagingEngine")
except (BundlingError, ContextError, LimitExceeded) as error:
    sys.exit(str(error))
warn_of_dropped_flags(stack)
app.synth()
