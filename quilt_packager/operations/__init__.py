"""What one can do to a deployed engine, and see of it: the command and the page do it by this."""
