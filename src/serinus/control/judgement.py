"""How the sequential judge looks from outside: its answer as data, and its numbers as people read them.

The API, the pages, the terminal and the notifications all speak from ``judge_view``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from serinus.control.context import stamp
from serinus.core.analysis.flips import TOLERATED
from serinus.core.analysis.sequential.answer import Answer, CheckAnswer
from serinus.core.analysis.sequential.plan import ErrorHarm, Finding, LatencyHarm, Plan
from serinus.core.analysis.sequential.words import duration, times
from serinus.core.codec import to_json
from serinus.core.decide import plan_of
from serinus.core.lifecycle.moves import under_watch
from serinus.core.model import Deployment, Status

__all__ = [
    "FINDINGS",
    "SIGNS",
    "answer_view",
    "budget_text",
    "chance_text",
    "change_text",
    "flips_view",
    "interval_text",
    "judge_view",
    "label",
    "needs_text",
    "slice_text",
    "surely_differs",
    "value_text",
    "watch_view",
]

#: What the checks that every plan has are called; a metric has its own name.
LABELS = {"errors": "errors", "latency": "latency", "alone": "at 100 %"}
#: A sign, a short word and a headline for each finding: never a colour alone.
SIGNS = {Finding.HARM: "✘", Finding.SAFE: "✔", Finding.NOT_YET: "…", Finding.CANNOT_TELL: "?"}
FINDINGS = {
    Finding.HARM: "harm",
    Finding.SAFE: "safe",
    Finding.NOT_YET: "too early",
    Finding.CANNOT_TELL: "cannot tell in time",
}
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
#: Evidence above this is as good as certain: the number says nothing more.
CERTAIN = 1e6
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


# -- numbers in words -------------------------------------------------------------------------------


def label(check: str) -> str:
    """Return what a check is called."""
    return LABELS.get(check, check)


def value_text(value: float | None, unit: str) -> str:
    """Return one side's value with its unit.

    >>> value_text(0.0031, "ratio"), value_text(152.4, "ms"), value_text(None, "ms")
    ('0.31 %', '152 ms', '–')
    """
    if value is None:
        return "–"
    if unit == "ratio":
        return f"{value * 100:.3g} %"
    return f"{value:.{0 if value >= 100 else 1}f} ms" if unit == "ms" else f"{value:.4g}"


def change_text(value: float, check: Mapping[str, Any]) -> str:
    """Return an estimate or a bound as people say it: ``2.1 ×``, ``+4.1 %``, or a difference.

    >>> check = {"scale": "ratio", "unit": "ms"}
    >>> change_text(1.041, check), change_text(0.85, check), change_text(2.5, check)
    ('+4.1 %', '−15 %', '2.5 ×')
    """
    if check["scale"] == "difference":
        return f"{value:+.3g}".replace("-", "−")
    if check["unit"] == "ms" and value < 2:
        part = round((value - 1) * 100, 1)
        if part == 0:
            return "0 %"
        return f"{part:+.{0 if abs(part) >= 10 else 1}f} %".replace("-", "−")
    if value >= 1000:
        return "> 1,000 ×"
    return times(value) if value >= 0.01 else "0 ×"


def interval_text(check: Mapping[str, Any]) -> str:
    """Return the estimate with its always-valid bounds; empty while there is nothing to estimate.

    >>> interval_text({"estimate": 1.5, "low": 0.9, "high": 2.5, "scale": "ratio", "unit": "ratio"})
    '1.5 × (0.9 to 2.5 ×)'
    """
    if check["estimate"] is None:
        return ""
    said = change_text(check["estimate"], check)
    if check["low"] is None or check["high"] is None:
        return said
    low, high = change_text(check["low"], check), change_text(check["high"], check)
    for unit in (" ×", " %"):
        if low.endswith(unit) and high.endswith(unit):
            low = low.removesuffix(unit)
    return f"{said} ({low} to {high})"


def needs_text(needed: Mapping[str, Any]) -> str:
    """Return how much longer a check, or the whole answer, has to look; empty when that is not known.

    >>> needs_text({"requests_needed": 1840, "seconds_needed": 370.0})
    'needs 1,840 more canary requests, about 6 min'
    """
    requests, seconds = needed["requests_needed"], needed["seconds_needed"]
    if not requests:
        return ""
    when = "" if seconds is None else f", about {duration(seconds)}"
    return f"needs {requests:,} more canary requests{when}"


def budget_text(used: float) -> str:
    """Return a part of the error budget in percent.

    >>> budget_text(0.0312), budget_text(0.31), budget_text(0.9999)
    ('3.1', '31', '99')
    """
    percent = min(100.0, used * 100)
    return f"{percent:.2g}" if percent < 10 else f"{int(percent)}"


def chance_text(evidence: float) -> str:
    """Return how likely at most such evidence is by chance alone (Markov): its inverse.

    >>> chance_text(1234.0), chance_text(1e9)
    ('1 in 1,234', 'below 1 in a million')
    """
    return "below 1 in a million" if evidence >= CERTAIN else f"1 in {max(1.0, evidence):,.0f}"


def slice_text(s: Mapping[str, Any]) -> str:
    """Return where harm shows, with both sides, how much worse, and how likely that is by chance."""
    unit, sides = "ratio" if s["check"] == "errors" else "ms", ""
    if s["canary"] is not None and s["stable"] is not None:
        sides = f" {value_text(s['canary'], unit)} against {value_text(s['stable'], unit)}"
    size = f", {change_text(s['ratio'], {'scale': 'ratio', 'unit': unit})}" if s["ratio"] else ""
    return f"{s['stratum']}: {s['check']}{sides}{size} (by chance: {chance_text(s['evidence'])})"
