"""The format of an exported model, known here only."""
