"""Settings that one environment variable carries as JSON."""

from collections.abc import Mapping
from typing import ClassVar, Self

import msgspec


class OneVariable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of one function.

    Attributes:
        variable: Name of the variable.
    """

    variable: ClassVar[str]

    def to_environment(self) -> dict[str, str]:
        """Return the environment variable with these settings."""
        return {self.variable: msgspec.json.encode(self).decode()}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Parse the variable that `to_environment` returns.

        Raises:
            ValueError: The variable is missing, or has a value of the wrong form.
        """
        try:
            return msgspec.json.decode(environment.get(cls.variable, ""), type=cls)
        except msgspec.DecodeError as error:
            raise ValueError(f"{cls.variable} does not fit: {error}") from error
