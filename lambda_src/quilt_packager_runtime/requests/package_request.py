"""The request for a package: as a message describes it, and complete.

A message is validated without I/O and gives an `UnresolvedRequest`. `resolve` reads the metadata
file, if there is one, and gives the `PackageRequest` that a job runs on.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from quilt_packager_runtime.errors import MAX_NAMED, join_some, quote
from quilt_packager_runtime.formats import names
from quilt_packager_runtime.formats.catalog_fields import make_facets
from quilt_packager_runtime.formats.checksum_lists import VerifyChecksums
from quilt_packager_runtime.formats.objects import S3Uri, Source, SourceFolder
from quilt_packager_runtime.formats.selection import Selection
from quilt_packager_runtime.requests.events import CRATE_NAME, FolderReady, Trigger
from quilt_packager_runtime.requests.quilt_profile import Crate
from quilt_packager_runtime.requests.sources import MessageSource
from quilt_packager_runtime.requests.violations import Violations
from quilt_packager_runtime.settings.name_templates import name_package
from quilt_packager_runtime.settings.requirements import (
    DEFAULT_REQUIRE_TIMEOUT_SECONDS,
    Requirement,
)
from quilt_packager_runtime.settings.source_options import Contents, MissingParts, OnForeignRevision

DEFAULT_COMMIT_MESSAGE = "Packaged from "
"""Beginning of the default commit message, before the URI of the folder."""

MetadataFormat = Literal["json", "ro-crate"]


class MetadataFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file in S3 that describes a package.

    Attributes:
        uri: The location of the file.
        format: The format of the file.
        optional: Publish without metadata if the file is missing or unusable.
        only_name: Use the file for the package's name, not for its metadata.
    """

    uri: S3Uri
    format: MetadataFormat = "json"
    optional: bool = False
    only_name: bool = False


class _Request(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The fields that a message settles by itself.

    Attributes:
        source: The folder to package: the first one, if there are several.
        registry: The bucket that receives the package.
        metadata: The package's metadata, except for that of a `MetadataFile`.
        commit_message: The revision's message; constant for an equal source by default.
        workflow: A workflow's name, None for none, UNSET for the registry's default.
        exclude: Globs of files that do not become part of the package.
        verify_checksums: Checksum lists to check the files against.
        settle_seconds: Minimum age of the message when the folder is read.
        require: Files without which the folder is not packaged.
        require_timeout_seconds: Maximum time to wait for these files.
        trigger: The message or event that made the request.
        ignored_fields: Names of unknown fields of the message: at most `MAX_NAMED`, shortened.
        warnings: Sentences about fields that the package lacks, or that the message misspells.
        on_foreign_revision: Handling of a newest revision that another writer published; None: as
            the engine does.
        lacks_run_fields: HealthOmics did not describe the run: the fields that the newest revision
            has of the same run are kept.
        sources: All folders with their places in the package; empty for `source` at its root.
        input_uris: Inputs of the run, as URIs, that are no field of the metadata.
    """

    source: SourceFolder
    registry: str
    metadata: dict[str, Any] | None = None
    commit_message: str
    workflow: str | UnsetType | None = UNSET
    exclude: tuple[str, ...] = ()
    verify_checksums: VerifyChecksums = "auto"
    settle_seconds: int = 0
    require: tuple[Requirement, ...] = ()
    require_timeout_seconds: int = DEFAULT_REQUIRE_TIMEOUT_SECONDS
    trigger: Trigger
    ignored_fields: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    on_foreign_revision: OnForeignRevision | None = None
    lacks_run_fields: bool = False
    sources: tuple[Source, ...] = ()
    input_uris: tuple[str, ...] = ()

    @property
    def header_source(self) -> str | None:
        """The folder for the manifest's header; None if the commit message names it already."""
        is_named = self.commit_message == default_commit_message(self.source)
        return None if is_named and not self.sources else str(self.source)

    @property
    def named_sources(self) -> tuple[MessageSource, ...] | None:
        """All sources as in a message; None if there is one, at the root."""
        return tuple(MessageSource(str(each), each.into) for each in self.sources) or None


class UnresolvedRequest(_Request, frozen=True, kw_only=True, tag="unresolved"):
    """A validated request whose name or metadata may still depend on a file.

    Attributes:
        package_name: `prefix/suffix`; None if `name_template` and the file make it.
        is_default_name: The folder made the name, which a crate may replace.
        name_template: The template of the name, if it needs values of the file.
        metadata_file: The file to read; None if the request is complete without one.
        contents: The objects that become the package.
        missing_parts: The treatment of parts that the crate lists and that are missing.
        dropped_component: Last component of a source_prefix that does not end in `/`: a person may
            have meant a folder of that name.
    """

    package_name: str | None
    is_default_name: bool = False
    name_template: str | None = None
    metadata_file: MetadataFile | None = None
    contents: Contents = "auto"
    missing_parts: MissingParts = "reject"
    dropped_component: str = ""


class PackageRequest(_Request, frozen=True, kw_only=True, tag="complete"):
    """A validated packaging request with all defaults applied, and with its name and metadata.

    Attributes:
        package_name: `prefix/suffix`.
        is_name_inferred: The folder made the name, not a sender, a template or a crate.
        selection: The parts of the folder that the crate lists; None for the whole folder.
        is_crate_a_checksum_list: The crate that was read may have SHA-256 values of files.
        input_packages: Revisions that hold inputs of the run, as `quilt+s3` URIs.
        lacks_input_packages: They could not be looked up.
    """

    package_name: str
    is_name_inferred: bool = False
    selection: Selection | None = None
    is_crate_a_checksum_list: bool = False
    input_packages: tuple[str, ...] = ()
    lacks_input_packages: bool = False

    @property
    def numbered_sources(self) -> dict[int, Source]:
        """All sources, those of the crate's parts too, by the numbers of an inventory."""
        parts = self.selection.sources if self.selection is not None else ()
        return dict(enumerate((*(self.sources or (Source.whole(self.source),)), *parts)))


def request_for_folder(
    ready: FolderReady,
    *,
    described: Mapping[str, Any] | None = None,
    default_registry: str | None = None,
) -> UnresolvedRequest:
    """Request the package of a folder, by the options of its event source.

    Args:
        ready: The folder.
        described: Metadata of the run that made it; None if there is none, or only a crate has it.
        default_registry: The registry of the package; None for the source bucket.

    Raises:
        InvalidMessage: The bucket's name is not legal, the prefix is too long, or the folder gives
            no legal package name.
    """
    source, options = ready.source, ready.options
    violations = Violations()
    violations.check("bucket", source.bucket, names.check_bucket)
    violations.check("prefix", source.prefix, names.check_key)
    name, warning = _make_name(options.package_name, source, described or {})
    violations.check_inferred_name(name)
    if violations:
        raise violations.as_error()
    has_crate = ready.trigger.kind == "workflow_run_crate"
    is_named_by_crate = has_crate and warning is not None
    describes = has_crate and options.metadata
    crate: MetadataFile | None = None
    if describes or is_named_by_crate or options.contents == "crate":
        crate = MetadataFile(
            uri=crate_in(source),
            format="ro-crate",
            optional=options.contents != "crate",
            only_name=not describes,
        )
    return UnresolvedRequest(
        source=source,
        registry=default_registry or source.bucket,
        package_name=None if is_named_by_crate else name,
        is_default_name=options.package_name is None
        or (warning is not None and not is_named_by_crate),
        name_template=options.package_name if is_named_by_crate else None,
        metadata=dict(described) if described and options.metadata else None,
        metadata_file=crate,
        contents=options.contents,
        missing_parts=options.missing_parts,
        commit_message=default_commit_message(source),
        exclude=options.exclude,
        verify_checksums=options.verify_checksums,
        settle_seconds=options.settle_seconds,
        require=options.require,
        require_timeout_seconds=options.require_timeout_seconds,
        on_foreign_revision=options.on_foreign_revision,
        trigger=ready.trigger,
        warnings=(warning,) if warning is not None and not is_named_by_crate else (),
    )


def complete(
    request: UnresolvedRequest,
    file: Crate | dict[str, Any] | None,
    *,
    selection: Selection | None = None,
    warning: str | None = None,
) -> PackageRequest:
    """Settle the name and the metadata of a request, both by the same content of its file.

    Args:
        request: The request.
        file: The content of its metadata file; None if there is none, or none that is usable.
        selection: The parts of the folder that a crate lists; None for the whole folder.
        warning: The reason why the file is unusable.

    Raises:
        InvalidMessage: The name of the folder is too long for a package.
    """
    crate = file if isinstance(file, Crate) else None
    name, name_warning = request.package_name, None
    if name is None:
        values = crate.fields if crate else {}
        name, name_warning = _make_name(request.name_template, request.source, values)
    is_name_inferred = request.is_default_name or name_warning is not None
    if crate and is_name_inferred:
        by_crate = crate.name_package(names.infer_package_name(request.source.prefix))
        if by_crate is not None:
            name, name_warning, is_name_inferred = by_crate, None, False
    violations = Violations()
    violations.check_inferred_name(name)
    if violations:
        raise violations.as_error()
    describes = request.metadata_file is not None and not request.metadata_file.only_name
    shared = {field: getattr(request, field) for field in _Request.__struct_fields__}
    if describes and crate:
        by_profile = {"package_name": name} if crate.follows_profile else {}
        shared["metadata"] = {**crate.fields, **by_profile}
    elif describes:
        shared["metadata"] = file
    shared["warnings"] += tuple(filter(None, (warning, name_warning)))
    return PackageRequest(
        **shared,
        package_name=name,
        is_name_inferred=is_name_inferred,
        selection=selection,
        is_crate_a_checksum_list=crate is not None and crate.has_digests,
    )


def note_missing_parts(request: PackageRequest, missing: Sequence[str]) -> PackageRequest:
    """Record the parts that the package lacks, in its metadata and in a warning."""
    metadata = (request.metadata or {}) | make_facets({"missing_parts": missing})
    named = join_some([quote(part) for part in missing[:MAX_NAMED]], len(missing))
    warning = f"Left out parts of the crate that are missing or cannot be packaged: {named}."
    warnings = (*request.warnings, warning)
    return msgspec.structs.replace(request, metadata=metadata, warnings=warnings)


def _make_name(
    template: str | None, source: SourceFolder, values: Mapping[str, Any]
) -> tuple[str, str | None]:
    """Make a package's name; if the template cannot, from the folder, with a warning."""
    name, missing = name_package(template, source, values)
    if missing:
        reason = f"the run has no {', '.join(missing)}"
    elif template is not None and len(name) > names.MAX_PACKAGE_NAME:
        name = names.infer_package_name(source.prefix)
        reason = f"the name would exceed {names.MAX_PACKAGE_NAME} characters"
    else:
        return name, None
    return name, f'The package is named after its folder, not by "{template}": {reason}.'


def crate_in(source: SourceFolder) -> S3Uri:
    """Return the location of a folder's crate."""
    return S3Uri(source.bucket, source.prefix + CRATE_NAME)


def default_commit_message(source: SourceFolder) -> str:
    """Return the message of a revision whose request has none.

    It is part of the top hash. Equal sources have equal messages, so that they are found unchanged;
    two sources never share a manifest.

    Example:
        >>> default_commit_message(SourceFolder("raw", "runs/42/"))
        'Packaged from s3://raw/runs/42/'
    """
    return f"{DEFAULT_COMMIT_MESSAGE}{source}"
