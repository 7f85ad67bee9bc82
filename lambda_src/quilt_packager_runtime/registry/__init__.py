"""Publishing of revisions to a registry."""
