"""Data formats and names. Pure: no I/O."""
