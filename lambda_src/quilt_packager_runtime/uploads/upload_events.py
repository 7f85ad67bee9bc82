"""Objects written anywhere in some buckets: the rule's pattern, and its events' translation.

An upload says nothing of its folder: the coalescer finds out when all of a folder's are there.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec

from quilt_packager_runtime.errors import InvalidMessage, quote
from quilt_packager_runtime.formats.objects import REGISTRY_PREFIX

_Text = Annotated[str, msgspec.Meta(min_length=1)]


class Upload(msgspec.Struct, frozen=True):
    """An object that was written.

    Attributes:
        bucket: The bucket's name.
        key: The whole key, as S3 has it.
        sequencer: Tells uploads to one key apart; equal in every delivery of one event.
        size_bytes: The object's size; None where the event does not tell.
    """

    bucket: str
    key: str
    sequencer: str
    size_bytes: int | None = None


def uploads_pattern(
    buckets: Sequence[str], ignore_prefixes: Sequence[str] = ()
) -> dict[str, object]:
    """Match objects that are written to some buckets, except packages and what is ignored.

    Args:
        buckets: Names of buckets that send their events to EventBridge.
        ignore_prefixes: Prefixes of keys that are of no interest.

    Raises:
        ValueError: No bucket is given.
    """
    if not buckets:
        raise ValueError("buckets is empty; name those that are uploaded to")
    ignored = [REGISTRY_PREFIX, *ignore_prefixes]
    return {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {
            "bucket": {"name": list(buckets)},
            "object": {"key": [{"anything-but": {"prefix": ignored}}]},
        },
    }


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
    """Read S3's event of an object that was written.

    Args:
        event: An EventBridge event.

    Raises:
        InvalidMessage: It is another event.
    """
    try:
        read = msgspec.convert(event, _Event)
        read.detail.object.key.encode()
    except msgspec.ValidationError as error:
        raise _malformed(str(error)) from error
    except UnicodeEncodeError as error:
        raise _malformed(f"{quote(str(error.object))} is no key of S3") from error
    written = read.detail.object
    return Upload(read.detail.bucket.name, written.key, written.sequencer or read.id, written.size)


def _malformed(what: str) -> InvalidMessage:
    return InvalidMessage(
        f"The event is no upload: {what}.",
        why="The coalescer's queue takes S3's \"Object Created\" events.",
        remedy="Send other events to the packager's queue.",
    )
