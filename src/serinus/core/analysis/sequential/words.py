"""The judge's sentences: what an on-call person reads at 3 am, numbers first."""

from __future__ import annotations

from serinus.core.analysis.sequential.answer import CheckAnswer, Slice
from serinus.core.analysis.sequential.ledger import Ledger
from serinus.core.analysis.sequential.plan import Bets, Finding, Plan

__all__ = ["check", "duration", "overall", "times"]


def overall(checks: tuple[CheckAnswer, ...], slices: tuple[Slice, ...]) -> str:
    """Return the sentence for the whole rollout."""
    for finding in (Finding.HARM, Finding.CANNOT_TELL, Finding.NOT_YET):
        bad = [c.sentence for c in checks if c.finding is finding]
        if bad:
            where, named = "", any(c.stratum for c in checks)
            if finding is Finding.HARM and slices and not named:
                where = f" Worst in {slices[0].stratum}."
            return "; ".join(bad) + "." + where
    return "; ".join(c.sentence for c in checks) + "." if checks else "Nothing to compare yet."


def check(answer: CheckAnswer, plan: Plan, book: Ledger, bets: Bets) -> str:
    """Return one check's clause."""
    if answer.check == "errors":
        return _errors(answer, plan, book)
    if answer.check == "latency":
        return _latency(answer, plan, book, bets)
    if answer.check == "alone":
        return _alone(answer, plan, book)
    return _metric(answer)


def _errors(a: CheckAnswer, plan: Plan, book: Ledger) -> str:
    if not book.windows:
        return "errors: no window has closed yet"
    if a.canary is None or a.stable is None:
        return "errors: no requests on both sides yet"
    numbers = f"{_rate(a.canary)} at the canary against {_rate(a.stable)} at stable"
    if a.finding is Finding.HARM:
        low = f", surely more than {times(a.interval.low)}" if a.interval and a.interval.low > 1 else ""
        size = f" ({times(a.interval.estimate)}{low})" if a.interval and a.stable else ""
        return f"errors{_where(a)}: {numbers}{size}"
    find = plan.errors.find if plan.errors else 2.0
    if a.finding is Finding.SAFE:
        return f"errors: {numbers}; {times(find)} or more is excluded"
    return f"errors: {numbers}; {_wait(a, times(find))}"


def _latency(a: CheckAnswer, plan: Plan, book: Ledger, bets: Bets) -> str:
    if not book.windows:
        return "latency: no window has closed yet"
    if a.interval is None:
        since = book.last - book.step_start
        if since <= plan.warm_up:
            return f"latency: warming up, {duration(max(0.0, plan.warm_up - since))} left"
        return "latency: nothing measured on both sides yet"
    numbers = (
        f"{_slower(a.interval.estimate)} than stable"
        if abs(a.interval.estimate - 1) >= 0.005
        else "as stable"
    )
    if a.finding is Finding.HARM:
        best, _ = book.group(a.stratum).best("latency", bets)
        harm = bets.harms[best]
        if harm.share < 1.0:
            return f"latency{_where(a)}: the slow end grew, as if {harm}; typically {numbers}"
        low = f", surely more than {(a.interval.low - 1) * 100:.1f} %" if a.interval.low > 1 else ""
        typical = f": {a.stable:.0f} → {a.canary:.0f} ms typically" if a.stable and a.canary else ""
        return f"latency{_where(a)}: {numbers}{low}{typical}"
    find = f"{plan.latency.find * 100:g} % slower" if plan.latency else "slower"
    if a.finding is Finding.SAFE:
        return f"latency: {numbers}; {find} or more is excluded"
    return f"latency: {numbers}; {_wait(a, find)}"


def _alone(a: CheckAnswer, plan: Plan, book: Ledger) -> str:
    if a.canary is None:
        return "at 100 %: no requests yet"
    numbers = f"{_rate(a.canary)} errors against {_rate(a.stable or 0.0)} recorded of stable"
    if a.finding is Finding.HARM:
        which = book.watch.blames()
        if which == "latency":
            return f"at 100 %: latency is beyond anything stable's recorded history explains; {numbers}"
        return f"at 100 %: {numbers}, more than {plan.drift:g} × drift explains"
    return f"at 100 %: {numbers}; within {plan.drift:g} × of what was recorded"


def _metric(a: CheckAnswer) -> str:
    if a.canary is None or a.stable is None:
        return f"{a.check}: not reported yet"
    numbers = f"{a.canary:.4g} at the canary against {a.stable:.4g} at stable"
    if a.finding is Finding.HARM:
        return f"{a.check}: {numbers}, worse than tolerated"
    if a.finding is Finding.SAFE:
        return f"{a.check}: {numbers}; worse than tolerated is excluded"
    return f"{a.check}: {numbers}; too early to tell"


def _where(a: CheckAnswer) -> str:
    return f" in {a.stratum}" if a.stratum else ""


def _wait(a: CheckAnswer, find: str) -> str:
    if a.requests_needed is None:
        return f"too little seen to exclude {find}"
    if a.requests_needed == 0:
        return f"{find} is nearly excluded"
    when = f", about {duration(a.seconds_needed)}" if a.seconds_needed is not None else ""
    need = f"{a.requests_needed:,} more canary requests{when} to exclude {find}"
    if a.finding is Finding.CANNOT_TELL:
        return f"cannot tell in time: {need}"
    return need


def _rate(value: float) -> str:
    return f"{value * 100:.3g} %"


def times(ratio: float) -> str:
    """Return a ratio as people say it."""
    return f"{ratio:.0f} ×" if ratio >= 10 else f"{ratio:.2g} ×"


def _slower(ratio: float) -> str:
    part = abs(ratio - 1) * 100
    size = f"{part:.0f} %" if part >= 10 else f"{part:.1f} %"
    if ratio >= 2:
        return f"{ratio:.1f} × slower"
    return f"{size} slower" if ratio > 1 else f"{size} faster"


def duration(seconds: float) -> str:
    """Return seconds as people say them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
