"""What a move by hand must respect of the strategy: gates and their roles, minimum times, the switch."""

from __future__ import annotations

from serinus.core.bucketing import BUCKETS
from serinus.core.errors import Conflict, Forbidden, InvalidInput
from serinus.core.model import Deployment, Mode, Role, Status, Step, Stickiness, percent
from serinus.core.strategy import StrategyType

__all__ = [
    "irreversible_behind",
    "may_pass",
    "may_raise",
    "may_shrink",
    "not_across",
    "not_going_back",
    "not_promoted_by_its_set",
    "not_started_by_its_set",
    "seconds_missing",
]


def not_going_back(d: Deployment) -> None:
    """Refuse any other move while a rollback is under way: it wins.

    Raises:
        Conflict: It is going back, or waits to, or somebody has to decide whether it does.
    """
    if d.blocked is not None:
        raise Conflict(
            f"Somebody has to decide first. {d.sentence}",
            next_step="Roll back with `across_irreversible`, or approve with a reason to go on.",
        )
    if d.going_back is not None:
        raise Conflict(
            f"A rollback is under way. {d.sentence}",
            next_step="Wait for its end, or roll back with `force` to end it at once.",
        )


def not_started_by_its_set(d: Deployment) -> None:
    """Refuse a start by hand of a release set's member: it would go past the stages before it.

    Raises:
        Conflict: It is a member.
    """
    if d.release_set and d.status is Status.DRAFT:
        raise Conflict(
            f"{d.service} {d.version} is started by its release set {d.release_set}.",
            next_step=f"`serinus release-set status {d.release_set}` says when.",
        )


def not_promoted_by_its_set(d: Deployment, *, force: bool) -> None:
    """Refuse a promotion by hand of a release set's member: it goes together with the others.

    Raises:
        Conflict: It is a member, and ``force`` is not given.
    """
    if d.release_set and not force:
        raise Conflict(
            f"{d.service} {d.version} is promoted with its release set {d.release_set}.",
            next_step="Wait for the others, or repeat the call with `force`.",
        )


def may_raise(d: Deployment, bp: int, role: Role, *, force: bool = False) -> None:
    """Refuse a share by hand that the strategy does not allow yet. Shrinking is always allowed.

    Raises:
        InvalidInput: A blue-green canary has nobody or everybody.
        Forbidden: A gate on the way asks for a higher role.
        Conflict: The present step has not lasted its minimum time, or the canary does not answer.
    """
    if d.strategy.type is StrategyType.BLUE_GREEN and bp not in (0, BUCKETS):
        raise InvalidInput(
            f"{percent(bp)} is no share of a blue-green deployment.",
            field="traffic_percentage",
            next_step="Give 0 or 100, or use a strategy of type canary.",
        )
    if bp < d.traffic_bp and d.stable_down and not force:
        raise Conflict(
            f"Stable {d.stable_version} cannot be sent traffic ({d.stable_down}).",
            next_step="Bring it back first, or repeat the call with `force`.",
        )
    if bp <= d.traffic_bp:
        return
    may_pass(d, role, bp)
    missing = seconds_missing(d)
    if missing and not force:
        raise Conflict(
            f"This step lasts at least {d.step.min_seconds if d.step else 0:g} s; {missing:.0f} s are left.",
            next_step="Wait, or repeat the call with `force`.",
        )
    if d.canary_down and not force:
        raise Conflict(
            f"{d.version} cannot be sent traffic ({d.canary_down}).",
            next_step="Bring it up first, or repeat the call with `force`.",
        )


def may_pass(d: Deployment, role: Role, bp: int = BUCKETS) -> None:
    """Refuse to go past gates that ask for a higher role than the caller has.

    Raises:
        Forbidden: With the gate and its role.
    """
    for step in _gates_until(d, bp):
        if not role.reaches(step.gate_role):
            raise Forbidden(
                f"The gate after {percent(step.traffic_bp)} can be passed by the role "
                f"{step.gate_role.value} only.",
                next_step=f"Ask somebody with the role {step.gate_role.value}.",
            )


def _gates_until(d: Deployment, bp: int) -> list[Step]:
    """Return the steps whose gates lie between the present place and a share."""
    if d.strategy.mode is not Mode.AUTO:
        return []
    ahead = list(enumerate(d.strategy.steps))[d.step_index :]
    return [
        step
        for at, step in ahead
        if step.gate and (step.traffic_bp < bp or bp == BUCKETS) and not (at == d.step_index and d.approved)
    ]


def seconds_missing(d: Deployment) -> float:
    """Return the observed seconds that the present step lacks of its minimum."""
    step = d.step
    return max(0.0, step.min_seconds - d.observed_seconds) if step else 0.0


def irreversible_behind(d: Deployment) -> str:
    """Name the last irreversible step that was completed, ``step 2 (25 %)``; empty without one."""
    done = list(enumerate(d.strategy.steps[: d.passed], 1))
    marked = [f"step {number} ({percent(step.traffic_bp)})" for number, step in done if step.irreversible]
    return marked[-1] if marked else ""


def not_across(d: Deployment, across: bool) -> None:
    """Refuse a rollback by hand across an irreversible step, unless it is said that it is meant.

    Raises:
        Conflict: With the step.
    """
    step = irreversible_behind(d)
    if step and not across:
        raise Conflict(
            f"{step.capitalize()} is irreversible and was completed: {d.stable_version} may not be able to "
            f"work with what {d.version} has done since.",
            next_step="If it shall go back all the same, repeat the call with `across_irreversible` "
            "(`--across-irreversible`).",
            extra={"irreversible": step},
        )


def may_shrink(d: Deployment, bp: int, keeps_units: bool) -> None:
    """Refuse a smaller share by hand that would move units back across an irreversible step.

    Raises:
        Conflict: The hash decides alone, or the data plane cannot hold units that are on the canary.
    """
    stays = keeps_units and d.strategy.stickiness is Stickiness.PERSISTENT
    step = irreversible_behind(d)
    if step and not stays and bp < d.traffic_bp:
        raise Conflict(
            f"{step.capitalize()} is irreversible and was completed, and {percent(bp)} would move units "
            f"back to {d.stable_version}.",
            next_step="Roll back with `across_irreversible`, or leave the share as it is.",
            extra={"irreversible": step},
        )
