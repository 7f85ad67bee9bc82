"""The reasons why a folder was packaged, or was not."""
