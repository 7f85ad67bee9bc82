"""`quilt-packager verify`: whether all that packages promise is still there."""

import asyncio
import os
import re
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from quilt_packager.cli.console.errors import Misuse
from quilt_packager.cli.console.exits import Exit
from quilt_packager.cli.console.options import (
    JsonOption,
    ProfileOption,
    RegionOption,
    RegistryOption,
    StackOption,
    check_name,
    find_registry,
)
from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.cli.console.typer_groups import takes_negative_numbers

if TYPE_CHECKING:
    from quilt_packager_runtime.auditing.entry_check import Depth
    from quilt_packager_runtime.auditing.findings import Finding, Severity
    from quilt_packager_runtime.registry.publish import Package

    from quilt_packager.cli.console.progress import JobProgress
    from quilt_packager.operations.revisions.verification import Verification

PERCENT = re.compile(r"(?P<number>[0-9]{1,3}(?:[.][0-9]+)?) ?%")

STATUS = {"damage": "wrong", "warning": "notice", "unchecked": "unconfirmed"}
"""Status of a line for each severity."""


@takes_negative_numbers
def verify(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Package.", show_default=False)
    ] = None,
    revision: Annotated[
        str | None,
        typer.Argument(
            metavar="REV",
            help="Revision. Default: the latest, and all pointers.",
            show_default=False,
        ),
    ] = None,
    *,
    all_packages: Annotated[
        bool, typer.Option("--all", help="Verify all packages of the registry.")
    ] = False,
    registry: RegistryOption = None,
    deep: Annotated[bool, typer.Option("--deep", help="Read the bytes of all objects.")] = False,
    sample: Annotated[
        str | None,
        typer.Option(
            "--sample", metavar="PERCENT", help="With --deep: read some objects only, such as 1%."
        ),
    ] = None,
    stack: StackOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Verify that packages are complete, unchanged and readable.

    Compares manifests with their hashes, pointers with manifests, and entries with a listing of
    their versions; 1 % of the entries, and at least 100, also with their stored checksum. Warns of
    lifecycle rules that will delete or archive versions. The exit code is 0 if nothing is damaged,
    2 if something is, and 1 if something could not be checked.

    Examples:
      quilt-packager verify runs/42
      quilt-packager verify runs/42 -2 --registry packages --deep
      quilt-packager verify --all --deep --sample 1% --json
    """
    from quilt_packager_runtime.registry.publish import Package

    from quilt_packager.cli.console.progress import JobProgress

    _check_arguments(name, revision, all_packages=all_packages)
    depth = _parse_depth(sample, deep=deep)
    bucket = find_registry(registry, stack, profile, region)
    terminal = Terminal()
    report = _Report(terminal, as_json=as_json)
    package = None if name is None else Package(bucket, name)
    with JobProgress(terminal, with_bar=False) as progress:
        verification = _connect(depth, report, progress, profile, region)
        packages, entries = asyncio.run(_verify(verification, bucket, package, revision))
    report.end(packages, entries)
    return report.exit_code


def _check_arguments(name: str | None, revision: str | None, *, all_packages: bool) -> None:
    for each in (name, revision):
        if each is not None and each.startswith("--"):
            raise Misuse(f"No such option: {each}", why="", remedy="quilt-packager verify --help")
    if (name is None) is not all_packages:
        raise Misuse(
            "Give the name of a package, or --all.",
            why="Both were given." if all_packages else "Neither was given.",
            remedy="quilt-packager verify --help",
        )
    if name is not None:
        check_name(name)


def _parse_depth(sample: str | None, *, deep: bool) -> "Depth":
    from quilt_packager_runtime.auditing.entry_check import Depth

    if sample is None:
        return Depth(read_share=1.0 if deep else 0.0)
    match = PERCENT.fullmatch(sample)
    share = float(match["number"]) / 100 if match else 0.0
    if not deep or not 0 < share <= 1:
        raise Misuse(
            f"Invalid --sample: {sample}",
            why="It is a percentage of the objects to read, above 0% and up to 100%."
            if deep
            else "Without --deep, no bytes are read.",
            remedy="--deep --sample 1%",
        )
    return Depth(read_share=share)


async def _verify(
    verification: "Verification", registry: str, package: "Package | None", revision: str | None
) -> tuple[int, int]:
    from quilt_packager.operations.revisions.verification import (
        verify_all,
        verify_package,
        verify_revision,
    )

    if package is None:
        return await verify_all(verification, registry)
    if revision is None:
        return 1, await verify_package(verification, package)
    return 1, await verify_revision(verification, package, revision)


def _connect(
    depth: "Depth",
    report: "_Report",
    progress: "JobProgress",
    profile: str | None,
    region: str | None,
) -> "Verification":
    from quilt_packager_runtime.settings import Settings

    from quilt_packager.operations.deployment.credentials import connect_s3
    from quilt_packager.operations.revisions.verification import Verification

    settings = Settings.from_environment(os.environ)
    s3 = connect_s3(profile, region, max_connections=settings.max_requests_in_flight)
    return Verification(s3, settings, depth, report.add, progress)


class _Report:
    """Writes findings as they are found, and counts them."""

    def __init__(self, terminal: Terminal, *, as_json: bool) -> None:
        self._terminal = terminal
        self._as_json = as_json
        self._counts: Counter[Severity] = Counter()

    def add(self, package: "Package", top_hash: str | None, finding: "Finding") -> None:
        """Write a finding."""
        self._counts[finding.severity] += finding.entries
        if self._as_json:
            place = {"package_name": package.name, "registry": package.registry}
            place |= {} if top_hash is None else {"top_hash": top_hash}
            self._terminal.json({"kind": "finding", **place, **msgspec.to_builtins(finding)})
            return
        self._terminal.finding(
            STATUS[finding.severity],
            f"{package.name}  {finding.code}",
            finding.happened,
            remedy=finding.remedy,
            note="",
        )

    def end(self, packages: int, entries: int) -> None:
        """Write the numbers of packages, entries and findings."""
        from quilt_packager_runtime.auditing.findings import Severity

        counts = {each.value: self._counts[each] for each in Severity}
        if self._as_json:
            fields = {"packages": packages, "entries": entries, **counts}
            self._terminal.json({"kind": "summary", **fields})
            return
        plural = "package" if packages == 1 else "packages"
        found = ", ".join(f"{count:,} {severity}" for severity, count in counts.items() if count)
        self._terminal.write(
            f"{packages:,} {plural}, {entries:,} entries: {found or 'nothing is damaged'}"
        )

    @property
    def exit_code(self) -> Exit:
        """The exit code for the findings."""
        from quilt_packager_runtime.auditing.findings import Severity

        if self._counts[Severity.DAMAGE]:
            return Exit.REJECTED
        return Exit.FAILED if self._counts[Severity.UNCHECKED] else Exit.OK
