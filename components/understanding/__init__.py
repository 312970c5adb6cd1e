"""What a query implies beyond its words: learned from clicks, and known to the shop's people."""
