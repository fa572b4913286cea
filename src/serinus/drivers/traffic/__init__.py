"""Traffic drivers: what carries a split out."""
