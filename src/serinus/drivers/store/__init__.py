"""Store drivers."""
