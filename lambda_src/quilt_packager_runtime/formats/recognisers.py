"""Recognisers: the folders that tools write, by their files. Data, and the matching of a path.

The command proposes packages by them, and the coalescer finds the file that completes a folder.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import translate
from functools import cache
from typing import TypeAlias

import msgspec

_Match: TypeAlias = Callable[[str], object]


class Recogniser(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of folder.

    Globs are relative to the folder, and match one component each. One that ends in `/` matches a
    subfolder.

    Attributes:
        kind: Name of the kind.
        title: Name for people.
        markers: Globs, one of which matches in each folder of the kind; empty: the name suffices.
        folder: Regular expression that the name of the folder matches.
        completion: Globs of files, one of which the tool writes when the folder is complete.
        requires_listed: The folder has a list of its files.
        yields: Folders of other kinds below, or the same folder as another kind, take precedence.
    """

    kind: str
    title: str
    markers: tuple[str, ...] = ()
    folder: str = ""
    completion: tuple[str, ...] = ()
    requires_listed: bool = False
    yields: bool = False


RECOGNISERS = (
    Recogniser(
        kind="ro-crate",
        title="RO-Crate",
        markers=("ro-crate-metadata.json",),
        completion=("ro-crate-metadata.json",),
    ),
    # https://docs.aws.amazon.com/omics/latest/dev/workflows-run-outputs.html
    Recogniser(
        kind="healthomics",
        title="HealthOmics run",
        markers=("pubdir/", "out/", "logs/outputs.json", "logs/output.json"),
        folder=r"(?!(?:19|20)\d{6}$)\d{5,18}",  # the id of a run, and no date
    ),
    Recogniser(
        kind="nf-core",
        title="nf-core run",
        markers=("pipeline_info/",),
        completion=("pipeline_info/execution_report*.html",),
    ),
    Recogniser(
        kind="illumina",
        title="Illumina run",
        markers=("RunInfo.xml",),
        folder="(?!Reports$).*",  # BCL Convert copies the file there
        completion=("CopyComplete.txt",),
    ),
    # https://nanoporetech.github.io/ont-output-specifications/latest/minknow/output_structure
    Recogniser(
        kind="nanopore",
        title="Nanopore run",
        markers=("final_summary*.txt", "pod5/", "fast5_pass/", "fastq_pass/", "bam_pass/"),
        completion=("final_summary*.txt",),
    ),
    Recogniser(
        kind="cell-ranger",
        title="Cell Ranger run",
        markers=("outs/web_summary.html", "outs/metrics_summary.csv", "outs/per_sample_outs/"),
        completion=("outs/web_summary.html", "outs/per_sample_outs/*/web_summary.html"),
    ),
    Recogniser(kind="bids", title="BIDS dataset", markers=("dataset_description.json",)),
    Recogniser(
        kind="zarr",
        title="Zarr store",
        markers=(".zgroup", ".zarray", ".zmetadata", "zarr.json"),
    ),
    Recogniser(kind="zarr", title="Zarr store", folder=r".+\.zarr"),
    Recogniser(kind="datapackage", title="Data Package", markers=("datapackage.json",)),
    Recogniser(kind="dicom", title="DICOM series", markers=("*.dcm", "*.DCM", "DICOMDIR")),
    Recogniser(
        kind="checksum-list",
        title="Folder with a checksum list",
        markers=("md5sum.txt", "md5sums.txt", "sha256sum.txt", "sha256sums.txt"),
        completion=("md5sum.txt", "md5sums.txt", "sha256sum.txt", "sha256sums.txt"),
        requires_listed=True,
        yields=True,
    ),
)
"""All kinds. Of two that match the same folder, the first names its kind."""

LEFT_OUT = (
    "**/.nextflow/**",
    "**/work/[0-9a-f][0-9a-f]/**",
    "**/work/stage-*/**",
    "**/work/tmp/**",
    "**/SC_*_CS/**",
    "**/SPATIAL_*_CS/**",
)
"""Globs of intermediate files: work directories of Nextflow, and stages of Cell Ranger."""


class PathGlob:
    """A glob with a fixed number of components, matched from the last one."""

    def __init__(self, glob: str) -> None:
        *above, last = (re.compile(translate(part)).match for part in glob.split("/"))
        self.last: _Match = last
        self._above = above[::-1]

    def find_root(self, folders: Sequence[str]) -> int | None:
        """Return the number of folders above the one that the glob is relative to.

        Args:
            folders: Names of the folders of a file whose name `last` matches, from the top.

        Example:
            >>> PathGlob("a/*.txt").find_root(["x", "a"])
            1
            >>> PathGlob("a/*.txt").find_root(["x", "b"])
        """
        root = len(folders) - len(self._above)
        if root < 0:
            return None
        names = reversed(folders[root:])
        matches = all(match(name) for match, name in zip(self._above, names, strict=True))
        return root if matches else None


def find_completed(key: str, ready_when: tuple[str, ...]) -> str | None:
    """Return the prefix of the folder that an object completes; None if it is no marker.

    It is never the whole bucket.

    Example:
        >>> find_completed("lab/run/CopyComplete.txt", ("illumina",))
        'lab/run/'
        >>> find_completed("lab/run/RunInfo.xml", ("illumina",))
        >>> find_completed("CopyComplete.txt", ("illumina",))
    """
    *folders, name = key.split("/")
    for glob in _compile(ready_when):
        if glob.last(name) and (root := glob.find_root(folders)):
            return "/".join(folders[:root]) + "/"
    return None


def completion_globs(ready_when: Iterable[str]) -> tuple[str, ...]:
    """Return the globs of an option `ready_when`: those of its kinds, and its own.

    Example:
        >>> completion_globs(["illumina", "reports/*.done"])
        ('CopyComplete.txt', 'reports/*.done')
    """
    globs: list[str] = []
    for name in ready_when:
        if is_kind(name):
            for each in RECOGNISERS:
                globs += each.completion if each.kind == name else ()
        else:
            globs.append(name)
    return tuple(dict.fromkeys(globs))


@cache
def _compile(ready_when: tuple[str, ...]) -> tuple[PathGlob, ...]:
    return tuple(map(PathGlob, completion_globs(ready_when)))


def is_kind(name: str) -> bool:
    """Return whether a text is the name of a kind: globs have other characters.

    Example:
        >>> is_kind("nf-core"), is_kind("DONE.txt")
        (True, False)
    """
    return re.fullmatch(r"[a-z][a-z-]*", name) is not None
