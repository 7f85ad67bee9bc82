"""Audits of published revisions: whether all that they promise is still there."""
