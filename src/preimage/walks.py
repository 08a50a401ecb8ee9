"""Interpolation, traversal and arithmetic, from files to files."""
