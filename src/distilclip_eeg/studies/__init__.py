"""Grids of runs and what they say."""
