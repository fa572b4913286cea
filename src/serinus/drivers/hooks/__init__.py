"""Hooks: webhooks and commands."""
