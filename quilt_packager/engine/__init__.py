"""The packaging engine and its parts."""
