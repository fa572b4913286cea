"""How the sequential judge looks from outside: its answer as data (``judge_words`` has it in words).

The API, the pages, the terminal and the notifications all speak from ``judge_view``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from serinus.control.context import stamp
from serinus.core.analysis.flips import TOLERATED
from serinus.core.analysis.sequential.answer import Answer, CheckAnswer
from serinus.core.analysis.sequential.plan import ErrorHarm, Finding, LatencyHarm, Plan
from serinus.core.codec import to_json
from serinus.core.decide import plan_of
from serinus.core.lifecycle.moves import under_watch
from serinus.core.model import Deployment, Status

__all__ = [
    "answer_view",
    "flips_view",
    "judge_view",
    "label",
    "surely_differs",
    "watch_view",
]

#: What the checks that every plan has are called; a metric has its own name.
LABELS = {"errors": "errors", "latency": "latency", "alone": "at 100 %"}
#: A headline for each finding.
HEADLINES = {
    Finding.HARM: "Harm: the canary is worse than tolerated",
    Finding.SAFE: "Safe: harm of the size worth finding is excluded",
    Finding.NOT_YET: "No harm seen so far; too early to call it safe",
    Finding.CANNOT_TELL: "No harm seen so far; this step ends before it is sure",
}
ALONE = {
    Finding.HARM: "Harm: worse than anything that was recorded of stable",
    Finding.SAFE: "Everyone is on it: no worse than what was recorded of stable",
    Finding.NOT_YET: "Everyone is on it: too early to tell",
}
#: Notes on what would look like a contradiction.
OTHERWISE = "it is the latency: errors are within what is tolerated"
SHARPER = "excluded by the test for just this size, which is sharper than the interval"
NOTHING = "Nothing to compare yet"
UNDECIDED = (Finding.NOT_YET, Finding.CANNOT_TELL)
#: A larger number is cut: what follows no longer fits into JSON.
MOST = 1e12


def judge_view(d: Deployment) -> dict[str, Any] | None:
    """Return what the judge says of a deployment; ``None`` when its policy has no judge."""
    plan = d.policy.judge
    if plan is None:
        return None
    answer = d.answer or Answer(
        finding=Finding.NOT_YET,
        sentence="Nothing to compare yet.",
        evidence=1.0,
        needed=plan.candidates / plan.budget,
        budget_used=0.0,
    )
    view = answer_view(answer, plan, ended=d.status is not Status.CANARY and not under_watch(d))
    flips = flips_view(d)
    return {**view, "warnings": view["warnings"] + [w for w in (flips and flips["sentence"],) if w]}


def flips_view(d: Deployment) -> dict[str, Any] | None:
    """Return how many watched units did not stick; ``None`` before anybody looked, and after the rollout."""
    if d.flips is None or d.status is not Status.CANARY:
        return None
    return {
        "watched": d.flips.watched,
        "flipped": d.flips.flipped,
        "fewer_side": d.flips.fewer,
        "tolerated": TOLERATED,
        "sentence": d.flips.sentence,
    }


def answer_view(answer: Answer, plan: Plan, *, ended: bool = False) -> dict[str, Any]:
    """Return an answer as the API shows it: the judge's numbers beside what the plan asks of them.

    ``ended``: nothing is measured any more, so there is nothing left to wait for.
    """
    if not answer.requests and answer.finding is not Finding.HARM:
        answer = _nothing_seen(answer)
    alone = next((c for c in answer.checks if c.check == "alone"), None)
    checks = [
        _check_view(c, plan, over=alone is not None and c is not alone, ended=ended) for c in answer.checks
    ]
    finding, sentence = answer.finding, answer.sentence
    if alone is not None and finding is not Finding.HARM:
        # Both sides were compared before; what is asked now is how the canary does by itself.
        finding, sentence = alone.finding, f"{alone.sentence}."
    headlines = ALONE if alone is not None and alone.finding is finding else HEADLINES
    return {
        "finding": finding.value,
        "headline": headlines.get(finding, HEADLINES[finding]) if answer.requests else NOTHING,
        "sentence": sentence,
        "evidence": answer.evidence,
        "needed": answer.needed,
        "budget": plan.budget,
        "budget_used": answer.budget_used,
        "tolerated": answer.budget_used >= 1.0 and finding is not Finding.HARM,
        "confidence": plan.confidence,
        "excluded": answer.excluded,
        "requests": answer.requests,
        "step_requests": answer.step_requests,
        "min_requests": plan.min_requests,
        "requests_needed": _most(c["requests_needed"] for c in checks if c["waits"]),
        "seconds_needed": _most(c["seconds_needed"] for c in checks if c["waits"]),
        "checks": checks,
        "slices": [to_json(s) for s in answer.slices],
        "warnings": list(answer.warnings),
    }


def label(check: str) -> str:
    """Return what a check is called."""
    return LABELS.get(check, check)


def _nothing_seen(answer: Answer) -> Answer:
    """Return an answer without a guess at the time: nothing was seen that could be projected."""
    checks = tuple(replace(c, finding=Finding.NOT_YET) for c in answer.checks)
    return replace(answer, finding=Finding.NOT_YET, sentence=f"{NOTHING}.", checks=checks)


def _check_view(c: CheckAnswer, plan: Plan, *, over: bool, ended: bool) -> dict[str, Any]:
    """Return one check: both sides, the interval, and the marks that it is read against.

    ``over``: stable gets no traffic any more, so this comparison is what it was.
    """
    scale, tolerated, find = _marks(c, plan)
    waits = c.finding in UNDECIDED and not over and not ended
    inside, note = c.interval, _note(c, tolerated, find, ended=ended)
    estimate = inside.estimate if inside else _plain_ratio(c) if scale == "ratio" and not note else None
    return {
        "check": c.check,
        "label": label(c.check),
        "over": over,
        "finding": c.finding.value,
        "sentence": c.sentence,
        "canary": c.canary,
        "stable": c.stable,
        "unit": c.unit,
        # What estimate, bounds and marks are: canary ÷ stable, or canary − stable.
        "scale": scale,
        "estimate": estimate,
        "low": inside.low if inside else None,
        "high": inside.high if inside else None,
        "tolerated": tolerated,
        "worth_finding": find,
        "evidence": min(c.evidence, MOST),
        "waits": waits,
        "requests_needed": c.requests_needed if waits else None,
        "seconds_needed": c.seconds_needed if waits else None,
        "smallest": c.smallest,
        "note": note,
    }


def _note(c: CheckAnswer, tolerated: float | None, find: float | None, *, ended: bool) -> str:
    """Say why there is no interval, or what would look like a contradiction; empty for neither."""
    ratio = _plain_ratio(c)
    if c.check == "alone" and c.finding is Finding.HARM and (ratio is None or ratio <= (tolerated or 1.0)):
        return OTHERWISE
    if c.finding is Finding.SAFE and c.interval and find is not None and c.interval.high > find:
        return SHARPER
    if c.interval is None and c.check != "alone" and not ended:
        return c.sentence.partition(": ")[2]  # warming up, not reported yet, …
    return ""


def _marks(c: CheckAnswer, plan: Plan) -> tuple[str, float | None, float | None]:
    """Return the scale, what is tolerated on it, and what is worth finding."""
    if c.check == "errors":
        harm = plan.errors or ErrorHarm()
        by_points = 1.0 + harm.points / 100.0 / c.stable if c.stable else harm.ratio
        return "ratio", max(harm.ratio, by_points), harm.find
    if c.check == "latency":
        slow = plan.latency or LatencyHarm()
        return "ratio", 1.0 + slow.slower, 1.0 + slow.find
    if c.check == "alone":
        return "ratio", plan.drift, None
    metric = next((m for m in plan.metrics if m.name == c.check), None)
    if metric is None or c.stable is None:
        return "difference", None, None
    slack = metric.tolerate * abs(c.stable)
    return "difference", -slack if metric.higher_is_better else slack, None


def _plain_ratio(c: CheckAnswer) -> float | None:
    return c.canary / c.stable if c.canary is not None and c.stable else None


def _most(values: Iterable[float | None]) -> float | None:
    """Return the largest; ``None`` when one is unknown, 0 when there is nothing to wait for."""
    listed = list(values)
    known = [v for v in listed if v is not None]
    return None if len(known) < len(listed) else max(known, default=0)


def surely_differs(answer: Answer | None) -> bool:
    """Tell whether a check's sides surely differ, for better or worse: the bounds hold at every look."""
    for c in answer.checks if answer else ():
        level = 1.0 if c.check in LABELS else 0.0
        beside = c.interval is not None and not c.interval.low <= level <= c.interval.high
        if beside or c.finding is Finding.HARM:
            return True
    return False


def watch_view(d: Deployment, now: datetime | None = None) -> dict[str, Any] | None:
    """Return until when a promoted version is watched and against what; ``None`` when it is not."""
    if not under_watch(d) or d.ended_at is None:
        return None
    seconds = plan_of(d).watch
    until = d.ended_at + timedelta(seconds=seconds)
    left = None if now is None else max(0.0, round((until - now).total_seconds(), 1))
    return {
        "until": stamp(until),
        "seconds": seconds,
        "seconds_left": left,
        "compared_with": f"what was recorded of {d.stable_version} before the promotion",
    }
