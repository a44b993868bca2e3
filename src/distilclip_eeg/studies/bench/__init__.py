"""Our speed beside what others offer and beside what the machine can do, as ratios."""
