"""Events of objects that are written to buckets: the pattern of the rule, and their parsing."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec

from quilt_packager_runtime.errors import InvalidMessage, quote
from quilt_packager_runtime.formats.json_errors import describe_type_error
from quilt_packager_runtime.formats.names import check_key
from quilt_packager_runtime.formats.objects import REGISTRY_PREFIX
from quilt_packager_runtime.formats.recognisers import completion_globs

_Text = Annotated[str, msgspec.Meta(min_length=1)]


class Upload(msgspec.Struct, frozen=True):
    """An object that was written.

    Attributes:
        bucket: Name of the bucket.
        key: Key, not percent-encoded.
        sequencer: Distinguishes uploads to one key; equal in every delivery of one event.
        size_bytes: Size of the object, if the event contains it.
    """

    bucket: str
    key: str
    sequencer: str
    size_bytes: int | None = None


def uploads_pattern(
    buckets: Sequence[str], ignore_prefixes: Sequence[str] = (), ready_when: Sequence[str] = ()
) -> dict[str, object]:
    """Match objects that are written to buckets, except packages and ignored prefixes.

    With `ready_when`, only the names of completion markers match, in any folder: a pattern cannot
    combine them with prefixes, which the coalescer checks.

    Args:
        buckets: Names of buckets that send their events to EventBridge.
        ignore_prefixes: Prefixes of keys to ignore.
        ready_when: Kinds of folders, or globs of files, that complete a folder.

    Raises:
        ValueError: There is no bucket.
    """
    if not buckets:
        raise ValueError("buckets is empty (minimum 1 bucket)")
    keys: list[dict[str, object]] = [
        {"anything-but": {"prefix": [REGISTRY_PREFIX, *ignore_prefixes]}}
    ]
    if ready_when:
        keys = [_match_key(glob) for glob in completion_globs(ready_when)]
    return {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {
            "bucket": {"name": list(buckets)},
            "object": {"key": keys},
        },
    }


def _match_key(glob: str) -> dict[str, object]:
    """Match at least the keys that a glob matches: the wildcard of EventBridge crosses `/`."""
    if not re.search(r"[*?\[]", glob):
        return {"suffix": f"/{glob}"}
    text = re.sub(r"\[[^]]*\]|\?", "*", glob.replace("\\", "\\\\"))
    return {"wildcard": re.sub(r"\*+", "*", f"*/{text}")}


class _Bucket(msgspec.Struct):
    name: _Text


class _Object(msgspec.Struct):
    key: _Text
    size: int | None = None
    sequencer: str | None = None


class _Detail(msgspec.Struct):
    bucket: _Bucket
    object: _Object


class _Event(msgspec.Struct):
    source: Literal["aws.s3"]
    detail: _Detail
    detail_type: Literal["Object Created"] = msgspec.field(name="detail-type")
    id: str = ""


def read_upload(event: Mapping[str, object]) -> Upload:
    """Parse an EventBridge event of an object that was written.

    Raises:
        InvalidMessage: It is another event.
    """
    try:
        read = msgspec.convert(event, _Event)
        check_key(read.detail.object.key)
    except msgspec.ValidationError as error:
        raise _malformed(describe_type_error(error)) from error
    except UnicodeEncodeError as error:
        raise _malformed(f"{quote(str(error.object))} is not a valid key") from error
    except ValueError as error:
        raise _malformed(str(error)) from error
    written = read.detail.object
    return Upload(read.detail.bucket.name, written.key, written.sequencer or read.id, written.size)


def _malformed(what: str) -> InvalidMessage:
    return InvalidMessage(
        f"The event is not an upload: {what}.",
        why="The coalescer's queue takes S3's \"Object Created\" events.",
        remedy="Send other events to the packager's queue.",
    )
