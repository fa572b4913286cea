"""Finding a policy by what a person typed."""

from __future__ import annotations

from serinus.core.analysis.checks import Policy
from serinus.core.policy.presets import preset

__all__ = ["load_policy"]


def load_policy(name_or_path: str) -> Policy:
    """Return the policy of a preset's name.

    Raises:
        InvalidInput: There is none; the error lists those that exist.
    """
    return preset(name_or_path)
