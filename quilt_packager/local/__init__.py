"""Embedded AWS for demos and tests: MiniStack, the CDK command, sample data, a deployed engine.

Constructs and runtime do not import this folder.
"""
