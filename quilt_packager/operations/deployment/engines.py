"""The engines of a stack, identified by its outputs and the logical ids of its resources.

The CDK derives a logical id from the ids on a construct's path and a hash, so the ids of all
resources of the construct `Engine` begin with `Engine`. A stack may have several engines, and other
resources.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from quilt_packager.contract import (
    CHECKSUM_LOG,
    DEAD_LETTERS_OUTPUT,
    LARGE_JOBS,
    PACKAGER_FUNCTION,
    PACKAGER_LAMBDA,
    PACKAGER_LOG,
    QUEUE_OUTPUT,
    SCRATCH_BUCKET,
    log_group_name,
)

PARTS = (PACKAGER_LOG, CHECKSUM_LOG, LARGE_JOBS, SCRATCH_BUCKET, PACKAGER_FUNCTION)
"""Ids of constructs of an engine that operations use."""

_HASH = "[0-9A-F]{8}"
_OUTPUT = re.compile(
    rf"(?P<prefix>[A-Za-z0-9]*?)(?P<name>{QUEUE_OUTPUT}|{DEAD_LETTERS_OUTPUT})(?P<hash>{_HASH})?"
)
_PART = re.compile(rf"(?:{'|'.join(PARTS)}){_HASH}")
_LOG = re.compile(rf"(?P<construct>.*){PACKAGER_LOG}{_HASH}")
_LOG_NAME = re.compile(log_group_name("[^/]+/(?P<engine>[^/]+)", PACKAGER_LAMBDA))


class Resource(NamedTuple):
    """A resource of a stack.

    Attributes:
        logical_id: Id in the template.
        type: Type, such as `AWS::SQS::Queue`.
        physical_id: Name, URL or ARN, depending on the type.
    """

    logical_id: str
    type: str
    physical_id: str


class Queues(NamedTuple):
    """Outputs of an engine.

    Attributes:
        prefix: Prefix of the logical ids of the engine's resources; empty in the stack that is
            made of context flags.
        queue_url: URL of the queue of jobs.
        dead_letter_queue_url: URL of the dead-letter queue.
    """

    prefix: str
    queue_url: str
    dead_letter_queue_url: str


@dataclass(frozen=True)
class Engine:
    """An engine in a stack.

    Attributes:
        name: `engine_name`; empty if it has none, which is possible for one engine of a stack.
        construct: Id of the construct, after the ids of its scopes.
        queues: Queues.
        resources: Resources.
    """

    name: str
    construct: str
    queues: Queues
    resources: tuple[Resource, ...]

    def find(self, resource_type: str, part: str) -> str | None:
        """Return the physical id of a resource; None if the engine has none.

        Args:
            resource_type: Type, such as `AWS::S3::Bucket`.
            part: One of `PARTS`.
        """
        return _find(self.resources, self.construct, resource_type, part)


def find_queues(outputs: Mapping[str, str]) -> list[Queues]:
    """Find the queues of each engine in the outputs of a stack.

    Example:
        >>> outputs = {
        ...     "BucketName": "runs",
        ...     "EnginePackagerQueueUrl1A2B3C4D": "https://sqs/jobs",
        ...     "EnginePackagerDeadLetterQueueUrl5E6F7A8B": "https://sqs/dead",
        ... }
        >>> find_queues(outputs)[0].prefix
        'Engine'
    """
    urls: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    hashed = set()
    for key, url in outputs.items():
        found = _OUTPUT.fullmatch(key)
        if found:
            urls[found["prefix"]][found["name"]].add(url)
            if found["hash"]:
                hashed.add(found["prefix"])
    engines: dict[str, Queues] = {}
    # Users may add outputs for the same queues. The outputs of an engine have a hash, or, in the
    # stack that is made of context flags, no prefix.
    for prefix in sorted(urls, key=lambda each: (each not in hashed, each != "")):
        queues, dead_letters = (urls[prefix][each] for each in (QUEUE_OUTPUT, DEAD_LETTERS_OUTPUT))
        # Queues of two constructs with the same logical id prefix cannot be assigned.
        if len(queues) == len(dead_letters) == 1:
            (url,) = queues
            engines.setdefault(url, Queues(prefix, url, *dead_letters))
    order = list(urls)
    return sorted(engines.values(), key=lambda each: order.index(each.prefix))


def read_engines(outputs: Mapping[str, str], resources: Collection[Resource]) -> list[Engine]:
    """Find the engines of a stack, with their resources, in the order of the outputs."""
    found = find_queues(outputs)
    owned = _divide([each.prefix for each in found], resources)
    return [_read_engine(each, owned[each.prefix]) for each in found]


def _read_engine(queues: Queues, resources: Collection[Resource]) -> Engine:
    construct = queues.prefix or next(_find_constructs(resources), "")
    log = _find(resources, construct, "AWS::Logs::LogGroup", PACKAGER_LOG)
    named = _LOG_NAME.fullmatch(log) if log else None
    name = named["engine"] if named else ""
    return Engine(name, construct, queues, tuple(resources))


def _find(
    resources: Iterable[Resource], construct: str, resource_type: str, part: str
) -> str | None:
    # The prefix alone also matches constructs of users with similar ids.
    logical_id = re.compile(f"{construct}{part}{_HASH}")
    return next(
        (
            each.physical_id
            for each in resources
            if each.type == resource_type and logical_id.fullmatch(each.logical_id)
        ),
        None,
    )


def _find_constructs(resources: Iterable[Resource]) -> Iterator[str]:
    for each in resources:
        found = _LOG.fullmatch(each.logical_id)
        if found and each.type == "AWS::Logs::LogGroup":
            yield found["construct"]


def _divide(prefixes: Collection[str], resources: Iterable[Resource]) -> dict[str, list[Resource]]:
    owned: dict[str, list[Resource]] = {prefix: [] for prefix in prefixes}
    for resource in resources:
        owners = [each for each in prefixes if resource.logical_id.startswith(each)]
        if owners:
            owned[_choose(owners, resource.logical_id)].append(resource)
    return owned


def _choose(prefixes: Collection[str], logical_id: str) -> str:
    """Choose between `Engine` and `Engine2`: the longer prefix owns the resource."""
    # But `LabPackagerLog…` is the log of `Lab`, even next to an engine `LabPackager`.
    exact = [each for each in prefixes if _PART.fullmatch(logical_id.removeprefix(each))]
    return max(exact or prefixes, key=len)
