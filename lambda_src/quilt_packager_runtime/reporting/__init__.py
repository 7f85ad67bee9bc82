"""Outcomes: events, notifications, logs and metrics."""
