"""Fleets of proxies: agents that report and take orders, and proxies that poll."""
