"""Names in messages, and their meaning: packages, buckets, folders, references.

A name that breaks its rule raises ValueError with the rule, so that a caller can report all
invalid names at once, each with its rule.
"""

import re
from urllib.parse import quote

from quilt_packager_runtime.formats.objects import (
    MAX_KEY_BYTES,
    REGISTRY_PREFIX,
    S3Uri,
    SourceFolder,
)

MAX_PACKAGE_NAME = MAX_KEY_BYTES - len(".quilt/named_packages//1234567890")
"""Maximum length of a package name, so that the keys of its pointers are valid in S3."""

PACKAGE_NAME = re.compile(r"[A-Za-z0-9_-]+/[A-Za-z0-9_-]+")
"""Full match of a package name."""

NOT_IN_PACKAGE_NAME = re.compile(r"[^A-Za-z0-9_-]")
# The rule of us-east-1 before March 2018; its buckets still exist.
_BUCKET = re.compile(r"(?!\.+$)[A-Za-z0-9._-]{1,255}")
_IP_ADDRESS = re.compile(r"[0-9]+(?:\.[0-9]+){3}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_VERSION_QUERY = "?versionId="


def infer_package_name(prefix: str) -> str:
    """Derive a package name from the key prefix of a folder. It may exceed `MAX_PACKAGE_NAME`.

    Example:
        >>> infer_package_name("my/s3/folder/")
        'my_s3/folder'
        >>> infer_package_name("//f*0//")
        'package/f-0'
        >>> infer_package_name("")
        'package/null'
    """
    components = [NOT_IN_PACKAGE_NAME.sub("-", part) for part in prefix.split("/") if part]
    *parents, name = components or ["null"]
    return f"{'_'.join(parents) or 'package'}/{name}"


def check_package_name(name: str) -> str:
    """Return a package name if it is valid.

    Only ASCII is: quilt3 accepts other letters, but a Quilt stack ignores such a package.

    Raises:
        ValueError: It is not valid.

    Example:
        >>> check_package_name("omics/run-42")
        'omics/run-42'
    """
    if not PACKAGE_NAME.fullmatch(name):
        raise ValueError("a package name is prefix/suffix, each of A-Z, a-z, 0-9, _ and -")
    if len(name) > MAX_PACKAGE_NAME:
        raise ValueError(f"a package name has at most {MAX_PACKAGE_NAME} characters")
    return name


def check_bucket(name: str) -> str:
    """Return the name of a general purpose bucket if it is valid; the bucket may not exist.

    The rule keeps ARNs, addresses and URLs out of requests.

    Raises:
        ValueError: It is not valid.

    Example:
        >>> check_bucket("run-data")
        'run-data'
    """
    if not _BUCKET.fullmatch(name) or _IP_ADDRESS.fullmatch(name):
        raise ValueError(
            "a bucket's name has up to 255 of A-Z, a-z, 0-9, -, _ and dots, and is no ARN, URL or "
            "IP address"
        )
    return name


def parse_registry(text: str) -> str:
    """Return the bucket of a registry, given by its name or as `s3://bucket`.

    Raises:
        ValueError: It is neither.

    Example:
        >>> parse_registry("packages"), parse_registry("s3://packages/")
        ('packages', 'packages')
    """
    bare = text.removeprefix("s3://")
    if bare == text:
        return check_bucket(text)
    bucket, _, path = bare.partition("/")
    if path:
        raise ValueError("a registry is a whole bucket, without a path")
    return check_bucket(bucket)


def parse_source_prefix(text: str) -> SourceFolder:
    """Return the folder of a percent-encoded `s3://bucket/…`.

    Without a trailing `/`, the last component and its `?versionId=…` are dropped. Components such
    as `.`, `..` and the empty one are ordinary: S3 does not resolve them either.

    Raises:
        ValueError: It is not the URI of a folder that can be packaged.

    Example:
        >>> parse_source_prefix("s3://b/run%231/metadata.json?versionId=v1")
        SourceFolder(bucket='b', prefix='run#1/')
    """
    uri = _parse_uri(text)
    folder, slash, _ = uri.key.rpartition("/")
    if uri.key.startswith(REGISTRY_PREFIX):
        raise ValueError(f"{REGISTRY_PREFIX} holds the registry itself, which is never packaged")
    return SourceFolder(uri.bucket, folder + slash)


def resolve_metadata_uri(reference: str, source_prefix: str) -> S3Uri:
    """Resolve a `metadata_uri` to an object, as RFC 3986 resolves references.

    Dot components that are *written* in the reference are resolved; those of the source prefix are
    ordinary parts of its keys, as is `%2E%2E` in the reference.

    Args:
        reference: Absolute, or relative to the source prefix; percent-encoded.
        source_prefix: Source prefix that `parse_source_prefix` accepts.

    Raises:
        ValueError: It does not lead to an object in S3.

    Example:
        >>> str(resolve_metadata_uri("entry.json", "s3://b/run/"))
        's3://b/run/entry.json'
        >>> str(resolve_metadata_uri("//other/a/../m.json?versionId=v1", "s3://b/run/"))
        's3://other/m.json?versionId=v1'
    """
    base = S3Uri.parse(source_prefix)
    scheme = _SCHEME.match(reference)
    if scheme and not reference.lower().startswith("s3://"):
        raise ValueError(
            f"metadata is read from S3 alone, not from {scheme[0]} (a relative reference whose "
            "first component holds a colon begins with ./)"
        )
    path, query, version = reference.rpartition(_VERSION_QUERY)
    if not query:
        path, version = version, ""
    components = quote(base.key).split("/")
    bucket = base.bucket
    if not path:
        # RFC 3986, 5.2.2: a reference without a path is the base itself.
        query = query or (_VERSION_QUERY if base.version_id else "")
        version = version or quote(base.version_id or "")
    elif scheme or path.startswith("//"):
        bucket, _, path = path.partition("//")[2].partition("/")
        components = _resolve_dots([], path)
    elif path.startswith("/"):
        components = _resolve_dots([], path[1:])
    else:
        components = _resolve_dots(components[:-1], path)
    uri = _parse_uri(f"s3://{bucket}/{'/'.join(components)}{query}{version}")
    if not uri.key or uri.key.endswith("/"):
        raise ValueError("it leads to a folder, not to an object")
    return uri


def _resolve_dots(folder: list[str], path: str) -> list[str]:
    """Follow a path with dots from the components of a folder."""
    components = folder.copy()
    for component in path.split("/"):
        if component == "..":
            del components[-1:]
        elif component != ".":
            components.append(component)
    is_folder = path.rpartition("/")[2] in {".", ".."}
    return [*components, ""] if is_folder else components


def check_key(key: str) -> str:
    """Return a key or a prefix of keys if it is not too long for S3.

    Raises:
        ValueError: It is.
    """
    if len(key.encode()) > MAX_KEY_BYTES:
        raise ValueError(f"a key has at most {MAX_KEY_BYTES} bytes in UTF-8")
    return key


def _parse_uri(text: str) -> S3Uri:
    """Parse an S3 URI whose names are valid in S3."""
    try:
        uri = S3Uri.parse(text)
    except UnicodeDecodeError:
        raise ValueError("its percent-escapes are not UTF-8") from None
    check_bucket(uri.bucket)
    check_key(uri.key)
    return uri
