"""Complete requests: names and metadata by messages, files and crates."""

import json
from typing import Any

import msgspec
import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import AccessDenied, InvalidCrate, InvalidMetadata, S3Error
from quilt_packager_runtime.formats.objects import S3Uri, Source, SourceFolder
from quilt_packager_runtime.formats.selection import Selection
from quilt_packager_runtime.packaging import package
from quilt_packager_runtime.requests.events import Trigger
from quilt_packager_runtime.requests.package_request import (
    MetadataFile,
    PackageRequest,
    UnresolvedRequest,
)
from quilt_packager_runtime.requests.resolve import resolve
from quilt_packager_runtime.requests.ro_crates import MAX_CRATE_BYTES
from quilt_packager_runtime.settings import Settings

from tests.s3_stub import S3Stub

URI = S3Uri("raw", "run/ro-crate-metadata.json")
CRATE = json.dumps(
    {
        "@graph": [
            {"@id": "./", "name": "Run", "mainEntity": {"@id": "w"}},
            {"@id": "w", "@type": "ComputationalWorkflow", "name": "nf-core/demo"},
            {"@id": "https://x.org/runs/42", "@type": "CreateAction", "instrument": {"@id": "w"}},
        ]
    }
)
CODES = {403: "AccessDenied", 500: "InternalError"}
FACETS = {"name": "Run", "workflow_name": "nf-core/demo", "run_id": "42"}


def wanted(package_name: str | None = "package/run", **fields: Any) -> UnresolvedRequest:
    return UnresolvedRequest(
        source=SourceFolder("raw", "run/"),
        registry="raw",
        package_name=package_name,
        commit_message="x",
        trigger=Trigger("message"),
        **fields,
    )


def crate(*, template: str | None = None, **options: bool) -> UnresolvedRequest:
    file = MetadataFile(uri=URI, format="ro-crate", **options)
    if template is None:
        return wanted(metadata_file=file)
    return wanted(None, name_template=template, metadata_file=file)


async def complete(s3: S3, request: UnresolvedRequest) -> PackageRequest:
    return await resolve(request, settings=Settings(), s3=s3)


@pytest.fixture
def upload(s3_stub: S3Stub) -> Any:
    bucket = s3_stub.create_bucket("raw")
    return lambda data: bucket.put(URI.key, data)


async def test_metadata_of_the_message_is_taken_as_it_is(s3: S3, s3_stub: S3Stub) -> None:
    assert (await complete(s3, wanted(metadata={"a": None}))).metadata == {"a": None}
    assert not s3_stub.requests


async def test_the_fields_of_the_message_are_taken_over(s3: S3) -> None:
    request = wanted(workflow=None, exclude=("a",), settle_seconds=3, ignored_fields=("b",))
    assert await complete(s3, request) == PackageRequest(
        source=request.source,
        registry="raw",
        package_name="package/run",
        commit_message="x",
        workflow=None,
        exclude=("a",),
        settle_seconds=3,
        trigger=request.trigger,
        ignored_fields=("b",),
    )


async def test_a_crate_gives_its_facets(s3: S3, upload: Any) -> None:
    upload(CRATE)
    request = await complete(s3, crate())
    assert (request.metadata, request.warnings) == (FACETS, ())


async def test_a_crate_may_be_read_as_plain_json(s3: S3, upload: Any) -> None:
    upload(CRATE)
    request = await complete(s3, wanted(metadata_file=MetadataFile(uri=URI)))
    assert request.metadata == json.loads(CRATE)


@pytest.mark.parametrize("data", [None, "{", "{}", " " * (MAX_CRATE_BYTES + 1)])
async def test_a_required_crate_must_be_usable(s3: S3, upload: Any, data: str | None) -> None:
    if data is not None:
        upload(data)
    with pytest.raises(InvalidMetadata, match="ro-crate-metadata"):
        await complete(s3, crate())


@pytest.mark.parametrize("data", [None, "{", "{}"])
async def test_an_optional_crate_may_be_missing_or_broken(
    s3: S3, upload: Any, data: str | None
) -> None:
    if data is not None:
        upload(data)
    request = await complete(s3, crate(optional=True))
    assert request.metadata is None
    (warning,) = request.warnings
    assert warning.startswith("The crate was not used. ")
    assert "ro-crate-metadata.json" in warning


async def test_a_crate_names_its_package(s3: S3, upload: Any) -> None:
    upload(CRATE)
    request = await complete(s3, crate(template="{workflow_name}/{run_id}", optional=True))
    assert (request.package_name, request.metadata) == ("nf-core-demo/42", FACETS)


def quilt_crate(**root: Any) -> str:
    profile = {"@id": "https://w3id.org/quilt/ro-crate/0.2"}
    root = {"@id": "./", "conformsTo": profile, "hasPart": "a.txt", **root}
    return json.dumps({"@graph": [root]})


def quilt_name(name: str) -> dict[str, str]:
    return {"propertyID": "https://w3id.org/quilt/ro-crate#packageName", "value": name}


async def test_a_crate_of_quilts_profile_names_and_describes_its_package(
    s3: S3, upload: Any
) -> None:
    upload(quilt_crate(creator={"name": "Ada"}, identifier=quilt_name("assays/1")))
    request = await complete(s3, msgspec.structs.replace(crate(), is_default_name=True))
    assert request.package_name == "assays/1"
    assert request.metadata == {
        "author": ["Ada"],
        "conforms_to": ["https://w3id.org/quilt/ro-crate/0.2"],
        "creator": ["Ada"],
        "package_name": "assays/1",
    }


async def test_the_name_of_the_message_wins_over_that_of_the_crate(s3: S3, upload: Any) -> None:
    upload(quilt_crate(identifier=quilt_name("assays/1")))
    request = await complete(s3, crate())
    assert request.package_name == "package/run"
    assert request.metadata
    assert request.metadata["package_name"] == "package/run"


async def test_a_template_wins_over_the_name_of_the_crate(s3: S3, upload: Any) -> None:
    upload(quilt_crate(name="Run", identifier=quilt_name("assays/1")))
    assert (await complete(s3, crate(template="runs/{name}"))).package_name == "runs/Run"


async def test_the_name_of_the_crate_wins_over_a_template_that_lacks_a_field(
    s3: S3, upload: Any
) -> None:
    upload(quilt_crate(identifier=quilt_name("assays/1")))
    request = await complete(s3, crate(template="runs/{name}"))
    assert (request.package_name, request.warnings) == ("assays/1", ())


async def test_violations_of_quilts_profile_are_rejected_even_if_the_crate_is_optional(
    s3: S3, upload: Any
) -> None:
    upload(quilt_crate(identifier=[quilt_name("no name"), quilt_name("a/b")]))
    with pytest.raises(InvalidCrate, match=r'"no name".*2 different values'):
        await complete(s3, crate(optional=True))


async def test_the_parts_of_a_crate_are_selected(s3: S3, upload: Any) -> None:
    version = upload(quilt_crate(hasPart=["a.txt", "sub/"]))
    request = await complete(s3, crate(optional=True))
    assert request.selection == Selection(
        crate="ro-crate-metadata.json",
        etag=f'"{version.etag}"',
        version_id=version.version_id,
        files=frozenset({"a.txt"}),
        folders=frozenset({"sub"}),
    )
    data = msgspec.json.encode(request)
    assert msgspec.json.decode(data, type=PackageRequest) == request  # as in a large job


@pytest.mark.parametrize(
    "fields", [{"contents": "folder"}, {"metadata_file": MetadataFile(uri=URI)}]
)
async def test_the_whole_folder_is_selected(s3: S3, upload: Any, fields: dict[str, Any]) -> None:
    upload(quilt_crate())
    request = msgspec.structs.replace(crate(), **fields)
    assert (await complete(s3, request)).selection is None


async def test_a_crate_without_the_profile_selects_if_it_is_asked_to(s3: S3, upload: Any) -> None:
    upload('{"@graph": [{"@id": "./", "hasPart": "a.txt"}]}')
    assert (await complete(s3, crate())).selection is None
    request = msgspec.structs.replace(crate(only_name=True), contents="crate")
    assert (await complete(s3, request)).selection is not None


async def test_parts_elsewhere_are_rejected_or_left_out(s3: S3, upload: Any) -> None:
    upload(quilt_crate(hasPart=["a.txt", "s3://other/raw/plate.csv", "../b.txt"]))
    settings = Settings(source_buckets=("raw",))
    with pytest.raises(InvalidCrate) as caught:
        await resolve(crate(optional=True), settings=settings, s3=s3)
    for violation in (
        'part "../b.txt": it is outside of the crate\'s folder',
        'part "s3://other/raw/plate.csv": the engine does not use its bucket; add other to',
    ):
        assert violation in caught.value.happened
    request = msgspec.structs.replace(crate(), missing_parts="leave_out")
    selection = (await resolve(request, settings=settings, s3=s3)).selection
    assert selection
    assert selection.elsewhere == ("../b.txt", "s3://other/raw/plate.csv")
    assert selection.sources == ()


async def test_parts_in_other_buckets_of_the_engine_are_sources(s3: S3, upload: Any) -> None:
    upload(quilt_crate(hasPart=["s3://other/raw/plate.csv"]))
    request = await resolve(crate(), settings=Settings(source_buckets=("raw", "other")), s3=s3)
    assert request.selection
    assert request.selection.sources == (
        Source("other", "raw/plate.csv", "plate.csv", is_object=True),
    )


async def test_a_crate_lists_no_other_version_of_itself(s3: S3, upload: Any) -> None:
    upload(quilt_crate(hasPart=["a.txt", f"{URI}?versionId=v0"]))
    with pytest.raises(InvalidCrate, match='it lists version "v0" of itself'):
        await complete(s3, crate())


async def test_a_crate_outside_of_the_folder_selects_nothing(s3: S3, upload: Any) -> None:
    upload(quilt_crate())
    request = msgspec.structs.replace(crate(), source=SourceFolder("raw", ""))
    with pytest.raises(InvalidCrate, match=r"it is not s3://raw/ro-crate-metadata\.json"):
        await complete(s3, request)


async def test_a_crate_may_name_its_package_without_describing_it(s3: S3, upload: Any) -> None:
    upload(CRATE)
    request = await complete(s3, crate(template="runs/{run_id}", optional=True, only_name=True))
    assert (request.package_name, request.metadata) == ("runs/42", None)


@pytest.mark.parametrize("only_name", [True, False])
async def test_a_template_that_lacks_a_field_leaves_a_warning(
    s3: S3, upload: Any, only_name: bool
) -> None:
    upload(CRATE.replace("https://x.org/runs/42", "#create-action"))
    request = await complete(
        s3, crate(template="runs/{run_id}", optional=True, only_name=only_name)
    )
    assert request.package_name == "package/run"
    assert request.warnings == (
        'The package is named after its folder, not by "runs/{run_id}": the run has no run_id.',
    )


async def test_a_crate_that_should_name_its_package_and_is_missing_leaves_two_warnings(
    s3: S3, upload: Any
) -> None:
    request = await complete(s3, crate(template="runs/{run_id}", optional=True))
    assert [warning.split(".")[0] for warning in request.warnings] == [
        "The crate was not used",
        'The package is named after its folder, not by "runs/{run_id}": the run has no run_id',
    ]


@pytest.mark.parametrize(("status", "may_retry"), [(403, True), (403, False), (500, False)])
async def test_an_optional_crate_that_cannot_be_read_leaves_a_warning(
    s3: S3, s3_stub: S3Stub, upload: Any, status: int, may_retry: bool
) -> None:
    upload(CRATE)
    s3_stub.on("GetObject", times=None).answer(status, CODES[status])
    request = await resolve(crate(optional=True), settings=Settings(), s3=s3, may_retry=may_retry)
    assert request.metadata is None
    assert "The crate was not used" in request.warnings[0]


async def test_an_optional_crate_is_read_again_while_attempts_are_left(
    s3: S3, s3_stub: S3Stub, upload: Any
) -> None:
    upload(CRATE)
    s3_stub.on("GetObject", times=None).answer(500)
    with pytest.raises(S3Error):
        await resolve(crate(optional=True), settings=Settings(), s3=s3, may_retry=True)


@pytest.mark.parametrize(("status", "error"), [(403, AccessDenied), (500, S3Error)])
async def test_a_required_crate_must_be_readable(
    s3: S3, s3_stub: S3Stub, upload: Any, status: int, error: type[Exception]
) -> None:
    upload(CRATE)
    s3_stub.on("GetObject", times=None).answer(status, CODES[status])
    with pytest.raises(error):
        await complete(s3, crate())


async def test_a_name_of_a_crate_that_is_too_long_gives_way_to_the_folder(
    s3: S3, upload: Any
) -> None:
    upload(CRATE.replace("nf-core/demo", "n" * 256))
    template = "{workflow_name}/" + "{workflow_name}" * 3
    request = await complete(s3, crate(template=template, optional=True))
    assert request.package_name == "package/run"
    assert "the name would exceed 991 characters" in request.warnings[0]


@pytest.mark.parametrize("data", [None, "{", '{"@graph": []}'])
async def test_the_folder_names_a_package_whose_crate_does_not(
    s3: S3, upload: Any, data: str | None
) -> None:
    if data is not None:
        upload(data)
    request = await complete(s3, crate(template="runs/{run_id}", optional=True))
    assert request.package_name == "package/run"


async def test_a_crate_that_names_and_describes_its_package_is_read_once(
    s3: S3, s3_stub: S3Stub, upload: Any
) -> None:
    upload(CRATE)
    await complete(s3, crate(template="{workflow_name}/{run_id}", optional=True))
    assert [each.key for each in s3_stub.requests] == [URI.key]


async def test_a_crate_that_takes_too_long_to_read_leaves_a_warning(
    s3: S3, upload: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never_ends(*_: object) -> dict[str, Any]:
        while True:
            pass

    monkeypatch.setattr("quilt_packager_runtime.requests.resolve.MAX_CRATE_CPU_SECONDS", 0.05)
    monkeypatch.setattr("quilt_packager_runtime.requests.resolve.read_crate", never_ends)
    upload(CRATE)
    request = await complete(s3, crate(optional=True))
    assert request.metadata is None
    assert "takes more than 0.05 s to read" in request.warnings[0]


async def test_name_and_metadata_agree_if_a_crate_is_overwritten_meanwhile(
    s3: S3, s3_stub: S3Stub, upload: Any
) -> None:
    upload(CRATE)
    request = await complete(s3, crate(template="{workflow_name}/{run_id}", optional=True))
    upload(CRATE.replace("nf-core/demo", "nf-core/other"))
    outcome = await package(request, settings=Settings(), s3=s3)
    bucket = s3_stub.store.buckets["raw"]
    manifest = bucket.get(f".quilt/packages/{outcome.top_hash}")
    assert manifest
    header = json.loads(manifest.data.splitlines()[0])
    assert outcome.package_name == "nf-core-demo/42"
    assert header["user_meta"]["workflow_name"] == "nf-core/demo"
