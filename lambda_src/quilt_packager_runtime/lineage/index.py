"""The index of lineage: a DynamoDB table that jobs keep, and `lineage rebuild` makes again.

An item is a fact about a revision, and is the same however often it is written:

- the revision took files of a folder or an object: `s3://…` and the revision;
- the revision has another as its input: the package of the input and the revision.

docs/adr/0025-lineage.md has the reasons.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.errors import AwsError
from quilt_packager_runtime.formats.objects import Source

PARTITION_KEY = "subject"
SORT_KEY = "revision"

MAX_PAGES = 4
"""Maximum number of pages of 1 MB that are read of one subject: about 4,000 revisions each."""


class Holder(msgspec.Struct, frozen=True, order=True):
    """A revision that has taken files of a folder.

    Attributes:
        published: Time when it was recorded or published, in milliseconds since 1970.
        revision: The revision, as a `quilt+s3` URI.
        source: The folder or object, and its place in the package.
    """

    published_ms: int
    revision: str
    source: Source


class Use(msgspec.Struct, frozen=True, order=True):
    """A revision that has another one as its input.

    Attributes:
        published: Time when it was recorded or published, in milliseconds since 1970.
        revision: The revision, as a `quilt+s3` URI.
        input: The input.
    """

    published_ms: int
    revision: str
    input: str


class LineageIndex:
    """The index in a table.

    Args:
        table: Name of the table.
        dynamodb: Client of DynamoDB. Default: that of the environment.
    """

    def __init__(self, table: str, dynamodb: Any = None) -> None:  # noqa: ANN401 - made at run time
        self._table = table
        self._dynamodb = dynamodb

    def add_holder(self, holder: Holder) -> None:
        """Record a revision that has taken files of a folder.

        Raises:
            AwsError: DynamoDB did not respond, or refused.
        """
        place = {"S": holder.source.into}
        self._add(_subject(holder.source), holder.revision, holder.published_ms, "into", place)

    def add_use(self, use: Use) -> None:
        """Record a revision that has another one as its input.

        Raises:
            AwsError: DynamoDB did not respond, or refused.
        """
        subject = package_of(use.input)
        # The newest input of a package counts: a revision with several of its revisions is rare.
        self._add(subject, use.revision, use.published_ms, "input", {"S": use.input})

    def holders(self, source: Source) -> Iterator[Holder]:
        """Yield the revisions that have taken files of exactly this folder or object.

        Raises:
            AwsError: DynamoDB did not respond, or refused.
        """
        for item in self._query(_subject(source)):
            into = item.get("into", {}).get("S", "")
            found = msgspec.structs.replace(source, into=into)
            yield Holder(int(item["published"]["N"]), item[SORT_KEY]["S"], found)

    def uses(self, package: str) -> Iterator[Use]:
        """Yield the revisions that have a revision of a package as their input.

        Args:
            package: The package, as a `quilt+s3` URI without a top hash.

        Raises:
            AwsError: DynamoDB did not respond, or refused.
        """
        for item in self._query(package):
            yield Use(int(item["published"]["N"]), item[SORT_KEY]["S"], item["input"]["S"])

    def _add(
        self, subject: str, revision: str, published_ms: int, name: str, value: Mapping[str, str]
    ) -> None:
        # The first time stays: the order of revisions decides which of them is an input.
        self._call(
            "update_item",
            Key={PARTITION_KEY: {"S": subject}, SORT_KEY: {"S": revision}},
            UpdateExpression="SET #value = :value, published = if_not_exists(published, :time)",
            ExpressionAttributeNames={"#value": name},
            ExpressionAttributeValues={":value": value, ":time": {"N": str(published_ms)}},
        )

    def _query(self, subject: str) -> Iterator[Mapping[str, Any]]:
        position: dict[str, Any] = {}
        for _ in range(MAX_PAGES):
            answer = self._call(
                "query",
                KeyConditionExpression="#subject = :subject",
                ExpressionAttributeNames={"#subject": PARTITION_KEY},
                ExpressionAttributeValues={":subject": {"S": subject}},
                **position,
            )
            yield from answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return
            position = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def _call(self, operation: str, **parameters: object) -> Mapping[str, Any]:
        try:
            with clients.calling():
                client = self._dynamodb or clients.connect("dynamodb")
                answer: Mapping[str, Any] = getattr(client, operation)(
                    TableName=self._table, **parameters
                )
        except clients.CallFailed as failure:
            raise AwsError(
                f"The table of the lineage, {self._table}, is not available: {failure}.",
                why="It has the packages that hold an object, and those that use a package.",
                remedy="Investigate if the error recurs; quilt-packager lineage rebuild adds what "
                "is missing.",
            ) from failure
        return answer


def package_of(revision: str) -> str:
    """Return the package of a revision.

    Example:
        >>> package_of("quilt+s3://packages#package=runs/42@98bd4048")
        'quilt+s3://packages#package=runs/42'
    """
    return revision.rpartition("@")[0]


def _subject(source: Source) -> str:
    # A folder ends in `/` or is a bucket; an object's name is not that of a folder. A version is
    # left out: the manifest decides.
    return str(msgspec.structs.replace(source, version_id=None))
