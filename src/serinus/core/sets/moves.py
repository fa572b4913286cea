"""What people ask of a release set. Pure: the caller stores the answer, the coordinator carries it out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from serinus.core.errors import Conflict, Forbidden, InvalidInput
from serinus.core.model import Role, Status, Waiting
from serinus.core.release_sets import LIVE, ReleaseSet, SetDecision, SetReason, SetState, Standing
from serinus.core.sets.deciding import HELD, roll_back_all, stage_words

__all__ = ["allowed_moves", "approve", "pause", "promote", "resume", "roll_back"]


def allowed_moves(s: ReleaseSet) -> tuple[str, ...]:
    """Return what can be asked of a set now, the way out first."""
    if s.state is SetState.ROLLED_BACK:
        return ()
    moves = ["rollback"] if s.state is not SetState.ROLLING_BACK else []
    if s.state is SetState.RUNNING:
        moves.append("resume" if s.paused else "pause")
        if s.waiting is Waiting.APPROVAL:
            moves.append("approve")
        if s.waiting is Waiting.PROMOTION:
            moves.append("promote")
    return tuple(moves)


def approve(s: ReleaseSet, *, role: Role, by: str, reason: str = "") -> SetDecision:
    """Let the next stage begin.

    Raises:
        Conflict: It waits for no approval.
        Forbidden: The gate asks for a higher role.
    """
    _waits_for(s, Waiting.APPROVAL, "It waits for no approval.")
    gate = s.present.gate or Role.APPROVER
    if not role.reaches(gate):
        raise Forbidden(
            f"The gate after {stage_words(s)} can be passed by the role {gate.value} only.",
            next_step=f"Ask somebody with the role {gate.value}.",
        )
    return _passed(s, "approved", f"Approved after {stage_words(s)}", by, reason)


def promote(s: ReleaseSet, *, by: str, reason: str = "") -> SetDecision:
    """Have the present stage promoted.

    Raises:
        Conflict: Not all of it has passed, or it is promoted already.
    """
    _waits_for(s, Waiting.PROMOTION, "It does not wait to be promoted.")
    return _passed(s, "approved", f"Promotion of {stage_words(s)} asked for", by, reason)


def _waits_for(s: ReleaseSet, waiting: Waiting, words: str) -> None:
    if s.state is not SetState.RUNNING or s.waiting is not waiting:
        raise Conflict(f"{words} {s.sentence}", next_step="`serinus release-set status` shows where it is.")


def _passed(s: ReleaseSet, kind: str, what: str, by: str, reason: str) -> SetDecision:
    why = f": {reason.strip()}" if reason.strip() else "."
    return _said(replace(s, approved=True), kind, f"{what} by {by}{why}")


def pause(s: ReleaseSet, *, by: str) -> SetDecision:
    """Begin and promote nothing more; members that are out go on by themselves, rollbacks included.

    Raises:
        Conflict: It does not run, or is paused already.
    """
    if s.state is not SetState.RUNNING or s.paused:
        raise Conflict(f"There is nothing to pause. {s.sentence}", next_step="Look at its page.")
    paused = replace(s, paused=True, phase="paused")
    return _said(paused, "paused", f"Paused by {by}: nothing more begins or is promoted.")


def resume(s: ReleaseSet, *, by: str) -> SetDecision:
    """Go on where it was paused, or after the harm that held it; what went back stays back.

    Raises:
        Conflict: It is not paused.
    """
    if s.state is not SetState.RUNNING or not s.paused:
        raise Conflict(f"It is not paused. {s.sentence}", next_step="Nothing to do; watch it go on.")
    after = ", without what was rolled back" if s.phase == HELD else ""
    free = replace(s, paused=False, phase="running", waiting=Waiting.NOTHING)
    return _said(free, "resumed", f"Resumed by {by}{after}.")


def roll_back(
    s: ReleaseSet, found: Mapping[str, Standing], now: datetime, reason: str, *, by: str
) -> SetDecision:
    """Roll back every member, the last first. Wins in every state, also after everything was promoted.

    Raises:
        InvalidInput: No reason is given.
        Conflict: It has been rolled back, or a newer version has taken over everywhere.
    """
    if not reason.strip():
        raise InvalidInput("A rollback needs a reason.", field="reason", next_step="Say why in one sentence.")
    out = (Status.CANARY, Status.SCHEDULED, Status.ACTIVE)
    anything = any(one.d.status in out for one in found.values())
    if s.state is SetState.ROLLED_BACK or (s.state not in LIVE and not anything):
        raise Conflict(f"There is nothing to roll back. {s.sentence}", next_step="Look at its page.")
    if s.state is SetState.ROLLING_BACK:
        raise Conflict(f"It is rolling back. {s.sentence}", next_step="Wait for its end.")
    return roll_back_all(replace(s, ended_at=None), found, now, reason.strip().rstrip("."), by=by)


def _said(s: ReleaseSet, kind: str, message: str) -> SetDecision:
    after = replace(s, sentence=message)
    return SetDecision(next_state=after, reasons=(SetReason(kind=kind, message=message),))
