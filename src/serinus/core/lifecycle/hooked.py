"""Which hooks are asked about what, and what a person may do about their answers. Pure."""

from __future__ import annotations

from dataclasses import replace

from serinus.core.decision import Decision, Intent, IntentKind, Reason
from serinus.core.hooks import Ask, Phase, Said
from serinus.core.model import Deployment, Status, Waiting

__all__ = ["about", "hook_names", "open_asks", "pass_hooks", "post_hooks", "stuck"]


def about(d: Deployment) -> str:
    """Name what the hooks are asked about now: the move that waits for them, or the present step."""
    if d.intended is not None:
        return f"{d.intended.phase.value} {d.intended.at.isoformat()}"
    begun = d.step_started_at.isoformat() if d.step_started_at else ""
    return f"step {d.step_index} {begun}"


def open_asks(d: Deployment) -> tuple[Ask, ...]:
    """Return whom the rollout waits for."""
    if d.status is not Status.CANARY or d.going_back is not None:
        return ()
    now = about(d)
    return tuple(a for a in d.asks if a.about == now and a.said is Said.NOTHING)


def stuck(d: Deployment) -> tuple[Ask, ...]:
    """Return the hooks whose answer holds the rollout until somebody decides."""
    if d.waiting is not Waiting.APPROVAL:
        return ()
    now = about(d)
    return tuple(a for a in d.asks if a.about == now and a.said in (Said.NO, Said.TIMEOUT))


def pass_hooks(d: Deployment) -> Decision | None:
    """Go on past the hooks that hold it, by hand; ``None`` when none does."""
    past = stuck(d)
    if not past:
        return None
    waived = tuple(replace(a, said=Said.WAIVED) if a in past else a for a in d.asks)
    message = f"Approved past {hook_names(past)}."
    return Decision(
        next_state=replace(d, asks=waived, waiting=Waiting.NOTHING, sentence=message),
        reasons=(Reason(kind="approved", message=message),),
    )


def post_hooks(d: Deployment, phase: Phase) -> tuple[Intent, ...]:
    """Return the calls of the hooks that are told afterwards."""
    return tuple(
        Intent(kind=IntentKind.HOOK, topic=phase.value, data={"hook": hook.name})
        for hook in d.strategy.hooks
        if hook.phase is phase
    )


def hook_names(asks: tuple[Ask, ...]) -> str:
    """Name them: ``hook qa``, ``hooks qa and load``."""
    names = [a.hook for a in asks]
    return ("hook " if len(names) == 1 else "hooks ") + " and ".join(names)
