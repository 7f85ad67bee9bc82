"""The windows in DynamoDB: one item each, and one conditional write for each step.

Each write states what it assumes of the item, so that of concurrent writers only one succeeds.
"""

import hashlib
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.errors import AwsError
from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.uploads.windows import DIGEST_BYTES, Window

KEY = "window"
EXPIRY = "expires_at"

KEPT_SECONDS = 30 * 24 * 60 * 60
"""Lifetime of an item after its last upload: longer than messages live in the queue and in its
dead-letter queue together."""

MAX_DIGESTS = 5_000
"""Number of digests from which on a window is full: its uploads are not distinguished any more.

An item of DynamoDB has at most 400 KB, and a window holds as many digests again of the last
announcement. Any `threshold_event_count` is reached long before: only an outage fills a window.
"""

Values = dict[str, dict[str, Any]]


class WindowTable:
    """The table with a name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def read(self, folder: SourceFolder) -> Window:
        """Read the current state of a window, which is empty if it does not exist.

        Raises:
            AwsError: DynamoDB did not respond.
        """
        answer = self._call("get_item", TableName=self._name, Key=_key(folder), ConsistentRead=True)
        return _window(answer.get("Item", {}))

    def add(self, folder: SourceFolder, uploads: Collection[bytes], quiet_at_ms: int) -> Window:
        """Add uploads to a window, and move the time at which it is quiet forward, never back.

        The uploads are a set, so that adding them again changes nothing. A full window, which is
        due, takes one digest for all further uploads.

        Args:
            folder: Folder of the window.
            uploads: Digests of the uploads.
            quiet_at_ms: Time at which the window is quiet, unless it has a later one.

        Returns:
            The window with the uploads.

        Raises:
            AwsError: The uploads may not have been added.
        """
        times = {"quiet_at": quiet_at_ms, EXPIRY: quiet_at_ms // 1000 + KEPT_SECONDS}
        values: Values = {
            ":uploads": {"BS": sorted(uploads)},
            ":first": _number(0),
            ":max": _number(MAX_DIGESTS),
            **{f":{name}": _number(time) for name, time in times.items()},
        }
        add = "ADD uploads :uploads SET generation = if_not_exists(generation, :first)"
        replaced = ", ".join([add, *(f"{name} = :{name}" for name in times)])
        kept = ", ".join([add, *(f"{name} = if_not_exists({name}, :{name})" for name in times)])
        has_room = "(attribute_not_exists(uploads) OR size(uploads) < :max)"
        is_later = "(attribute_not_exists(quiet_at) OR quiet_at <= :quiet_at)"
        while True:
            with suppress(_ConditionFailed):
                return self._update(folder, replaced, values, f"{has_room} AND {is_later}")
            # The window has later times, which stay; or it expired just now, and is opened again.
            with suppress(_ConditionFailed):
                return self._update(folder, kept, values, has_room)
            with suppress(_ConditionFailed):
                return self._add_to_full(folder)

    def _add_to_full(self, folder: SourceFolder) -> Window:
        """Add one digest for all uploads until the window is claimed or closed again.

        No announcement that is being published covers this digest, because a claim changes it.

        Raises:
            _ConditionFailed: The window was claimed or closed meanwhile.
        """
        seen = self.read(folder)
        text = f"{seen.generation}/{seen.claimed_until_ms}"
        digest = hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).digest()
        values: Values = {":uploads": {"BS": [digest]}, ":generation": _number(seen.generation)}
        claim = "attribute_not_exists(claimed_until)"
        if seen.claimed_until_ms is not None:
            claim = "claimed_until = :until"
            values[":until"] = _number(seen.claimed_until_ms)
        return self._update(
            folder, "ADD uploads :uploads", values, f"generation = :generation AND {claim}"
        )

    def claim(
        self, folder: SourceFolder, seen: Window, *, now_ms: int, until_ms: int, because_quiet: bool
    ) -> Window | None:
        """Take the exclusive right to announce a window, until some time.

        Args:
            folder: Folder of the window.
            seen: State in which the window was found due.
            now_ms: Current time; claims that ended before it are void.
            until_ms: End of the claim.
            because_quiet: The window is due only because it is quiet, which an upload changes.

        Returns:
            The current state of the window, all of whose uploads the announcement covers; None if
            another invocation has claimed or announced it, or it is not quiet any more.

        Raises:
            AwsError: DynamoDB did not respond.
        """
        condition = (
            "generation = :generation AND attribute_exists(uploads) "
            "AND (attribute_not_exists(claimed_until) OR claimed_until <= :now)"
        )
        values: Values = {
            ":generation": _number(seen.generation),
            ":now": _number(now_ms),
            ":until": _number(until_ms),
        }
        if because_quiet:
            condition += " AND quiet_at = :quiet_at"
            values[":quiet_at"] = _number(seen.quiet_at_ms)
        try:
            return self._update(folder, "SET claimed_until = :until", values, condition)
        except _ConditionFailed:
            return None

    def close(self, folder: SourceFolder, claimed: Window) -> None:
        """Remove the uploads that an announcement covers; uploads added since the claim stay.

        If the claim has ended and another invocation has the window, that one covers all uploads.

        Raises:
            AwsError: DynamoDB did not respond.
        """
        with suppress(_ConditionFailed):
            self._update(
                folder,
                "SET announced = :covered REMOVE claimed_until "
                "ADD generation :one DELETE uploads :covered",
                {
                    ":covered": {"BS": sorted(claimed.uploads)},
                    ":one": _number(1),
                    ":until": _number(claimed.claimed_until_ms or 0),
                },
                "claimed_until = :until",
            )

    def _update(
        self, folder: SourceFolder, update: str, values: Values, condition: str | None = None
    ) -> Window:
        answer = self._call(
            "update_item",
            TableName=self._name,
            Key=_key(folder),
            UpdateExpression=update,
            ExpressionAttributeValues=values,
            ReturnValues="ALL_NEW",
            **({"ConditionExpression": condition} if condition else {}),
        )
        return _window(answer["Attributes"])

    def _call(self, operation: str, **parameters: object) -> Mapping[str, Any]:
        try:
            with clients.calling():
                answer: Mapping[str, Any] = getattr(clients.connect("dynamodb"), operation)(
                    **parameters
                )
        except clients.CallFailed as failure:
            if failure.code == "ConditionalCheckFailedException":
                raise _ConditionFailed from failure
            raise AwsError(
                f"The window of an upload in the table {self._name} is not available: {failure}.",
                why="The table stores the uploads that are not announced yet.",
                remedy="Investigate if the error recurs; no upload is lost.",
            ) from failure
        return answer


class _ConditionFailed(Exception):
    """The item is not in the state that a write assumes."""


def _window(item: Mapping[str, Mapping[str, Any]]) -> Window:
    claimed = item.get("claimed_until")
    return Window(
        uploads=_digests(item, "uploads"),
        announced=_digests(item, "announced"),
        quiet_at_ms=int(item.get("quiet_at", {}).get("N", 0)),
        generation=int(item.get("generation", {}).get("N", 0)),
        claimed_until_ms=int(claimed["N"]) if claimed else None,
    )


def _digests(item: Mapping[str, Mapping[str, Any]], name: str) -> frozenset[bytes]:
    return frozenset(bytes(digest) for digest in item.get(name, {}).get("BS", ()))


def _key(folder: SourceFolder) -> Values:
    # Unambiguous, because bucket names contain no `/`.
    return {KEY: {"S": f"{folder.bucket}/{folder.prefix}"}}


def _number(value: int) -> dict[str, str]:
    return {"N": str(value)}
