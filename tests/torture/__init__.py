"""Jobs under deaths, faults, races and hostile inputs: see docs/explanation/reliability.md.

pytest runs each kind at a small size; `make torture` runs them at a large one, and prints figures.
"""
