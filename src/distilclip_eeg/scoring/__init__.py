"""Scores: metrics of windows, events, calibration, uncertainty; from predictions alone."""
