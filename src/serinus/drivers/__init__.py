"""The outside world: one file per driver, named only by the composition root."""
