"""Lambda's entry points: the only code that knows its events and reads the environment."""
