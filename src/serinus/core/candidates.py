"""Several candidates beside one stable (A/B/n): which buckets are whose, and where each one stands.

Every candidate has a slot of its own: a range of buckets that is its for the whole rollout. The share
under test fills each slot from its beginning; what is left of it is stable's. So growing never moves a
unit from one candidate to another, and a candidate that is dropped gives its units to stable alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from serinus.core.analysis.sequential.answer import Answer
from serinus.core.analysis.verdict import Verdict
from serinus.core.breaker import CLOSED_BREAKER, OPEN, Breaker
from serinus.core.bucketing import BUCKETS

__all__ = [
    "Candidate",
    "Seat",
    "compared_share",
    "even_parts",
    "listed",
    "seats",
    "share_of",
    "slot_of",
    "version_at",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One of several versions under test: what a decision reads and changes of it alone."""

    version: str
    #: Its part of the traffic under test, in basis points; those of all candidates add up to 10,000.
    part_bp: int
    verdicts: tuple[Verdict, ...] = ()
    #: Its sequential judge: state (opaque), the time up to which it has seen, newest answer.
    judge: str = ""
    judged_until: float = 0.0
    answer: Answer | None = None
    breaker: Breaker = CLOSED_BREAKER
    #: Seconds of this step without a usable measurement of it.
    blind_seconds: float = 0.0
    #: Why it cannot be sent traffic, in words.
    down: str = ""
    #: Since when it is out, and why; ``None``: it is under test.
    dropped_at: datetime | None = None
    drop_reason: str = ""

    @property
    def live(self) -> bool:
        """Tell whether it is still under test."""
        return self.dropped_at is None


@dataclass(frozen=True, kw_only=True, slots=True)
class Seat:
    """A candidate's buckets: it has ``begin`` to ``end`` (not included) now, and its slot up to ``limit``."""

    version: str
    begin: int
    end: int
    limit: int


def share_of(part_bp: int, total_bp: int) -> int:
    """Return a candidate's buckets when ``total_bp`` of all are under test; never fewer when that grows."""
    return (2 * total_bp * part_bp + BUCKETS) // (2 * BUCKETS)


def seats(candidates: Sequence[Candidate], total_bp: int) -> Iterator[Seat]:
    """Return the seats in the order of their buckets; one who is out, or whose breaker is open, has none."""
    begin = 0
    for c in candidates:
        share = share_of(c.part_bp, total_bp) if c.live and c.breaker.state != OPEN else 0
        yield Seat(version=c.version, begin=begin, end=begin + share, limit=begin + c.part_bp)
        begin += c.part_bp


def compared_share(candidates: Sequence[Candidate], version: str, total_bp: int) -> float:
    """Return one candidate's expected part, 0 to 1, of the requests to it and to stable."""
    taken = {s.version: s.end - s.begin for s in seats(candidates, total_bp)}
    own = taken[version]
    return own / max(1, own + BUCKETS - sum(taken.values()))


def version_at(candidates: Sequence[Candidate], bucket: int) -> str:
    """Return whose slot a bucket lies in."""
    return slot_of(candidates, bucket)[0].version


def slot_of(candidates: Sequence[Candidate], bucket: int) -> tuple[Candidate, int]:
    """Return whose slot a bucket lies in, out or not, and how many buckets from its beginning."""
    slots = zip(candidates, seats(candidates, 0), strict=True)
    return next((c, bucket - slot.begin) for c, slot in slots if bucket < slot.limit)


def even_parts(count: int) -> tuple[int, ...]:
    """Return equal parts that add up to all buckets.

    >>> even_parts(3)
    (3334, 3333, 3333)
    """
    whole, rest = divmod(BUCKETS, count)
    return tuple(whole + (at < rest) for at in range(count))


def listed(versions: Sequence[str]) -> str:
    """Return versions as a clause.

    >>> listed(["v2", "v3", "v4"])
    'v2, v3 and v4'
    """
    return " and ".join(filter(None, (", ".join(versions[:-1]), *versions[-1:])))
