"""Policies as commands take them: a preset's name, or a file."""

from __future__ import annotations

from serinus.core.analysis.checks import Policy
from serinus.core.policy.presets import preset

__all__ = ["load_policy"]


def load_policy(name_or_path: str) -> Policy:
    """Return a policy.

    Raises:
        InvalidInput: There is no such preset.
    """
    return preset(name_or_path)
