"""Smoke tests as data: HTTP steps, log lines and metrics that must be there right after a launch.

It may use the core, and nothing of the control plane: a smoke test runs against any address.
"""
