"""From the judge's book to its answer: who is blamed, what is excluded, how long until it knows."""

from __future__ import annotations

from math import exp, inf, log, sqrt
from operator import mul
from typing import Any

from serinus.core.analysis.sequential import words
from serinus.core.analysis.sequential.answer import Answer, CheckAnswer, Slice
from serinus.core.analysis.sequential.blame import Stake, blamed, relevant
from serinus.core.analysis.sequential.estimate import Interval, Tally
from serinus.core.analysis.sequential.group import EARLY, Group
from serinus.core.analysis.sequential.ledger import EVERYWHERE, Ledger, shares
from serinus.core.analysis.sequential.plan import Bets, ErrorHarm, Finding, LatencyHarm, MetricHarm, Plan
from serinus.core.values import changed

__all__ = ["answer_of"]

#: A stratum is named when its own, corrected evidence reaches this.
NAMED = 5.0
#: The split is called wrong when the bet on it reaches this, and it is off by more than this part.
SPLIT_EVIDENCE, SPLIT_OFF = 1000.0, 0.1
#: Sizes of harm that a step may leave unexcluded under ``adaptive``: index of the first excluded bet.
LEVELS = 3
#: A typical stake on one alternative, for saying what would be visible now.
STAKE = 0.3
#: ln of the largest error ratio that is asked for.
LARGEST = log(1e4)


def answer_of(
    plan: Plan, bets: Bets, book: Ledger, left: float | None, stakes: list[Stake] | None = None
) -> Answer:
    """Say what a book says, ``left`` seconds before somebody wants to know; ``stakes`` if they are known."""
    needed = plan.candidates / plan.budget
    stakes = book.stakes_of(plan, bets) if stakes is None else stakes
    total = sum(value for _, _, value in stakes)
    checks = tuple(_checks(plan, bets, book, stakes, blamed(plan, bets, book, stakes, needed), left))
    slices = _slices(book, bets, stakes)
    return Answer(
        finding=_overall(checks),
        sentence=words.overall(checks, slices),
        evidence=min(total, 1e12),
        needed=needed,
        budget_used=min(1.0, max(0.0, (book.peak - 1.0) / (needed - 1.0))),
        checks=checks,
        slices=slices,
        warnings=tuple(_warnings(book)),
        requests=book.whole.tally.canary + book.alone.canary,
        step_requests=book.step_requests,
        stable_seen=book.stable_seen,
        canary_seen=book.canary_seen,
        excluded=max((_excluded(book, plan, check) for check in _compared(plan)), default=0),
    )


def _overall(checks: tuple[CheckAnswer, ...]) -> Finding:
    for finding in (Finding.HARM, Finding.CANNOT_TELL, Finding.NOT_YET):
        if any(c.finding is finding for c in checks):
            return finding
    return Finding.SAFE if checks else Finding.NOT_YET


def _compared(plan: Plan) -> list[str]:
    return [c for c, wanted in (("errors", plan.errors), ("latency", plan.latency)) if wanted]


def _checks(
    plan: Plan,
    bets: Bets,
    book: Ledger,
    stakes: list[Stake],
    blame: Stake | None,
    left: float | None,
) -> list[CheckAnswer]:
    evidence: dict[str, float] = {}
    for check, _, value in stakes:
        evidence[check] = evidence.get(check, 0.0) + value
    guilty, stratum, _ = blame or ("", "", 0.0)
    found = []
    for check in _compared(plan):
        make = _errors if check == "errors" else _latency
        values = make(plan, bets, book, stratum if check == guilty else None)
        found.append(_timed(values, evidence.get(check, 0.0), book, left))
    if book.watch.windows:
        found.append(_alone(plan, book, evidence.get("alone", 0.0), guilty == "alone"))
    for harm in plan.metrics:
        values = _metric(plan, harm, book, guilty == harm.name)
        found.append(_timed(values, evidence.get(harm.name, 0.0), book, left))
    return [changed(a, sentence=words.check(a, plan, book, bets)) for a in found]


#: The fields of a check's answer on their way.
Values = dict[str, Any]


def _timed(values: Values, evidence: float, book: Ledger, left: float | None) -> CheckAnswer:
    """Add the seconds, and say so when they are more than are left."""
    needed, finding, seconds = values.get("requests_needed"), values["finding"], None
    if needed is not None and finding is Finding.NOT_YET:
        seconds = needed / book.rate if book.rate > 0 else None
        if left is not None and (seconds is None or seconds > left):
            finding = Finding.CANNOT_TELL
    values.update(finding=finding, seconds_needed=seconds, evidence=evidence)
    return CheckAnswer(**values)


def _errors(plan: Plan, bets: Bets, book: Ledger, guilty: str | None) -> Values:
    """Return the answer on errors. ``guilty``: the stratum that is to blame (``""``: all), if one is."""
    harm = plan.errors or ErrorHarm()
    group = book.group(guilty or "")
    tally = group.tally if guilty is None else relevant(group, "errors", bets)
    temper = book.dispersion.factor
    rate = (book.recorded.errors + 0.5) / (book.recorded.requests + 1.0)
    per_request = rate * (harm.find - 1.0 - log(harm.find)) * _independent(tally) / temper
    return Values(
        check="errors",
        finding=_finding(group, "errors", plan, book, guilty is not None),
        sentence="",
        stratum=guilty or "",
        canary=tally.canary_errors / tally.canary if tally.canary else None,
        stable=tally.stable_errors / tally.stable if tally.stable else None,
        unit="ratio",
        interval=tally.error_ratio(1.0 - plan.confidence, temper),
        requests_needed=_needed(group, "errors", plan, book, per_request),
        smallest=_smallest_ratio(tally, rate * _independent(tally) / temper, _nats(plan, book, "errors")),
    )


def _latency(plan: Plan, bets: Bets, book: Ledger, guilty: str | None) -> Values:
    harm = plan.latency or LatencyHarm()
    group = book.group(guilty or "")
    tally = group.tally if guilty is None else relevant(group, "latency", bets)
    interval = tally.latency_ratio(1.0 - plan.confidence)
    spread = tally.variance / tally.shift_weight if tally.shift_weight else 0.0
    per_request = log(1.0 + harm.find) ** 2 / (2.0 * spread) * _independent(tally) if spread else 0.0
    stable = _typical(book, guilty or "")
    nats = _nats(plan, book, "latency")
    return Values(
        check="latency",
        finding=_finding(group, "latency", plan, book, guilty is not None),
        sentence="",
        stratum=guilty or "",
        canary=stable * interval.estimate if stable and interval else None,
        stable=stable,
        unit="ms",
        interval=interval,
        requests_needed=_needed(group, "latency", plan, book, per_request) if per_request else None,
        smallest=exp(sqrt(2.0 * spread * nats / tally.shift_weight)) if tally.shift_weight else None,
    )


def _alone(plan: Plan, book: Ledger, evidence: float, harmful: bool) -> CheckAnswer:
    tally = book.alone
    finding = Finding.HARM if harmful else Finding.SAFE
    if not harmful and book.step_requests < plan.min_requests:
        finding = Finding.NOT_YET
    return CheckAnswer(
        check="alone",
        finding=finding,
        sentence="",
        canary=tally.canary_errors / tally.canary if tally.canary else None,
        stable=book.recorded.errors / book.recorded.requests if book.recorded.requests else None,
        unit="ratio",
        evidence=evidence,
    )


def _metric(plan: Plan, harm: MetricHarm, book: Ledger, harmful: bool) -> Values:
    bet = book.metrics.get(harm.name)
    if bet is None or not bet.windows:
        return Values(check=harm.name, finding=Finding.NOT_YET, sentence="")
    width = bet.half_width(1.0 - plan.confidence)
    finding = Finding.HARM if harmful else Finding.SAFE if bet.mean + width <= 0 else Finding.NOT_YET
    canary, stable = bet.canary / bet.windows, bet.stable / bet.windows
    gap = canary - stable
    return Values(
        check=harm.name,
        finding=finding,
        sentence="",
        canary=canary,
        stable=stable,
        interval=Interval(estimate=gap, low=gap - width, high=gap + width) if width < inf else None,
    )


def _finding(group: Group, check: str, plan: Plan, book: Ledger, harmful: bool) -> Finding:
    if harmful:
        return Finding.HARM
    sure = group.capital(check).early[0] <= log(1.0 - plan.confidence)
    return Finding.SAFE if sure and book.step_requests >= plan.min_requests else Finding.NOT_YET


def _excluded(book: Ledger, plan: Plan, check: str) -> int:
    early = book.whole.capital(check).early
    bound = log(1.0 - plan.confidence)
    return next((k for k in range(LEVELS) if early[k] <= bound), LEVELS)


def _independent(tally: Tally) -> float:
    """Return the part of a canary request's news that is left when stable has to be measured too."""
    both = tally.canary + tally.stable
    return tally.stable / both if both else 1.0


def _needed(group: Group, check: str, plan: Plan, book: Ledger, per_request: float) -> int | None:
    """Return the canary requests until harm of the size worth finding is excluded, if there is none."""
    few = max(0, plan.min_requests - book.step_requests)
    if per_request <= 0:
        return None
    nats = group.capital(check).early[0] - log(1.0 - plan.confidence)
    return max(few, round(max(0.0, nats) / per_request))


def _nats(plan: Plan, book: Ledger, check: str) -> float:
    """Return the log likelihood ratio at which a typical bet calls harm."""
    everywhere = EVERYWHERE if book.parts else 1.0
    return log(plan.candidates / plan.budget / (shares(plan)[check] * everywhere * EARLY * STAKE))


def _smallest_ratio(tally: Tally, rate: float, nats: float) -> float | None:
    """Return the error ratio whose expected evidence over the requests so far is ``nats``; ``None``: none."""
    if not tally.canary or rate <= 0:
        return None
    expected = tally.canary * rate
    low, high = 0.0, LARGEST
    if expected * (exp(high) * high - exp(high) + 1.0) < nats:
        return None
    for _ in range(20):
        middle = (low + high) / 2
        r = exp(middle)
        # An expected error gives r ln r - r + 1 nats. Called rather than written out, it is twice as slow.
        if expected * (r * middle - r + 1.0) < nats:
            low = middle
        else:
            high = middle
    return exp(high)


def _typical(book: Ledger, stratum: str) -> float | None:
    """Return stable's geometric mean latency in ms in a stratum (``""``: over all), or ``None``."""
    total = weight = 0.0
    one = book.references.get(stratum) if stratum else None
    for reference in [one] if one else book.references.values():
        count = sum(reference.counts)
        total += sum(map(mul, reference.counts, reference.middles))
        weight += count
    return exp(total / weight) if weight else None


def _slices(book: Ledger, bets: Bets, stakes: list[Stake]) -> tuple[Slice, ...]:
    """Return the strata that show harm, worst first."""
    found = []
    for check, stratum, _ in stakes:
        if not stratum:
            continue
        evidence = book.stakes[stratum] * book.parts[stratum].value(check, bets)
        if evidence < NAMED:
            continue
        tally = book.parts[stratum].tally
        ratio = tally.error_ratio(0.05, 1.0) if check == "errors" else tally.latency_ratio(0.05)
        found.append(
            Slice(
                stratum=stratum,
                check=check,
                evidence=min(evidence, 1e12),
                canary=tally.canary_errors / tally.canary if check == "errors" and tally.canary else None,
                stable=tally.stable_errors / tally.stable if check == "errors" and tally.stable else None,
                ratio=ratio.estimate if ratio else None,
            )
        )
    return tuple(sorted(found, key=lambda s: -s.evidence))


def _warnings(book: Ledger) -> list[str]:
    found = []
    if book.split.beyond(SPLIT_OFF) >= SPLIT_EVIDENCE:
        off = book.split.mean
        more = "more" if off > 0 else "less"
        found.append(
            f"the canary gets {abs(off) * 100:.0f} % {more} traffic than configured: "
            "check the split before trusting the comparison"
        )
    if book.one_sided >= 6 and book.one_sided > book.windows / 2:
        found.append(f"{book.one_sided} of {book.windows} windows had requests on one side only")
    return found
