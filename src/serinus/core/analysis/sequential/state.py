"""The judge's memory as compact JSON, exact: a replay from it is the same bit for bit."""

from __future__ import annotations

import json
from dataclasses import fields
from operator import attrgetter
from typing import Any

from serinus.core.analysis.sequential.buckets import edges_of, ladder
from serinus.core.analysis.sequential.capital import Capital
from serinus.core.analysis.sequential.dispersion import Dispersion
from serinus.core.analysis.sequential.estimate import Tally
from serinus.core.analysis.sequential.group import Group
from serinus.core.analysis.sequential.latency import Reference
from serinus.core.analysis.sequential.ledger import Ledger
from serinus.core.analysis.sequential.means import MeanBet
from serinus.core.analysis.sequential.plan import Bets
from serinus.core.analysis.sequential.watch import Recorded, Watch

__all__ = ["dump", "load"]

#: Changes when an older state would be read wrongly.
VERSION = 4

_PLAIN = (
    "stakes", "handed", "peak", "windows", "events", "first", "last", "step", "step_start", "step_requests",
    "warm_mean", "warm_weight", "lately", "settling", "rate", "one_sided", "stable_seen", "canary_seen",
)  # fmt: skip
_VALUES = {
    kind: attrgetter(*(f.name for f in fields(kind)))
    for kind in (Capital, Dispersion, Recorded, Tally, MeanBet)
}


def dump(book: Ledger) -> str:
    """Return a book as JSON."""
    kept: dict[str, Any] = {"v": VERSION, **{name: getattr(book, name) for name in _PLAIN}}
    kept["whole"] = _group(book.whole)
    kept["parts"] = {name: _group(group) for name, group in book.parts.items()}
    kept["references"] = {name: _reference(r) for name, r in book.references.items()}
    kept["dispersion"] = _row(book.dispersion)
    kept["recorded"] = _row(book.recorded)
    kept["watch"] = [_row(book.watch.errors), _row(book.watch.latency), book.watch.windows]
    kept["alone"] = _row(book.alone)
    kept["metrics"] = {name: _row(bet) for name, bet in book.metrics.items()}
    kept["split"] = _row(book.split)
    return json.dumps(kept, separators=(",", ":"), allow_nan=False)


def load(text: str, bets: Bets) -> Ledger:
    """Read what ``dump`` wrote.

    Raises:
        ValueError: It is no state, or one of another version or of another plan's bets.
    """
    try:
        kept = json.loads(text)
        if kept["v"] != VERSION:
            raise ValueError(f"the judge's state has version {kept['v']}, this is {VERSION}")
        book = _book(kept)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"this is no state of the judge: {error!r}") from None
    if len(book.whole.errors.early) != len(bets.ratios) or len(book.whole.latency.early) != len(bets.harms):
        raise ValueError("the judge's state belongs to another plan")
    return book


def _book(kept: dict[str, Any]) -> Ledger:
    return Ledger(
        **{name: kept[name] for name in _PLAIN},
        whole=_group_of(kept["whole"]),
        parts={name: _group_of(row) for name, row in kept["parts"].items()},
        references={name: _reference_of(row) for name, row in kept["references"].items()},
        dispersion=Dispersion(*kept["dispersion"]),
        recorded=Recorded(*kept["recorded"]),
        watch=Watch(Capital(*kept["watch"][0]), Capital(*kept["watch"][1]), kept["watch"][2]),
        alone=Tally(*kept["alone"]),
        metrics={name: MeanBet(*row) for name, row in kept["metrics"].items()},
        split=MeanBet(*kept["split"]),
    )


def _row(value: Any) -> list[Any]:
    return list(_VALUES[type(value)](value))


def _reference(r: Reference) -> list[Any]:
    """Edges that follow from the first are not written out: they would be half of the state."""
    edges = list(r.grid) if r.grid else [r.edges[0], len(r.edges)] if r.step else list(r.edges)
    return ["grid" if r.grid else r.step, edges, r.counts, list(r.shape)]


def _reference_of(row: list[Any]) -> Reference:
    step, edges, counts, shape = row
    if step == "grid":
        return Reference(edges_of(tuple(edges)), counts, tuple(shape), grid=tuple(edges))
    found = ladder(edges[0], step, edges[1]) if step else tuple(edges)
    return Reference(found, counts, tuple(shape), step)


def _group(group: Group) -> list[Any]:
    return [_row(group.errors), _row(group.latency), _row(group.tally), _row(group.since)]


def _group_of(row: list[Any]) -> Group:
    errors, latency, tally, since = row
    return Group(Capital(*errors), Capital(*latency), Tally(*tally), Tally(*since))
