"""Probes: whether a side answers at all."""
