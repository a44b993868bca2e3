"""A trained model on the next recording: one folder with all it needs, EDF in, events out, and search."""
