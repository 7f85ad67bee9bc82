"""Quilt workflows: the rules that a registry has for packages."""
