"""Objectives, stages, one loop, and recipes by name."""
