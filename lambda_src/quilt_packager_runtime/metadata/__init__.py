"""Package metadata, from messages, files and RO-Crates."""
