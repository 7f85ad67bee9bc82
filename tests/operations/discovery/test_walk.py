"""Recognition of folders in one pass: shapes of tools, nesting, and the memory that it takes."""

import tracemalloc
from collections.abc import Iterable, Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quilt_packager_runtime.errors import MalformedResponse
from quilt_packager_runtime.formats.objects import (
    ChecksumAlgorithm,
    SourceFolder,
    SourceObject,
)

from quilt_packager.operations.discovery.roots import Root, Roots
from quilt_packager.operations.discovery.walk import Walk

PAGE = 1000

# One tree for each tool, as its documentation shows it.
TREES = {
    "ro-crate": ["ro-crate-metadata.json", "data/a.csv", "inner/ro-crate-metadata.json"],
    "nf-core": [
        "multiqc/multiqc_report.html",
        "pipeline_info/execution_report_2026-11-01_10-00-00.html",
        "pipeline_info/params_2026-11-01_10-00-00.json",
        "star_salmon/counts.zarr/.zgroup",
    ],
    "illumina": [
        "CopyComplete.txt",
        "Data/Intensities/BaseCalls/L001/s_1_1101.bcl.gz",
        "RTAComplete.txt",
        "RunInfo.xml",
        "RunParameters.xml",
    ],
    "nanopore": [
        "fastq_pass/barcode01/PAA1_pass_0.fastq.gz",
        "final_summary_PAA12345_e05460c6_0f1d7e9e.txt",
        "pod5/PAA12345_0.pod5",
        "sequencing_summary_PAA12345_e05460c6_0f1d7e9e.txt",
    ],
    "cell-ranger": [
        "_invocation",
        "outs/filtered_feature_bc_matrix/matrix.mtx.gz",
        "outs/metrics_summary.csv",
        "outs/web_summary.html",
    ],
    "bids": [
        "dataset_description.json",
        "derivatives/prep/dataset_description.json",
        "sub-01/anat/sub-01_T1w.nii.gz",
    ],
    "zarr": [".zattrs", ".zgroup", "0/.zarray", "0/0/0", "1/.zarray"],
    "datapackage": ["data/a.csv", "datapackage.json"],
    "dicom": ["IM-0001.dcm", "IM-0002.dcm"],
    "checksum-list": ["a.fastq.gz", "md5sum.txt", "sub/b.fastq.gz"],
}


@pytest.fixture
def roots() -> Iterator[Roots]:
    with Roots() as opened:
        yield opened


def objects(keys: Iterable[str], size_bytes: int = 5) -> Iterator[SourceObject]:
    return (SourceObject(key, size_bytes, '"e"', "v") for key in keys)


def walk(roots: Roots, *keys: str, prefix: str = "") -> list[Root]:
    walked = Walk(SourceFolder("raw", prefix), roots)
    walked.take(objects(sorted(keys)))
    walked.end()
    return [root for root, _ in roots]


def found(roots: Roots, *keys: str, prefix: str = "") -> dict[str, str]:
    return {root.prefix: root.kind for root in walk(roots, *keys, prefix=prefix)}


@pytest.mark.parametrize("kind", TREES)
def test_tree_of_a_tool_is_one_root(roots: Roots, kind: str) -> None:
    (root,) = walk(roots, *(f"lab/x/{path}" for path in TREES[kind]), "lab/notes.txt")
    assert (root.prefix, root.kind, root.objects) == ("lab/x/", kind, len(TREES[kind]))


@pytest.mark.parametrize("marker", ["pubdir/a.txt", "out/a/a.txt", "logs/outputs.json"])
def test_folder_named_by_a_run_of_healthomics_is_a_root(roots: Roots, marker: str) -> None:
    keys = (f"omics/3395667/{marker}", f"omics/20261101/{marker}", f"omics/abc/{marker}")
    assert found(roots, *keys) == {"omics/3395667/": "healthomics"}


def test_zarr_store_without_metadata_at_its_root_is_one_root(roots: Roots) -> None:
    keys = [f"plate.zarr/{row}/{column}/.zarray" for row in "ABC" for column in range(5)]
    assert found(roots, *keys) == {"plate.zarr/": "zarr"}


def test_outermost_root_wins_even_if_its_marker_comes_last(roots: Roots) -> None:
    assert found(roots, "a/1/.zgroup", "a/2/RunInfo.xml", "a/ro-crate-metadata.json") == {
        "a/": "ro-crate"
    }


def test_roots_beside_one_another_remain(roots: Roots) -> None:
    assert found(roots, "a/1/.zgroup", "a/2/RunInfo.xml", "b/datapackage.json") == {
        "a/1/": "zarr",
        "a/2/": "illumina",
        "b/": "datapackage",
    }


def test_checksum_list_above_other_roots_makes_no_root(roots: Roots) -> None:
    assert found(roots, "a/md5sum.txt", "a/1/RunInfo.xml", "a/b/c/2/RunInfo.xml") == {
        "a/1/": "illumina",
        "a/b/c/2/": "illumina",
    }


def test_checksum_lists_in_a_folder_with_one_belong_to_it(roots: Roots) -> None:
    assert found(roots, "a/md5sum.txt", "a/b/md5sum.txt") == {"a/": "checksum-list"}


def test_first_recogniser_names_the_kind(roots: Roots) -> None:
    assert found(roots, "a/md5sum.txt", "a/RunInfo.xml", "a/ro-crate-metadata.json") == {
        "a/": "ro-crate"
    }


def test_whole_bucket_is_never_a_root(roots: Roots) -> None:
    keys = ("ro-crate-metadata.json", "RunInfo.xml", "pipeline_info/a", "b/RunInfo.xml")
    assert found(roots, *keys) == {"b/": "illumina"}


def test_folder_that_is_discovered_may_be_a_root(roots: Roots) -> None:
    assert found(roots, "a/b/RunInfo.xml", prefix="a/b/") == {"a/b/": "illumina"}


def test_registry_is_left_out(roots: Roots) -> None:
    assert not found(roots, ".quilt/packages/RunInfo.xml", ".quilt/x/md5sum.txt")


def test_intermediate_files_are_neither_roots_nor_counted(roots: Roots) -> None:
    (root,) = walk(
        roots,
        "run/.nextflow/cache/RunInfo.xml",
        "run/pipeline_info/execution_report.html",
        "run/work/3f/0a1b2c/x.zarr/.zgroup",
        "run/work/plan.txt",
        "work/stage-0f/ab/RunInfo.xml",
    )
    assert (root.prefix, root.objects) == ("run/", 2)
    assert root.left_out == ("**/.nextflow/**", "**/work/[0-9a-f][0-9a-f]/**")


def test_folder_without_its_completion_marker_is_noticed(roots: Roots) -> None:
    complete, partial = walk(roots, "a/CopyComplete.txt", "a/RunInfo.xml", "b/RunInfo.xml")
    assert (complete.completion, partial.completion) == ("CopyComplete.txt", None)


def test_marker_of_a_subfolder_completes_nothing(roots: Roots) -> None:
    (root,) = walk(roots, "a/RunInfo.xml", "a/b/CopyComplete.txt")
    assert root.completion is None


def test_reports_of_a_conversion_are_no_run(roots: Roots) -> None:
    assert not found(roots, "fastq/Reports/RunInfo.xml", "fastq/a_S1_R1_001.fastq.gz")


def test_contents_are_counted(roots: Roots) -> None:
    walked = Walk(SourceFolder("raw", ""), roots, algorithms=[ChecksumAlgorithm.CRC64NVME])
    mib = 1024 * 1024
    walked.take(
        [
            SourceObject("a/RunInfo.xml", 5, "", None, stored=ChecksumAlgorithm.CRC64NVME),
            SourceObject("a/b/", 0, "", None),
            SourceObject("a/b/big", 20 * mib, "", None, archived=True),
            SourceObject("a/c/small", 7, "", None),
        ]
    )
    walked.end()
    ((root, _),) = roots
    assert (root.objects, root.size_bytes, root.archived) == (3, 20 * mib + 12, 1)
    assert (root.heads, root.load.copies, root.load.reads) == (1, 3, 1)


def test_keys_out_of_order_are_refused(roots: Roots) -> None:
    walked = Walk(SourceFolder("raw", ""), roots)
    with pytest.raises(MalformedResponse, match="not in order"):
        walked.take(objects(["b", "a"]))


def test_names_that_roots_share_are_counted(roots: Roots) -> None:
    walk(roots, "a/b c/.zgroup", "a/b-c/.zgroup", "a/d/.zgroup")
    assert [namesakes for _, namesakes in roots] == [2, 2, 1]


components = st.sampled_from(["a", "b.zarr", "outs", "pipeline_info", "work", "3f"])
files = st.sampled_from(["RunInfo.xml", ".zgroup", "md5sum.txt", "web_summary.html", "x"])
paths = st.builds(
    lambda folders, name: "/".join([*folders, name]), st.lists(components, max_size=4), files
)


@settings(max_examples=30)
@given(st.sets(paths, max_size=20))
def test_no_root_is_inside_of_another(keys: set[str]) -> None:
    with Roots() as roots:
        prefixes = sorted(found(roots, *keys))
    assert not any(b.startswith(a) for a, b in pairwise(prefixes))


def test_store_of_many_chunks_takes_the_memory_of_its_open_folders(roots: Roots) -> None:
    walked = Walk(SourceFolder("raw", ""), roots)
    tracemalloc.start()
    try:
        for number in range(4):
            chunks = range(number * PAGE, (number + 1) * PAGE)
            walked.take(objects(f"s.zarr/{chunk:06}/.zarray" for chunk in chunks))
        walked.end()
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [root.objects for root, _ in roots] == [4 * PAGE]
    assert peak_bytes < 100_000
