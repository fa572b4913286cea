"""Metric sources: where measurements are read that we did not take."""
