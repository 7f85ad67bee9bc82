"""The scenario of the demo."""
