"""How several candidates are decided about (A/B/n): each by itself against stable, all under one budget.

Every candidate is seen as if it were the only canary (:func:`seen_as`), measured like any other, and
dropped alone when it harms. What is left is one walk for all: it holds where any candidate holds it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from serinus.core.analysis.checks import OnNoData
from serinus.core.analysis.evidence import Evidence
from serinus.core.analysis.sequential.answer import Answer
from serinus.core.analysis.sequential.plan import Finding
from serinus.core.analysis.verdict import Verdict, blocking, failed
from serinus.core.breaker import CLOSED_BREAKER, OPEN
from serinus.core.candidates import Candidate, listed
from serinus.core.codec import to_json
from serinus.core.decision import Decision, Intent, IntentKind, Reason
from serinus.core.errors import Conflict, InvalidInput
from serinus.core.health import Knocked, with_health
from serinus.core.lifecycle.back import go_back, hold
from serinus.core.lifecycle.guards import not_going_back
from serinus.core.lifecycle.moves import SET_TRAFFIC
from serinus.core.model import Deployment, Status, percent
from serinus.core.values import changed

__all__ = [
    "Measure",
    "all_healths",
    "arms",
    "chosen",
    "drop",
    "drop_harmful",
    "live",
    "measure_all",
    "place_of",
    "seen_as",
    "settled",
]

#: Puts fresh verdicts, breaker and clocks into a deployment with one canary.
Measure = Callable[[Deployment, Evidence, datetime], Deployment]
_SEVERITY = (Finding.SAFE, Finding.NOT_YET, Finding.CANNOT_TELL, Finding.HARM)


def live(d: Deployment) -> list[int]:
    """Return the places of the candidates that are not out."""
    return [at for at, c in enumerate(d.candidates) if c.live]


def seen_as(d: Deployment, at: int) -> Deployment:
    """Return the deployment as if this candidate were its only canary."""
    c = d.candidates[at]
    return changed(
        d,
        version=c.version,
        verdicts=c.verdicts,
        judge=c.judge,
        judged_until=c.judged_until,
        answer=c.answer,
        breaker=c.breaker,
        blind_seconds=c.blind_seconds,
        canary_down=c.down,
    )


def arms(d: Deployment) -> list[Deployment]:
    """Return the deployment once for each candidate, as :func:`seen_as` does; one canary's as it is."""
    return [seen_as(d, at) for at in range(len(d.candidates))] if d.contested else [d]


def _taken_from(c: Candidate, seen: Deployment) -> Candidate:
    return changed(
        c,
        verdicts=seen.verdicts,
        judge=seen.judge,
        judged_until=seen.judged_until,
        answer=seen.answer,
        breaker=seen.breaker,
        blind_seconds=seen.blind_seconds,
        down=seen.canary_down,
    )


def measure_all(
    d: Deployment, evidences: Sequence[Evidence], now: datetime, measure: Measure
) -> tuple[Deployment, list[tuple[Deployment, Deployment]]]:
    """Measure each candidate; return the whole, and each one before and after.

    The whole is cautious: its verdicts are everybody's by name, its answer the least sure of all.
    """
    after = list(d.candidates)
    pairs = []
    for at in live(d):
        # The step's clock, which each one's measuring reads, is the test's own.
        seen = seen_as(d, at)
        before = changed(seen, blind_seconds=min(seen.blind_seconds, d.blind_seconds))
        measured = measure(before, evidences[at], now)
        after[at] = _taken_from(after[at], measured)
        pairs.append((before, measured))
    if not pairs:
        return d, pairs
    clocks = pairs[0][1]
    whole = changed(
        _whole(d, tuple(after)),
        observed_seconds=clocks.observed_seconds,
        majority_seconds=clocks.majority_seconds,
        last_tick_at=now,
    )
    return whole, pairs


def _whole(d: Deployment, candidates: tuple[Candidate, ...]) -> Deployment:
    left = [c for c in candidates if c.live]
    down = [f"{c.version}: {c.down}" for c in left if c.down]
    return changed(
        d,
        candidates=candidates,
        verdicts=tuple(_named(c.version, v) for c in left for v in c.verdicts),
        answer=_least_sure([c.answer for c in left if c.answer]),
        breaker=CLOSED_BREAKER,
        blind_seconds=max((c.blind_seconds for c in left), default=0.0),
        canary_down="; ".join(down),
    )


def _named(version: str, v: Verdict) -> Verdict:
    return replace(v, check=f"{version} {v.check}", message=f"{version}: {v.message}")


def _least_sure(answers: list[Answer]) -> Answer | None:
    """Return the answer with most evidence of harm, as unsure as the least sure one."""
    if not answers:
        return None
    worst = max(answers, key=lambda a: a.evidence)
    return replace(
        worst,
        finding=max((a.finding for a in answers), key=_SEVERITY.index),
        budget_used=max(a.budget_used for a in answers),
        requests=min(a.requests for a in answers),
        step_requests=min(a.step_requests for a in answers),
        excluded=max(a.excluded for a in answers),
        warnings=tuple(dict.fromkeys(w for a in answers for w in a.warnings)),
    )


def all_healths(
    d: Deployment, evidences: Sequence[Evidence], knocked: Sequence[Knocked], now: float
) -> Deployment:
    """Return ``d`` with what is known of stable and of each candidate at ``now`` (Unix seconds)."""
    after, whole = list(d.candidates), d
    stable: list[str] = []
    for at in live(d):
        seen = with_health(seen_as(d, at), evidences[at], knocked[at], now)
        after[at] = changed(after[at], down=seen.canary_down)
        stable.append(seen.stable_down)
        whole = changed(whole, stable_reached=whole.stable_reached or seen.stable_reached)
    down = next((why for why in stable if why), "")
    return _whole(changed(whole, stable_down=down), tuple(after))


def chosen(d: Deployment, at: int) -> Deployment:
    """Return the deployment as the canary of one candidate that is to be promoted."""
    return changed(seen_as(d, at), winner=d.candidates[at].version)


def settled(whole: Deployment, decision: Decision) -> Decision:
    """Return what a decision about one candidate, or under another name, means for the whole.

    One that was promoted is the canary from then on; anything else leaves the candidates as they are.
    """
    decided = decision.next_state
    if decided.status is Status.ACTIVE:
        return decision
    restored = changed(
        decided,
        version=whole.version,
        winner=whole.winner,
        verdicts=whole.verdicts,
        judge=whole.judge,
        judged_until=whole.judged_until,
        answer=whole.answer,
        breaker=whole.breaker,
        blind_seconds=decided.blind_seconds and whole.blind_seconds,
        canary_down=whole.canary_down,
    )
    return replace(decision, next_state=restored)


# -- dropping -------------------------------------------------------------------------------------


def drop_harmful(d: Deployment, evidences: Sequence[Evidence], now: datetime) -> Decision | None:
    """Drop every candidate that must not go on; with nobody left, go back to stable."""
    bad = {at: why for at in live(d) if (why := _why_out(d, at, evidences[at]))}
    if not bad:
        return None
    data = {at: {"rule": "candidate", "verdicts": to_json(d.candidates[at].verdicts)} for at in bad}
    return drop(d, bad, now, automatic=True, data=data)


def _why_out(d: Deployment, at: int, evidence: Evidence) -> str:
    seen = seen_as(d, at)
    if d.policy.breaker and seen.breaker.state == OPEN:
        where = f" ({', '.join(evidence.open_breakers)})" if evidence.open_breakers else ""
        return f"the circuit breaker opened after {max(seen.breaker.consecutive, 1)} failures in a row{where}"
    if bad := failed(seen.verdicts, "rollback"):
        return "; ".join(v.message for v in bad)
    deadline = d.policy.no_data_deadline_seconds
    if d.policy.on_no_data is OnNoData.ROLLBACK and seen.blind_seconds >= deadline:
        missing = "; ".join(v.message for v in blocking(seen.verdicts))
        return f"no usable measurement for {seen.blind_seconds:.0f} s ({missing})"
    return ""


def drop(
    d: Deployment,
    bad: dict[int, str],
    now: datetime,
    *,
    automatic: bool = False,
    data: dict[int, dict[str, Any]] | None = None,
    **back: bool,
) -> Decision:
    """Take candidates out, each for its reason: their units go to stable, the others go on.

    With nobody left it is a rollback, ``back`` as :func:`go_back` takes it. While stable cannot be sent
    traffic nobody is moved to it.

    Raises:
        Conflict: A rollback is under way.
        InvalidInput: No reason is given.
    """
    not_going_back(d)
    if not all(why.strip() for why in bad.values()):
        raise InvalidInput("A rollback needs a reason.", field="reason", next_step="Say why in one sentence.")
    left = [at for at in live(d) if at not in bad]
    if d.stable_down and left:
        return _held(d, bad)
    out = tuple(
        changed(c, dropped_at=now, drop_reason=bad[at]) if at in bad else c
        for at, c in enumerate(d.candidates)
    )
    if not left:
        why = "; ".join(f"{d.candidates[at].version}: {reason}" for at, reason in bad.items())
        shown = (data or {}).get(min(bad), {})
        ending = d if d.stable_down else changed(d, candidates=out)
        return go_back(ending, now, why, automatic=automatic, data=shown, **back)
    reasons, intents = [], [SET_TRAFFIC]
    rest = listed([d.candidates[at].version for at in left])
    for at, why in bad.items():
        c = d.candidates[at]
        how = " automatically" if automatic else ""
        words = f"{c.version} dropped{how}: {why}. Its users are on {d.stable_version}; {rest} "
        message = words + ("goes on." if len(left) == 1 else "go on.")
        shown = {"version": c.version, "automatic": automatic, **(data or {}).get(at, {})}
        reasons.append(Reason(kind="candidate_dropped", message=message, data=shown))
        about = {"version": c.version, "reason": why, "rest": rest}
        intents.append(Intent(kind=IntentKind.TELL, topic="dropped", data=about))
    meant = d.intended
    if meant is not None and meant.version in [d.candidates[at].version for at in bad]:
        meant = None
    after = changed(_whole(d, out), intended=meant, sentence=reasons[-1].message, phase="observing")
    return Decision(next_state=after, intents=tuple(intents), reasons=tuple(reasons))


def _held(d: Deployment, bad: dict[int, str]) -> Decision:
    """Stay, and say so once: a candidate's units would go to a side that is down."""
    who = "; ".join(f"{d.candidates[at].version}: {why}" for at, why in bad.items())
    message = (
        f"Holding at {percent(d.traffic_bp)}: nobody is moved to stable {d.stable_version}, which cannot be "
        f"sent traffic ({d.stable_down}). To be dropped as soon as it can: {who}"
    )
    return hold(d, message)


def place_of(d: Deployment, version: str) -> int:
    """Return a candidate's place by its version.

    Raises:
        InvalidInput: There is no such candidate.
        Conflict: It is out.
    """
    for at, c in enumerate(d.candidates):
        if c.version == version:
            if not c.live:
                raise Conflict(
                    f"{version} is out: {c.drop_reason}.",
                    next_step="Make a new deployment of it, or choose another candidate.",
                )
            return at
    raise InvalidInput(
        f"{version!r} is not under test here.",
        field="version",
        next_step=f"Give one of {listed([d.candidates[at].version for at in live(d)])}.",
    )
