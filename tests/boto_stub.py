"""A service of AWS that is not there: boto3 checks what it is asked against the service's model."""

from typing import Any

import boto3
from botocore.stub import Stubber


class Service:
    """A boto3 client that answers from a script, and keeps what it was asked.

    Args:
        name: As boto3 knows it.
        region: Where it would be.

    Attributes:
        asked: The parameters of each call.
    """

    def __init__(self, name: str, region: str = "us-east-1") -> None:
        self.client = boto3.client(name, region_name=region)
        self.asked: list[dict[str, Any]] = []
        self.client.meta.events.register("provide-client-params.*.*", self._keep)
        self.script = Stubber(self.client)
        self.script.activate()

    def fail(self, operation: str, code: str) -> None:
        self.script.add_client_error(operation, code, "Because.")

    def _keep(self, params: dict[str, Any], **_: object) -> None:
        self.asked.append(params)
