"""The files that a package requires of its folder."""
