"""Changes of another writer, carried into the next revision by a three-way merge."""
