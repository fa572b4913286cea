"""Putting a unit on a side by hand, and letting the hash decide again. Pure, as every move."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

from serinus.core.decision import Decision, Reason
from serinus.core.errors import Conflict, TransitionRefused
from serinus.core.lifecycle.guards import not_going_back
from serinus.core.lifecycle.transitions import allowed
from serinus.core.model import Deployment, Status

__all__ = ["MAX_PLACED", "PlacedOn", "place", "reset"]

#: Units that people may put on sides: all of them are in every snapshot, about 20 bytes each.
MAX_PLACED = 1_000


class PlacedOn(StrEnum):
    """Where a person has put a unit."""

    CANARY = "canary"
    STABLE = "stable"
    HASH = "hash"  #: nowhere any more: it was reset, and the hash decides


def place(
    d: Deployment, on: PlacedOn, unit: str, *, placed: int, keeps_units: bool, reason: str = ""
) -> Decision:
    """Put a unit on the canary or on stable, whatever the hash, the share and the filter say.

    Args:
        d: The deployment.
        on: Which side.
        unit: The unit in words, ``user ada``.
        placed: How many others are on sides by hand.
        keeps_units: The data plane can look a unit up.
        reason: Why.

    Raises:
        TransitionRefused: It is not rolling out.
        Conflict: The data plane cannot look a unit up, too many are placed, or it is going back.
    """
    _may_place(d, keeps_units)
    if placed >= MAX_PLACED:
        raise Conflict(
            f"{placed:,} units are on a side by hand already; no more fit into what every process holds.",
            next_step="Reset some, or name units in `canary_target_filter` when you start.",
        )
    version = d.tested if on is PlacedOn.CANARY else d.stable_version
    message = f"{unit} put on the {on.value} side ({version}){_because(reason)}"
    return Decision(
        next_state=d,
        reasons=(Reason(kind="assigned", message=message, data={"unit": unit, "to": on.value}),),
    )


def reset(d: Deployment, unit: str, *, keeps_units: bool, reason: str = "") -> Decision:
    """Forget where a unit was, or with an empty ``unit`` where everybody was: the hash decides by the share.

    Raises:
        TransitionRefused: It is not rolling out.
        Conflict: The data plane keeps no units, or it is going back.
    """
    _may_place(d, keeps_units)
    epoch = d.reset_epoch + 1
    forgotten = replace(d, reset_epoch=epoch, all_reset_epoch=d.all_reset_epoch if unit else epoch)
    message = f"{unit or 'All units'} reset: the hash decides again{_because(reason)}"
    return Decision(
        next_state=forgotten,
        reasons=(Reason(kind="reassigned", message=message, data={"unit": unit, "everyone": not unit}),),
    )


def _because(reason: str) -> str:
    return f": {reason.strip()}" if reason.strip() else "."


def _may_place(d: Deployment, keeps_units: bool) -> None:
    if d.status is not Status.CANARY:
        raise TransitionRefused("assign units of", d.status.value, [a.value for a in allowed(d.status)])
    not_going_back(d)
    if not keeps_units:
        raise Conflict(
            "This proxy decides by the hash alone: it cannot look a unit up, so nobody can be put on a side "
            "or reset.",
            next_step="Name units in `canary_target_filter` at the start, or route with the SDK in process.",
        )
