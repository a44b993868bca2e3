"""Where a network looks: maps over channels, how faithful they are, and what a report shows beside them."""
