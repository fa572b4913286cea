"""Which of several candidates is best, said no louder than the numbers allow.

Each candidate is compared with stable, never with another one directly. One is **surely better** than
another when on some check its whole interval lies on the good side of the other's, and on no check on
the bad side. The intervals hold at every look and for all candidates together (the plan's confidence is
shared by them), so what is said here holds with that confidence too. The best one is surely better than
every other; without such a one those that nobody surely beats are tied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from serinus.core.analysis.sequential.answer import CheckAnswer
from serinus.core.analysis.sequential.estimate import Interval
from serinus.core.analysis.sequential.plan import Plan
from serinus.core.candidates import Candidate, listed

__all__ = ["Standing", "standing"]


#: A ratio's upper bound from which on it is no news.
WIDE = 100.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How the candidates stand to one another."""

    #: The best one's version; empty: it is a tie, or nobody is left.
    best: str
    #: Those that nobody surely beats, as they were named.
    leading: tuple[str, ...]
    #: In one sentence, with the intervals.
    sentence: str


def standing(candidates: Sequence[Candidate], plan: Plan | None) -> Standing:
    """Return which of the candidates that are not out is best."""
    live = [c for c in candidates if c.live]
    if not live:
        return Standing(best="", leading=(), sentence="No candidate is left")
    if len(live) == 1:
        version = live[0].version
        return Standing(best=version, leading=(version,), sentence=f"{version} is the only candidate left")
    leading = [c for c in live if not any(_beats(o, c, plan) for o in live)]
    versions = tuple(c.version for c in leading)
    best = next((c for c in leading if all(_beats(c, o, plan) for o in live if o is not c)), None)
    if best is not None:
        why = "; ".join(_why(best, o, plan) for o in live if o is not best)
        return Standing(best=best.version, leading=versions, sentence=f"{best.version} is best: {why}")
    numbers = _numbers(leading)
    sentence = f"{listed(versions)} cannot be told apart{f' ({numbers})' if numbers else ''}"
    return Standing(best="", leading=versions, sentence=sentence)


def _beats(one: Candidate, other: Candidate, plan: Plan | None) -> bool:
    signs = [sign for _, sign in _differences(one, other, plan)]
    return any(sign > 0 for sign in signs) and not any(sign < 0 for sign in signs)


def _differences(one: Candidate, other: Candidate, plan: Plan | None) -> list[tuple[str, int]]:
    """Return each check with 1 where ``one`` is surely better, -1 where it is surely worse, else 0."""
    mine, theirs = _intervals(one), _intervals(other)
    higher = {m.name for m in plan.metrics if m.higher_is_better} if plan else set()
    found = []
    for check in mine.keys() & theirs.keys():
        low, high = mine[check], theirs[check]
        sign = (low.high < high.low) - (low.low > high.high)
        found.append((check, -sign if check in higher else sign))
    return sorted(found)


def _why(one: Candidate, other: Candidate, plan: Plan | None) -> str:
    better = [check for check, sign in _differences(one, other, plan) if sign > 0]
    mine, theirs = _answers(one), _answers(other)
    said = (f"{check} {_text(mine[check])} against {_text(theirs[check])}" for check in better)
    return f"surely better than {other.version} ({', '.join(said)}, each compared with stable)"


def _numbers(candidates: Sequence[Candidate]) -> str:
    """Return the intervals on the checks that all have, side by side."""
    answers = [_answers(c) for c in candidates]
    shared = [check for check in answers[0] if all(check in a and _is_bounded(a[check]) for a in answers)]
    return "; ".join(f"{check} {' and '.join(_text(a[check]) for a in answers)}" for check in shared)


def _answers(c: Candidate) -> Mapping[str, CheckAnswer]:
    # Nobody is alone at 100 % during a test, so that check says nothing here.
    checks = c.answer.checks if c.answer else ()
    return {a.check: a for a in checks if a.interval is not None and a.check != "alone"}


def _is_bounded(a: CheckAnswer) -> bool:
    """Tell whether the interval says anything: without any error on one side it reaches to the sky."""
    return a.interval is not None and a.interval.high < WIDE


def _intervals(c: Candidate) -> dict[str, Interval]:
    return {name: a.interval for name, a in _answers(c).items() if a.interval is not None}


def _text(a: CheckAnswer) -> str:
    """Return an estimate with its bounds: a ratio to stable's, or for a metric the difference from it."""
    assert a.interval is not None
    i = a.interval
    if a.unit:
        return f"{i.estimate:.2f} × ({i.low:.2f} to {i.high:.2f})"
    return f"{i.estimate:+.3g} ({i.low:+.3g} to {i.high:+.3g})"
