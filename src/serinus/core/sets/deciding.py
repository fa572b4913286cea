"""What follows for a release set. Pure: its state and its members' deployments in, orders out.

Level-triggered like a deployment's decision: orders are given again until the deployments show that they
were carried out, so that a coordinator that died between two of them goes on where it stood.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from serinus.core.analysis.sequential.words import duration
from serinus.core.decide import MAX_GAP_SECONDS
from serinus.core.lifecycle.moves import looked_after
from serinus.core.model import Role, Status, Waiting, percent
from serinus.core.release_sets import (
    Member,
    OnHarm,
    Order,
    OrderKind,
    ReleaseSet,
    SetDecision,
    SetKind,
    SetReason,
    SetState,
    Standing,
    Told,
)

__all__ = ["HELD", "decide_set", "noted", "roll_back_all", "stage_words"]

#: Deployments by their ids.
Found = Mapping[str, Standing]

#: The phase of a set that harm has stopped.
HELD = "held:harm"
#: A promoted member; one that a newer version replaced was promoted, too.
_PROMOTED = (Status.ACTIVE, Status.DEPRECATED)
_OUT = (Status.CANARY, Status.SCHEDULED, Status.ACTIVE)


def decide_set(s: ReleaseSet, found: Found, now: datetime) -> SetDecision:
    """Return what follows for a set. ``now`` must be aware."""
    seen = _looked(s, now)
    if s.state is SetState.ROLLING_BACK:
        return _going_back(seen, found, now)
    if s.state not in (SetState.RUNNING, SetState.WATCHED):
        return SetDecision(next_state=s)
    harmed = [(m, why) for m in s.members if m.deployment_id and not m.lost and (why := _harm(m, found))]
    if harmed:
        return _on_harm(seen, harmed, found, now)
    if s.state is SetState.WATCHED:
        return _watched(seen, found, now)
    if s.paused:
        return SetDecision(next_state=seen)
    return _walk(seen, found, now)


def _looked(s: ReleaseSet, now: datetime) -> ReleaseSet:
    """Count the time that somebody looked while the present stage bakes; no other time matters."""
    if not s.baking:
        return replace(s, last_tick_at=None)
    gap = (now - s.last_tick_at).total_seconds() if s.last_tick_at else 0.0
    counted = min(max(gap, 0.0), MAX_GAP_SECONDS) if not s.paused else 0.0
    return replace(s, last_tick_at=now, baked_seconds=s.baked_seconds + counted)


# -- harm ------------------------------------------------------------------------------------------


def _harm(m: Member, found: Found) -> str:
    """Return why a member goes or went back; empty while it does not."""
    standing = found.get(m.deployment_id)
    if standing is None:
        return "its deployment was deleted"
    if standing.d.status is Status.ROLLED_BACK:
        return standing.d.end_reason
    return standing.d.going_back.reason if standing.d.going_back else ""


def _on_harm(s: ReleaseSet, harmed: Sequence[tuple[Member, str]], found: Found, now: datetime) -> SetDecision:
    for member, why in harmed:
        s = s.with_member(replace(member, lost=why or "rolled back"))
    what = "; ".join(f"{m.words} was rolled back: {why}" for m, why in harmed)
    if s.on_harm is OnHarm.ALL:
        return roll_back_all(s, found, now, what)
    if s.on_harm is OnHarm.REGION or s.state is SetState.WATCHED:
        message = f"{what}. The others {'stay' if s.state is SetState.WATCHED else 'go on'}."
        after = replace(s, sentence=message)
        return _said(after, "harm", message, told=Told(topic="warning", message=message, harm=True))
    message = f"{what}. Nothing more begins or is promoted until somebody resumes or rolls back."
    held = replace(s, paused=True, phase=HELD, sentence=message)
    return _said(held, "harm", message, told=Told(topic="warning", message=message, harm=True))


def roll_back_all(s: ReleaseSet, found: Found, now: datetime, reason: str, *, by: str = "") -> SetDecision:
    """Decide that every member goes back, the last first; a member that is lost has gone already.

    ``by`` is the person who asked for it; without one it was harm.
    """
    out = [m for m in reversed(s.members) if _is_out(m, found)]
    names = ", ".join(m.service for m in out)
    why = f"{by} asks for a rollback: {reason}" if by else reason
    message = f"{why}. Rolling back, in this order: {names}." if out else f"{why}. Nothing else is out."
    fixed = replace(
        s,
        state=SetState.ROLLING_BACK,
        reason=reason,
        paused=False,
        waiting=Waiting.NOTHING,
        trouble="",
        phase="rolling_back",
        sentence=message,
    )
    decision = _going_back(fixed, found, now)
    return replace(
        decision,
        reasons=(SetReason(kind="rolling_back" if by else "harm", message=message), *decision.reasons),
        told=(Told(topic="warning", message=message, harm=True), *decision.told),
    )


def _is_out(m: Member, found: Found) -> bool:
    standing = found.get(m.deployment_id)
    return standing is not None and standing.d.status in _OUT


def _going_back(s: ReleaseSet, found: Found, now: datetime) -> SetDecision:
    """Order the rollbacks that are missing; end when nobody is out."""
    out = [m for m in reversed(s.members) if _is_out(m, found)]
    if not out:
        words = f"Rolled back: {s.reason}"
        ended = replace(s, state=SetState.ROLLED_BACK, phase="rolled_back", sentence=words, ended_at=now)
        return _said(ended, "rolled_back", words)
    because = f"{s.name}: {s.reason}"
    orders = tuple(
        Order(kind=OrderKind.ROLL_BACK, member=m, reason=because)
        for m in out
        if found[m.deployment_id].d.going_back is None
    )
    waiting = [found[m.deployment_id].d for m in out if found[m.deployment_id].d.going_back]
    sentence = s.sentence
    if waiting:
        sentence = "Going back. " + " ".join(f"{d.service}: {d.sentence}" for d in waiting)
    return SetDecision(next_state=replace(s, sentence=sentence), orders=orders)


# -- the walk --------------------------------------------------------------------------------------


def _walk(s: ReleaseSet, found: Found, now: datetime) -> SetDecision:
    members = [m for m in s.present.members if not m.lost]
    if any(not m.deployment_id for m in members):
        names = ", ".join(m.words for m in members)
        message = f"{stage_words(s)} begins: {names}."
        return replace(_said(replace(s, sentence=message), "stage", message), create=True)
    drafts = [m for m in members if found[m.deployment_id].d.status is Status.DRAFT]
    frozen = [(m, why) for m in drafts if (why := found[m.deployment_id].frozen)]
    if frozen:
        sentence = f"{stage_words(s)} waits: " + "; ".join(f"{m.service}: {why}" for m, why in frozen) + "."
        return SetDecision(next_state=replace(s, sentence=sentence))
    if drafts:
        orders = tuple(Order(kind=OrderKind.START, member=m) for m in drafts)
        return SetDecision(next_state=s, orders=orders)
    waiting = [m for m in members if found[m.deployment_id].d.status not in _PROMOTED]
    if not waiting:
        return _promoted(s, members, now)
    return _passed(s, waiting, found)


def _passed(s: ReleaseSet, waiting: list[Member], found: Found) -> SetDecision:
    """Promote the stage when all of it has passed; otherwise say what it waits for."""
    behind = [(m, why) for m in waiting if (why := _lacks(found[m.deployment_id]))]
    if behind:
        sentence = f"{stage_words(s)}: " + "; ".join(f"{m.service} {why}" for m, why in behind) + "."
        return SetDecision(next_state=replace(s, sentence=sentence, waiting=Waiting.NOTHING, phase="running"))
    if not (s.auto_promote or s.approved):
        message = f"{stage_words(s)} has passed and waits to be promoted: {_names(waiting)}."
        return _wait(s, Waiting.PROMOTION, message)
    orders = tuple(Order(kind=OrderKind.PROMOTE, member=m) for m in waiting)
    if s.phase == "promoting":
        return SetDecision(next_state=s, orders=orders)
    message = f"{stage_words(s)} has passed: promoting {_names(waiting)}."
    moved = replace(s, phase="promoting", sentence=message, waiting=Waiting.NOTHING)
    return replace(_said(moved, "passed", message), orders=orders)


def _lacks(standing: Standing) -> str:
    """Return what a member lacks for its promotion, in words; empty when it can be promoted."""
    d = standing.d
    if d.status is Status.SCHEDULED:
        return f"waits for its start ({d.sentence.rstrip('.')})"
    if d.blocked is not None:
        return "should go back across an irreversible step, and somebody has to decide"
    if d.waiting is not Waiting.PROMOTION:
        return f"is at {percent(d.traffic_bp)}"
    if d.paused:
        return "is paused"
    if d.canary_down:
        return f"does not answer ({d.canary_down})"
    if standing.unmet:
        return f"cannot be promoted yet ({'; '.join(standing.unmet)})"
    return f"is held: {standing.frozen}" if standing.frozen else ""


def _promoted(s: ReleaseSet, members: list[Member], now: datetime) -> SetDecision:
    """After a stage: bake, then the gate, then the next stage; after the last one, watch."""
    last = s.stage + 1 == len(s.stages)
    if not s.baking:
        done = f"is promoted: {_names(members)}" if members else "has ended: all of it was rolled back"
        message = f"{stage_words(s)} {done}."
        if not last and s.present.bake_seconds:
            message += f" {_next(s)} begins no sooner than {duration(s.present.bake_seconds)} from now."
        baking = replace(s, baking=True, approved=False, trouble="", phase="baking", sentence=message)
        return _said(baking, "stage_promoted", message)
    if last:
        return _all_promoted(s, now)
    left = s.present.bake_seconds - s.baked_seconds
    if left > 0:
        return SetDecision(next_state=replace(s, sentence=f"{_next(s)} begins in {duration(left)}."))
    if s.present.gate and not s.approved:
        who = "an approval" + (" by the role admin" if s.present.gate is Role.ADMIN else "")
        return _wait(s, Waiting.APPROVAL, f"{stage_words(s)} is promoted. {_next(s)} waits for {who}.")
    following = replace(
        s,
        stage=s.stage + 1,
        baking=False,
        baked_seconds=0.0,
        approved=False,
        waiting=Waiting.NOTHING,
        phase="running",
    )
    # Its deployments do not exist yet: this only asks for them.
    return _walk(following, {}, now)


def _all_promoted(s: ReleaseSet, now: datetime) -> SetDecision:
    stays, lost = [m for m in s.members if not m.lost], [m for m in s.members if m.lost]
    if not stays:
        message = f"All of it went back: {_names(lost)}."
        ended = replace(s, state=SetState.ROLLED_BACK, phase="rolled_back", sentence=message, ended_at=now)
        return _said(ended, "rolled_back", message)
    message = f"Everything is promoted: {_names(stays)}."
    if lost:
        message = f"{len(stays)} of {len(s.members)} are promoted; {_names(lost)} went back."
    after = replace(s, state=SetState.WATCHED, baking=False, phase="watched", sentence=message)
    return _said(after, "promoted", message, told=Told(topic="promoted", message=message))


def _watched(s: ReleaseSet, found: Found, now: datetime) -> SetDecision:
    """Stay in charge until no member is watched any more: until then one of them may go back."""
    if any(looked_after(found[m.deployment_id].d) for m in s.members if not m.lost):
        return SetDecision(next_state=s)
    message = f"{s.name} is done: nothing of it is watched any more."
    return _said(
        replace(s, state=SetState.DONE, phase="done", sentence=message, ended_at=now), "done", message
    )


# -- what a refusal does ---------------------------------------------------------------------------


def noted(s: ReleaseSet, trouble: str) -> SetDecision:
    """Take note of what was refused, or that nothing was; said once."""
    if trouble == s.trouble:
        return SetDecision(next_state=s)
    if not trouble:
        return SetDecision(next_state=replace(s, trouble=""))
    message = f"Holding: {trouble}"
    held = replace(s, trouble=trouble, sentence=message)
    return _said(held, "holding", message, told=Told(topic="warning", message=message))


# -- words -----------------------------------------------------------------------------------------


def stage_words(s: ReleaseSet, at: int | None = None) -> str:
    """Name a stage: ``Wave 2 of 3 (us)``."""
    index = s.stage if at is None else at
    noun = "Wave" if s.kind is SetKind.WAVES else "Stage"
    name = s.stages[index].name
    return f"{noun} {index + 1} of {len(s.stages)}" + (f" ({name})" if name else "")


def _next(s: ReleaseSet) -> str:
    return stage_words(s, s.stage + 1)


def _names(members: Sequence[Member]) -> str:
    return ", ".join(m.words for m in members)


def _wait(s: ReleaseSet, waiting: Waiting, message: str) -> SetDecision:
    after = replace(s, waiting=waiting, sentence=message, phase=f"waiting:{waiting.value}")
    if s.waiting is waiting:
        return SetDecision(next_state=after)
    return _said(after, "waiting", message, told=Told(topic="waiting", message=message))


def _said(s: ReleaseSet, kind: str, message: str, *, told: Told | None = None) -> SetDecision:
    return SetDecision(
        next_state=s, reasons=(SetReason(kind=kind, message=message),), told=(told,) if told else ()
    )
