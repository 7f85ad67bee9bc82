"""The data that the pages show, read from AWS and cached."""
