"""Discovery of folders that could be packages."""
