"""Networks, their losses and what they cost; data come in as tensors, settings as plain values."""
