"""Jobs that exceed one invocation."""
