"""Training: a corpus as batches, tasks, the one loop, cross-validation."""
