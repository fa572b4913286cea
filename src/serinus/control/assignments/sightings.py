"""Taking in where watched units were served: what is news, under which share, and how much of it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from serinus.control.snapshot import Snapshot
from serinus.core.analysis.flips import RECENT_SECONDS, Sighting
from serinus.core.bucketing import BUCKETS, is_unit_hash
from serinus.core.errors import InvalidInput
from serinus.core.model import Deployment, Status
from serinus.ports.store import Transaction
from serinus.sdk.watch import MAX_WATCHED, Watch

__all__ = ["SightingsInput", "Watching", "lately"]

#: A fact that is told again and again is stored again after so long: well within what counts as recent.
AGAIN_SECONDS = 300.0
#: A share takes seconds to reach every process. Who follows another one for longer does not follow.
BEHIND_SECONDS = 60.0
#: Deployments whose facts are remembered; of others all is stored again.
MAX_DEPLOYMENTS = 1_000
#: Sightings are looked up this often: a rollout is not stopped for them.
LOOK_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class SightingsInput:
    """Units that a process has sent to a version, as the hash has it under the share that it follows."""

    service: str
    deployment: str
    #: A version under test; empty for stable.
    version: str
    share_bp: int
    #: 16 hex digits each.
    units: tuple[str, ...]

    def check(self, where: str) -> None:
        """Refuse what no process can have seen.

        Raises:
            InvalidInput: A share is none, or a unit is no hash.
        """
        if not 0 < self.share_bp < BUCKETS:
            raise InvalidInput(
                f"{where}.share_bp is {self.share_bp}, not within 1 to {BUCKETS - 1}.",
                field=f"{where}.share_bp",
                next_step="Send nothing of units while everybody is on one side.",
            )
        if not all(is_unit_hash(unit) for unit in self.units):
            raise InvalidInput(
                f"{where}.units: a unit is a hash of 16 hex digits in lower case.", field=f"{where}.units"
            )


class Watching:
    """What this replica knows of watched units: a fact is stored once in a while, not each time."""

    def __init__(self) -> None:
        """Start with nothing known: the store takes a fact twice without harm."""
        self._watches: OrderedDict[str, Watch] = OrderedDict()
        #: deployment → the shares in force, and since when (monotonic seconds) as far as seen here
        self._in_force: dict[str, tuple[Mapping[str, int], float]] = {}

    def news(
        self, given: Iterable[SightingsInput], snapshot: Snapshot, monotonic: float
    ) -> dict[str, list[Sighting]]:
        """Return by deployment what is to be stored."""
        touched = set()
        for one in given:
            shares = snapshot.shares.get(one.deployment)
            if shares is None or (one.version and one.version not in shares):
                continue  # it is over, or was never under test
            touched.add(one.deployment)
            share, watch = self._share(one, shares, monotonic), self._watch(one.deployment)
            for unit in one.units:
                number = int(unit, 16)
                if number < watch.limit:
                    watch.add(number, None, one.version, share)
        found = {deployment: self._watch(deployment).take(monotonic, AGAIN_SECONDS) for deployment in touched}
        return {
            deployment: [Sighting(unit=f"{u:016x}", version=version, share_bp=bp) for u, version, bp in fresh]
            for deployment, fresh in found.items()
            if fresh
        }

    def forget(self, deployments: Iterable[str]) -> None:
        """Take everything for news again: it was not stored."""
        for deployment in deployments:
            self._watches.pop(deployment, None)

    def _watch(self, deployment: str) -> Watch:
        watch = self._watches.setdefault(deployment, Watch(deployment))
        self._watches.move_to_end(deployment)
        while len(self._watches) > MAX_DEPLOYMENTS:
            gone, _ = self._watches.popitem(last=False)
            self._in_force.pop(gone, None)
        return watch

    def _share(self, one: SightingsInput, shares: Mapping[str, int], monotonic: float) -> int:
        """Return the share that the process follows, or should: nothing explains one that is long gone."""
        before, since = self._in_force.get(one.deployment, ({}, monotonic))
        if before != shares:
            since = monotonic
            self._in_force[one.deployment] = (shares, since)
        if one.version:
            present = shares[one.version]
        elif len(shares) == 1:
            (present,) = shares.values()
        else:
            return one.share_bp  # of several candidates: nobody knows whose slot it is in
        return present if monotonic - since >= BEHIND_SECONDS else one.share_bp


async def lately(tx: Transaction, d: Deployment, now: float) -> tuple[Sighting, ...] | None:
    """Return what was seen of a rollout's units of late; ``None`` while that is not due."""
    if d.status is not Status.CANARY or d.arm or (d.flips and now - d.flips.at < LOOK_SECONDS):
        return None
    return tuple(await tx.sightings.of(d.tenant_id, d.id, now - RECENT_SECONDS, MAX_WATCHED))
