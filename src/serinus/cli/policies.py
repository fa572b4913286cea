"""Policies as commands take them: a preset's name, or a file."""

from __future__ import annotations

from serinus.cli.common import failed
from serinus.cli.policy_files import Wrong, named
from serinus.core.analysis.checks import Policy

__all__ = ["load_policy"]


def load_policy(name_or_path: str) -> Policy:
    """Return a policy, or end the command with what is wrong and where (exit code 2)."""
    try:
        return named(name_or_path).file.policy
    except Wrong as wrong:
        raise failed(str(wrong), "Mend the file; `serinus policy lint FILE` checks it.") from None
