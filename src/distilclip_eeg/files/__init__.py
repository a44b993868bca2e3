"""What lasts: files whole or not at all and their digests, who works where, and how a command ends."""
