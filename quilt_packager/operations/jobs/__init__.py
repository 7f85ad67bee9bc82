"""Jobs, read from the engine's log."""
