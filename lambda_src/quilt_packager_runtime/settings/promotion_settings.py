"""Settings of the function that promotes: the construct writes them, the handler reads them."""

from typing import ClassVar, Literal

import msgspec

from quilt_packager_runtime.settings.one_variable import OneVariable

PromotionAction = Literal["replace", "hold"]
"""The handling of a newest revision of the target. A promotion carries nothing: it merges none."""


class PromotionSettings(OneVariable, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of one rule of promotions.

    Attributes:
        registry: Bucket of the registry that gets the revisions.
        copy_to: Folder for copies of the objects, as a URI; None to leave them where they are.
        metadata: Accepted values of fields of the package's metadata, by their names.
        workflow: Workflow of the registry, empty for none; None for its default.
        on_foreign_revision: Handling of a newest revision that is no promotion of the package.
        engine: Name of the engine in the events.
        event_bus: Bus of the events.
        dead_letter_queue_url: Queue of the events whose promotion failed.

    Example:
        >>> settings = PromotionSettings(registry="production", metadata={"status": ("passed",)})
        >>> PromotionSettings.from_environment(settings.to_environment()) == settings
        True
    """

    variable: ClassVar[str] = "QUILT_PACKAGER_PROMOTION"

    registry: str
    copy_to: str | None = None
    metadata: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    workflow: str | None = None
    on_foreign_revision: PromotionAction = "hold"
    engine: str = ""
    event_bus: str = ""
    dead_letter_queue_url: str = ""
