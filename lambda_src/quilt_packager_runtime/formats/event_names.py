"""The `source` of the events that this product publishes."""

EVENT_SOURCE = "quilt.packager"
"""The source of outcomes; Quilt's own stack has another."""

UPLOADS_SOURCE = "quilt.packager.uploads"
"""The source of announcements of ready prefixes, unless an engine has another."""

DAMAGE_DETAIL_TYPE = "Package Damaged"
"""The `detail-type` of the event for damage that an audit found."""
