"""A table of the lineage in memory, with the two operations that the index uses."""

from typing import Any

from quilt_packager_runtime.lineage.index import PARTITION_KEY, SORT_KEY


class LineageTable:
    """A client of DynamoDB with one table.

    Attributes:
        items: The items, by their keys.
        calls: Names of the operations that were called.
        error: Raised instead of an answer.
    """

    def __init__(self) -> None:
        self.items: dict[tuple[str, str], dict[str, Any]] = {}
        self.calls: list[str] = []
        self.error: Exception | None = None

    def update_item(self, **asked: Any) -> dict[str, Any]:
        self._begin("update_item")
        key, values = asked["Key"], asked["ExpressionAttributeValues"]
        item = self.items.setdefault((key[PARTITION_KEY]["S"], key[SORT_KEY]["S"]), {**key})
        item[asked["ExpressionAttributeNames"]["#value"]] = values[":value"]
        item.setdefault("published", values[":time"])
        return {}

    def query(self, **asked: Any) -> dict[str, Any]:
        self._begin("query")
        wanted = asked["ExpressionAttributeValues"][":subject"]["S"]
        found = [item for (subject, _), item in sorted(self.items.items()) if subject == wanted]
        return {"Items": found}

    def _begin(self, operation: str) -> None:
        self.calls.append(operation)
        if self.error is not None:
            raise self.error
