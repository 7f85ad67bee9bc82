"""Event sources: what asks an engine for packages."""
