"""Past releases: finding where two versions answered, and replaying them as they were."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from serinus.core.analysis.checks import Policy
from serinus.core.analysis.evidence import Side, Window
from serinus.core.bucketing import BUCKETS
from serinus.core.lifecycle import moves
from serinus.core.model import Deployment
from serinus.sim.recorded import Record, Slice
from serinus.sim.replay import Outcome, Replay, rollout

__all__ = ["Release", "Replayed", "find_releases", "replay_release"]

#: A version that answers less than this share of requests is no canary: a probe, or a straggler.
LEAST_SHARE = 0.002
#: An overlap in fewer windows or canary requests is too short to judge; it is listed, not replayed.
LEAST_WINDOWS, LEAST_REQUESTS = 5, 100
#: The replayed share follows the recorded one once it has moved this much, relative and in basis points.
MOVED_RATIO, MOVED_BP = 0.5, 150


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """Two versions side by side."""

    version: str
    stable: str
    #: Windows from the first with both to the last.
    first: int
    last: int
    #: ``promoted`` or ``rolled_back`` by what was left, ``open`` when the record ends before.
    ended: str
    requests: int
    errors: int

    @property
    def too_short(self) -> bool:
        """Tell whether nothing could be judged."""
        return self.last - self.first < LEAST_WINDOWS or self.requests < LEAST_REQUESTS


@dataclass(frozen=True, kw_only=True, slots=True)
class Replayed:
    """A release under one policy; without an outcome it was too short."""

    release: Release
    outcome: Outcome | None


def find_releases(record: Record) -> list[Release]:
    """Return every stretch in which a version joins another, in order of time."""
    versions = [v for v in record.versions() if v]
    served = {v: record.slice(0, record.length, version=v).counts[:, :, :2].sum(axis=1) for v in versions}
    total = sum((s[:, 0] for s in served.values()), np.zeros(record.length, dtype=np.int64))
    found = []
    for at, version in enumerate(versions):
        here = served[version][:, 0] > LEAST_SHARE * total
        if not here.any():
            continue
        first = int(np.argmax(here))
        before = [v for v in versions[:at] if served[v][max(0, first - 10) : first + 1, 0].sum()]
        if before:
            stable = max(before, key=lambda v: int(served[v][max(0, first - 10) : first + 1, 0].sum()))
            found.append(_release(version, stable, first, served, total))
    return sorted(found, key=lambda r: r.first)


def _release(
    version: str, stable: str, first: int, served: dict[str, NDArray[np.int64]], total: NDArray[np.int64]
) -> Release:
    mine, theirs = served[version], served[stable]
    both = (mine[:, 0] > LEAST_SHARE * total) & (theirs[:, 0] > 0)
    # A gap in the record does not end a release: only one side going on alone does.
    alone = np.nonzero((total[first:] > 0) & ~both[first:])[0]
    # A single window may miss a small canary; three in a row do not.
    ends = [int(i) for i in alone if not both[first + i : first + i + 3].any()]
    last = first + ends[0] if ends else len(total)
    ended = "open" if not ends else "promoted" if mine[last, 0] > theirs[last, 0] else "rolled_back"
    requests, errors = mine[first:last].sum(axis=0).tolist()
    return Release(
        version=version,
        stable=stable,
        first=first,
        last=last,
        ended=ended,
        requests=requests,
        errors=errors,
    )


@dataclass(kw_only=True)
class _Past:
    """A release's traffic as it was."""

    record: Record
    release: Release
    canary: Slice = field(init=False)
    stable: Slice = field(init=False)

    def __post_init__(self) -> None:
        """Take both versions' windows."""
        r = self.release
        self.canary = self.record.slice(r.first, r.last, version=r.version)
        self.stable = self.record.slice(r.first, r.last, version=r.stable)

    def serve(self, index: int, share_bp: int) -> list[Window]:  # noqa: ARG002 - the past had its own share
        """Return both sides' windows."""
        if index >= len(self.canary.counts):
            return []
        shape, start = self.record.shape, self.record.at(self.release.first + index)
        return [
            *shape.windows(Side.CANARY, start, self.canary.counts[index], self.canary.known[index]),
            *shape.windows(Side.STABLE, start, self.stable.counts[index], self.stable.known[index]),
        ]

    def share_bp(self, index: int) -> int:
        """Return the canary's share around a window, from 1 to 10,000."""
        part = slice(max(0, index - 2), index + 1)
        ours = int(self.canary.counts[part, :, 0].sum())
        theirs = int(self.stable.counts[part, :, 0].sum())
        return max(1, round(BUCKETS * ours / max(1, ours + theirs)))

    def steer(self, d: Deployment, now: datetime) -> Deployment:
        """Move the deployment's share to where the record had it."""
        index = int((now.timestamp() - self.record.at(self.release.first)) // self.record.shape.width) - 1
        share = self.share_bp(max(0, min(index, len(self.canary.counts) - 1)))
        moved = abs(share - d.traffic_bp)
        if moved < max(MOVED_BP, MOVED_RATIO * d.traffic_bp):
            return d
        # Everything below 100 % still has a stable side to compare with.
        return _unchecked(moves.shift(d, now, min(share, BUCKETS - 1)).next_state)


def _unchecked(d: Deployment) -> Deployment:
    """Return it without the judge's check of the split: which one was wanted is not recorded.

    A peak above the share says that units stay where they were, so that no exact split is due.
    """
    return replace(d, peak_bp=BUCKETS)


def replay_release(record: Record, policy: Policy, release: Release) -> Replayed:
    """Look at a past release as the monitor would have, until the record shows its end."""
    if release.too_short:
        return Replayed(release=release, outcome=None)
    past, width, start = _Past(record=record, release=release), record.shape.width, record.at(release.first)
    replay = Replay(
        deployment=_unchecked(rollout(policy, start, None, share_bp=min(past.share_bp(2), BUCKETS - 1))),
        serve=past.serve,
        start=start,
        width=width,
        limit=float((release.last - release.first) * width),
        steer=past.steer,
    )
    return Replayed(release=release, outcome=replay.run())
