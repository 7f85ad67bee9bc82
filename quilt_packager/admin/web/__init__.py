"""Rendering, security and error pages of the web server."""
