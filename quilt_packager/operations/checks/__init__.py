"""The acceptance test of a deployed engine: what is right, what is not, and its remedy."""
