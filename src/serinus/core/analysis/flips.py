"""Whether units stick: a set-up check over the same few units, watched wherever they are served.

A unit's bucket never changes. On the canary at some share, its bucket lies below that share; on stable,
at or above it. So what was seen of a unit agrees with one hash exactly when every share at which it was
on stable is smaller than every share at which it was on the canary. That needs no clock and no order:
growing and shrinking explain themselves, late news and news that comes twice change nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from serinus.core.bucketing import BUCKETS

__all__ = ["RECENT_SECONDS", "TOLERATED", "Flips", "Sighting", "flips_of"]

#: A side's units that may be seen on the other as well. What a process knows to be explained (breakers,
#: units by hand, units that stay) it does not report, so what is left is a few that were under way
#: while processes changed over. Two routers that disagree mix nearly all of the smaller side.
TOLERATED = 0.05
#: Fewer say nothing about a rollout: somebody's test, a key that several users share.
FEWEST = 3
#: What was seen longer ago is forgotten, so that a warning ends when its cause has ended.
RECENT_SECONDS = 900.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Sighting:
    """A unit was served by a version, as the hash has it under the share that the process followed."""

    #: 16 hex digits: a seeded hash of the unit's key, the same in every process.
    unit: str
    #: The candidate's name; empty for stable.
    version: str
    #: Buckets that the candidate has (several candidates: in the unit's slot), 0 to 10,000.
    share_bp: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Flips:
    """How many of the watched units were on more than one side without a reason."""

    #: When this was found, Unix seconds.
    at: float
    watched: int = 0
    flipped: int = 0
    #: Units seen on the side that has fewer of them: each that flips is one of them.
    fewer: int = 0
    #: What to tell the operator; empty while it is within what is normal.
    sentence: str = ""


def flips_of(sightings: Iterable[Sighting], at: float, tested: str, stable: str) -> Flips:
    """Find the units that did not stick.

    Args:
        sightings: What was seen lately, in any order; the same may come several times.
        at: Unix seconds.
        tested: What is under test, for people.
        stable: Stable's version, for people.
    """
    units: dict[str, _Seen] = {}
    for sighting in sightings:
        units.setdefault(sighting.unit, _Seen()).add(sighting)
    flipped = sum(seen.flipped for seen in units.values())
    on_stable = sum(seen.stable_at >= 0 for seen in units.values())
    on_canary = sum(bool(seen.versions) for seen in units.values())
    fewer = max(min(on_stable, on_canary), flipped)  # among several candidates a unit may flip without stable
    sentence = ""
    if flipped >= FEWEST and flipped > TOLERATED * fewer:
        where = tested if on_canary <= on_stable else stable
        sentence = _sentence(flipped, len(units), fewer, where)
    return Flips(at=at, watched=len(units), flipped=flipped, fewer=fewer, sentence=sentence)


def _sentence(flipped: int, watched: int, fewer: int, where: str) -> str:
    return (
        f"units do not stick: {flipped} of {watched} watched were served by more than one version "
        f"({flipped / fewer * 100:.0f} % of those on {where}; up to {TOLERATED * 100:g} % is normal), and no "
        "change of the split explains it. Users see both, and the comparison mixes them: bring every process "
        "to the present snapshot and the same SDK, then roll back and start again"
    )


class _Seen:
    """What was seen of one unit."""

    __slots__ = ("canary_at", "stable_at", "versions")

    def __init__(self) -> None:
        #: The highest share at which it was on stable, and the lowest at which it was on a candidate.
        self.stable_at, self.canary_at = -1, BUCKETS + 1
        self.versions: set[str] = set()

    def add(self, sighting: Sighting) -> None:
        if not sighting.version:
            self.stable_at = max(self.stable_at, sighting.share_bp)
            return
        self.canary_at = min(self.canary_at, sighting.share_bp)
        self.versions.add(sighting.version)

    @property
    def flipped(self) -> bool:
        return self.stable_at >= self.canary_at or len(self.versions) > 1
