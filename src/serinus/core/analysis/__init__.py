"""How evidence becomes verdicts. One method a file; each ends in :mod:`.verdict`."""
