"""What a rollback has to undo, in which order, and whether a strategy says so without contradiction. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from serinus.core.errors import InvalidInput
from serinus.core.hooks import Hook
from serinus.core.model import CompensationStrategy, Deployment, Step, percent

__all__ = ["Undo", "check_compensation", "declared", "to_undo"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Undo:
    """One hook of a compensation, and what it undoes."""

    hook: Hook
    #: Counts from 1; 0 is the deployment as a whole.
    number: int = 0
    step: Step | None = None

    @property
    def words(self) -> str:
        """Name what it undoes: ``step 2 (25 %)``, ``the deployment``."""
        return f"step {self.number} ({percent(self.step.traffic_bp)})" if self.step else "the deployment"


def declared(d: Deployment, steps: int | None = None) -> tuple[Undo, ...]:
    """Return what the first ``steps`` steps (all by default) and the deployment declare, the last first."""
    listed = list(enumerate(d.strategy.steps[:steps], 1))
    found = [Undo(hook=s.compensate, number=n, step=s) for n, s in reversed(listed) if s.compensate]
    whole = d.strategy.compensate
    return (*found, Undo(hook=whole)) if whole else tuple(found)


def to_undo(d: Deployment) -> tuple[Undo, ...]:
    """Return what a rollback runs: completed steps in reverse order, then the deployment as a whole."""
    return declared(d, d.passed)


def check_compensation(d: Deployment) -> None:
    """Refuse hooks that would never run.

    Raises:
        InvalidInput: The compensation strategy touches no data.
    """
    if d.compensation_strategy is CompensationStrategy.ROLLBACK_ONLY and declared(d):
        raise InvalidInput(
            "`rollback_only` touches no data: these `compensate` hooks would never run.",
            field="compensation_strategy",
            next_step="Give `notify_and_rollback` (they run by themselves), or `manual` (a task is opened "
            "as well).",
        )
