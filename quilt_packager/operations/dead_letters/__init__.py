"""Dead letters: reading, retrying, discarding."""
