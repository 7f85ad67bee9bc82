"""Terminal output, options, errors and exit codes."""
