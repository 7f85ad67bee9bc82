"""The page: a deployed engine, seen and operated in a browser on this machine."""
