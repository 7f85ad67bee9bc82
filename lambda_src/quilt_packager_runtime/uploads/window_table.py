"""The windows in DynamoDB: one item each, and one conditional write a step.

Each write says what it presumes, so that whoever comes second finds out.
"""

from collections.abc import Collection, Mapping
from typing import Any

from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.errors import AwsError
from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.uploads.windows import Window

KEY = "window"
EXPIRY = "expires_at"

KEPT_SECONDS = 30 * 24 * 60 * 60
"""For how long an item is kept after its last upload: longer than messages live in the queue and
in its dead-letter queue together."""

Values = dict[str, dict[str, Any]]


class WindowTable:
    """The table of windows.

    Args:
        name: The table's name.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def read(self, folder: SourceFolder) -> Window:
        """Read a window as it is now; one that is not there is empty.

        Raises:
            AwsError: DynamoDB did not answer.
        """
        answer = self._call("get_item", TableName=self._name, Key=_key(folder), ConsistentRead=True)
        return _window(answer.get("Item", {}))

    def add(self, folder: SourceFolder, uploads: Collection[bytes], quiet_at_ms: int) -> Window:
        """Add uploads to a window, or open it with them; to add them again changes nothing.

        Args:
            folder: The window's folder.
            uploads: The uploads' digests.
            quiet_at_ms: When it is at rest, unless others have set it to a later time.

        Returns:
            The window with them.

        Raises:
            AwsError: They may not be in it.
        """
        values: Values = {
            ":uploads": {"BS": sorted(uploads)},
            ":quiet_at": _number(quiet_at_ms),
            ":expiry": _number(quiet_at_ms // 1000 + KEPT_SECONDS),
            ":first": _number(0),
        }
        window = self._update(
            folder,
            "ADD uploads :uploads "
            f"SET quiet_at = :quiet_at, {EXPIRY} = :expiry, turn = if_not_exists(turn, :first)",
            values,
            "attribute_not_exists(quiet_at) OR quiet_at <= :quiet_at",
        )
        if window is None:
            # What has expired between the two is opened anew.
            window = self._update(
                folder,
                "ADD uploads :uploads SET quiet_at = if_not_exists(quiet_at, :quiet_at), "
                f"{EXPIRY} = if_not_exists({EXPIRY}, :expiry), turn = if_not_exists(turn, :first)",
                values,
            )
        if window is None:
            raise RuntimeError("an update without a condition was refused by one")
        return window

    def claim(
        self, folder: SourceFolder, seen: Window, *, now_ms: int, until_ms: int, at_rest: bool
    ) -> Window | None:
        """Take the right to announce a window, which ends by itself if we do.

        Args:
            folder: The window's folder.
            seen: The window as it was found due.
            now_ms: The time: claims that ended before it are void.
            until_ms: When the claim ends.
            at_rest: Whether the window is due for its rest alone, which an upload ends.

        Returns:
            The window as it is now, all of whose uploads the announcement will cover, or None:
            somebody else has it, has announced it, or it is not at rest any more.

        Raises:
            AwsError: DynamoDB did not answer.
        """
        condition = (
            "turn = :turn AND attribute_exists(uploads) "
            "AND (attribute_not_exists(claimed_until) OR claimed_until <= :now)"
        )
        values: Values = {
            ":turn": _number(seen.turn),
            ":now": _number(now_ms),
            ":until": _number(until_ms),
        }
        if at_rest:
            condition += " AND quiet_at = :quiet_at"
            values[":quiet_at"] = _number(seen.quiet_at_ms)
        return self._update(folder, "SET claimed_until = :until", values, condition)

    def close(self, folder: SourceFolder, claimed: Window) -> None:
        """Take out what an announcement has covered; what came meanwhile stays.

        If the claim has ended, and somebody else's has begun, nothing is done: theirs covers all.

        Raises:
            AwsError: DynamoDB did not answer.
        """
        self._update(
            folder,
            "SET announced = :covered REMOVE claimed_until ADD turn :one DELETE uploads :covered",
            {
                ":covered": {"BS": sorted(claimed.uploads)},
                ":one": _number(1),
                ":until": _number(claimed.claimed_until_ms or 0),
            },
            "claimed_until = :until",
        )

    def _update(
        self, folder: SourceFolder, update: str, values: Values, condition: str | None = None
    ) -> Window | None:
        """Change an item, and give it as it is then, or None where the condition did not hold."""
        try:
            answer = self._call(
                "update_item",
                TableName=self._name,
                Key=_key(folder),
                UpdateExpression=update,
                ExpressionAttributeValues=values,
                ReturnValues="ALL_NEW",
                **({"ConditionExpression": condition} if condition else {}),
            )
        except _Refused:
            return None
        return _window(answer["Attributes"])

    def _call(self, operation: str, **parameters: object) -> Mapping[str, Any]:
        try:
            with clients.calling():
                answer: Mapping[str, Any] = getattr(clients.connect("dynamodb"), operation)(
                    **parameters
                )
        except clients.CallFailed as failure:
            if failure.code == "ConditionalCheckFailedException":
                raise _Refused from failure
            raise AwsError(
                f"The window of an upload could not be reached in the table {self._name}: "
                f"{failure}.",
                why="Windows remember which uploads wait to be announced.",
                remedy="The events are delivered again by themselves; look into it if this "
                "returns.",
            ) from failure
        return answer


class _Refused(Exception):
    """A condition did not hold."""


def _window(item: Mapping[str, Mapping[str, Any]]) -> Window:
    claimed = item.get("claimed_until")
    return Window(
        uploads=_digests(item, "uploads"),
        announced=_digests(item, "announced"),
        quiet_at_ms=int(item.get("quiet_at", {}).get("N", 0)),
        turn=int(item.get("turn", {}).get("N", 0)),
        claimed_until_ms=int(claimed["N"]) if claimed else None,
    )


def _digests(item: Mapping[str, Mapping[str, Any]], name: str) -> frozenset[bytes]:
    return frozenset(bytes(digest) for digest in item.get(name, {}).get("BS", ()))


def _key(folder: SourceFolder) -> Values:
    # Buckets' names have no `/`, and the prefix is as S3 has it.
    return {KEY: {"S": f"{folder.bucket}/{folder.prefix}"}}


def _number(value: int) -> dict[str, str]:
    return {"N": str(value)}
