"""Event sources of a deployed engine, and their activity."""
