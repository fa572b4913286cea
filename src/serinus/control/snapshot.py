"""The routing snapshot that SDKs follow: what each service of a tenant routes right now."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

from serinus.control.context import Context
from serinus.core import candidates
from serinus.core.breaker import FAILURES, OPEN, OPEN_SECONDS
from serinus.core.errors import Unavailable
from serinus.core.lifecycle.moves import under_watch
from serinus.core.lifecycle.placing import PlacedOn
from serinus.core.model import Deployment, Service, ServiceKind, Status, Stickiness
from serinus.core.rules import RuleSettings, RuleVersion
from serinus.ports.assignments import BUCKETS_PER_SLICE, Slice
from serinus.ports.store import Transaction

__all__ = ["LoadedRuleset", "Snapshot", "Snapshots"]

log = logging.getLogger("serinus.snapshot")

#: What a process says of a unit comes no later than this after the unit was reset.
LATE_SECONDS = 3600
#: A snapshot older than this is rebuilt even when nobody rang: another replica may have changed it.
FRESH_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedRuleset:
    """A ruleset with the versions that serve right now: stable's, and the canary's if one rolls out."""

    id: str
    name: str
    settings: RuleSettings
    versions: Mapping[str, RuleVersion]


class _Reported(Protocol):
    """Something that an SDK reports of a deployment."""

    @property
    def deployment(self) -> str:
        """The deployment's id."""
        ...

    @property
    def version(self) -> str:
        """Which version it is about; may be empty with one canary."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Outdated:
    """What processes may still say of units, and is not so any more: below these epochs."""

    everyone: int
    #: By hash; ``inf`` for units on a side by hand: nobody's report changes that.
    units: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """A tenant's routing, as sent. ``revision`` is a digest of the content, equal on all replicas."""

    revision: str
    body: str
    #: ids of running deployments → the name of their service
    running: dict[str, str]
    #: those of them that are promoted and still watched: everyone is on them, nobody is assigned
    watched: frozenset[str] = frozenset()
    #: those whose requests are counted by a metric source, not by SDKs
    elsewhere: frozenset[str] = frozenset()
    #: the books that their assignments are in
    books: Mapping[str, str] = field(default_factory=dict)
    #: those that have resets or units on a side by hand → what not to believe of their units
    outdated: Mapping[str, Outdated] = field(default_factory=dict)
    #: rulesets by name and by id
    rulesets: Mapping[str, LoadedRuleset] = field(default_factory=dict)
    #: deployments with several candidates → the candidates, in their order
    candidates: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: canaries → how many buckets each version under test has
    shares: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def arm(self, reported: _Reported) -> tuple[str, int]:
        """Return whose evidence a report is: the deployment's, and which candidate's of it.

        Stable's is the same for all candidates, and what names none of them is the first one's.
        """
        versions = self.candidates.get(reported.deployment, ())
        known = reported.version in versions
        return reported.deployment, versions.index(reported.version) if known else 0

    def only(self, names: frozenset[str]) -> Snapshot:
        """Return the part that concerns services of these names."""
        services = json.loads(self.body)["services"]
        revision, body = _written({name: entry for name, entry in services.items() if name in names})
        return Snapshot(
            revision=revision,
            body=body,
            running={d: name for d, name in self.running.items() if name in names},
            watched=self.watched,
            elsewhere=self.elsewhere,
            books=self.books,
            outdated=self.outdated,
            rulesets={key: rules for key, rules in self.rulesets.items() if rules.name in names},
            candidates=self.candidates,
            shares=self.shares,
        )

    def keeps(self, deployment_id: str, unit_hash: str, epoch: int) -> bool:
        """Tell whether a unit seen on the canary at ``epoch`` is to be kept there."""
        if deployment_id not in self.books:
            return False
        outdated = self.outdated.get(deployment_id)
        return outdated is None or epoch >= outdated.units.get(unit_hash, outdated.everyone)


class Snapshots:
    """The newest snapshot per tenant, built at most once per change."""

    def __init__(self, context: Context) -> None:
        """Start empty."""
        self._context = context
        self._kept: dict[str, tuple[Snapshot, int, float]] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._rules = _RuleShelf()
        self._units = _UnitShelf(context)
        self._parts: dict[tuple[str, frozenset[str]], tuple[str, Snapshot]] = {}

    async def part(self, tenant_id: str, services: frozenset[str]) -> Snapshot:
        """Return what the tenant's snapshot says of services of these names; none: the whole."""
        whole = await self.get(tenant_id)
        if not services:
            return whole
        revision, part = self._parts.get((tenant_id, services), ("", whole))
        if revision != whole.revision:
            part = whole.only(services)
            self._parts[tenant_id, services] = (whole.revision, part)
        return part

    async def get(self, tenant_id: str) -> Snapshot:
        """Return the tenant's snapshot, at most half a second old."""
        fresh = self._fresh(tenant_id)
        if fresh:
            return fresh
        async with self._locks.setdefault(tenant_id, asyncio.Lock()):
            fresh = self._fresh(tenant_id)
            if fresh:
                return fresh
            rung = self._context.bell.count(tenant_id)
            async with self._context.store.begin(write=False) as tx:
                snapshot = await _build(tx, tenant_id, self._rules, self._units)
            self._kept[tenant_id] = (snapshot, rung, self._context.clock.monotonic())
            return snapshot

    def _fresh(self, tenant_id: str) -> Snapshot | None:
        snapshot, rung, at = self._kept.get(tenant_id, (None, -1, 0.0))
        young = self._context.clock.monotonic() - at < FRESH_SECONDS
        return snapshot if rung == self._context.bell.count(tenant_id) and young else None


class _RuleShelf:
    """Versions of rulesets, kept because they never change."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], RuleVersion] = {}

    async def load(self, tx: Transaction, service: Service, versions: set[str]) -> LoadedRuleset:
        """Return the ruleset with those of ``versions`` that are stored; the others leave the shelf."""
        loaded: dict[str, RuleVersion] = {}
        for version in sorted(versions - {""}):
            rules = self._kept.get((service.id, version)) or await tx.rulesets.get(
                service.tenant_id, service.id, version
            )
            if rules:
                loaded[version] = rules
        for key in [k for k in self._kept if k[0] == service.id and k[1] not in loaded]:
            del self._kept[key]
        self._kept.update({(service.id, version): rules for version, rules in loaded.items()})
        return LoadedRuleset(id=service.id, name=service.name, settings=service.rules, versions=loaded)


class _UnitShelf:
    """Which units are not where the hash puts them: those by hand, and how to get the others."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._last: dict[str, Mapping[int, Slice]] = {}

    async def kept(self, tx: Transaction, d: Deployment) -> dict[str, int]:
        """Return slice → version of the units above the share that stay, however many they are."""
        try:
            found = await self._context.assignments(tx).slices(d.tenant_id, d.book)
        except Unavailable as problem:  # kept elsewhere: what else has changed must reach everybody
            log.warning("assignments away: %s", problem, extra={"action": "assignments.away"})
            found = self._last.get(d.book, {})
        self._last[d.book] = found
        # Several candidates have their buckets all over: a router asks only about those that no share has.
        first = 0 if d.contested else d.weight_bp // BUCKETS_PER_SLICE
        return {str(n): s.version for n, s in found.items() if n >= first and s.units > 0}

    async def placed(self, tx: Transaction, d: Deployment) -> tuple[dict[str, list[str]], Outdated | None]:
        """Return the units by hand per side, and what not to believe of units any more."""
        recent = self._context.clock.now() - timedelta(seconds=LATE_SECONDS)
        found = await tx.placements.of(d.tenant_id, d.id, resets_since=recent)
        sides = {side: sorted(p.unit_hash for p in found if p.side is side) for side in PlacedOn}
        del sides[PlacedOn.HASH]
        if not found and not d.reset_epoch:
            return {}, None
        units = {p.unit_hash: p.epoch if p.side is PlacedOn.HASH else math.inf for p in found}
        outdated = Outdated(everyone=d.all_reset_epoch, units=units)
        return {side.value: hashes for side, hashes in sides.items() if hashes}, outdated


async def _build(tx: Transaction, tenant_id: str, shelf: _RuleShelf, units: _UnitShelf) -> Snapshot:
    rulesets: dict[str, LoadedRuleset] = {}
    services: dict[str, Any] = {}
    running: dict[str, str] = {}
    watched: set[str] = set()
    elsewhere: set[str] = set()
    outdated: dict[str, Outdated] = {}
    books: dict[str, str] = {}
    several: dict[str, tuple[str, ...]] = {}
    shares: dict[str, Mapping[str, int]] = {}
    for service in await tx.services.all(tenant_id):
        current = await tx.deployments.current(tenant_id, service.id)
        canary = next((d for d in current if d.status is Status.CANARY), None)
        watched_here = None if canary else next((d for d in current if _watched(d, service)), None)
        services[service.name] = _entry(service, canary or watched_here)
        if canary:
            books[canary.id] = canary.book
            shares[canary.id] = _shares(canary)
            old = await _units(tx, units, canary, services[service.name]["deployment"])
            outdated |= {canary.id: old} if old else {}
        if service.kind is ServiceKind.RULESET:
            served = canary or watched_here
            named = {services[service.name]["stable"], *(_served(served) if served else ())}
            loaded = await shelf.load(tx, service, named)
            rulesets[service.name] = rulesets[service.id] = loaded
            if loaded.versions:
                services[service.name]["rules"] = _sent(loaded)
        for d in (canary, watched_here):
            if d:
                running[d.id] = service.name
                if d.candidates:
                    several[d.id] = tuple(c.version for c in d.candidates)
                if d.policy.requests:
                    elsewhere.add(d.id)
        if watched_here:
            watched.add(watched_here.id)
    revision, body = _written(services)
    return Snapshot(
        revision=revision,
        body=body,
        running=running,
        watched=frozenset(watched),
        elsewhere=frozenset(elsewhere),
        books=books,
        outdated=outdated,
        rulesets=rulesets,
        candidates=several,
        shares=shares,
    )


def _written(services: Mapping[str, Any]) -> tuple[str, str]:
    """Return the digest of what is routed, and the snapshot as it is sent."""
    content = json.dumps({"schema": 1, "services": services}, sort_keys=True, separators=(",", ":"))
    revision = hashlib.sha256(content.encode()).hexdigest()[:16]
    body = json.dumps(
        {"schema": 1, "revision": revision, "services": services}, sort_keys=True, separators=(",", ":")
    )
    return revision, body


def _sent(loaded: LoadedRuleset) -> dict[str, Any]:
    """Return the rules as SDKs get them, to run them in process."""
    return {
        version: {"engine": rules.engine, "digest": rules.digest, "source": rules.source}
        for version, rules in loaded.versions.items()
    }


def _served(d: Deployment) -> list[str]:
    """Return the versions of a deployment that may answer."""
    return [c.version for c in d.candidates if c.live] if d.contested else [d.version]


def _shares(d: Deployment) -> Mapping[str, int]:
    if not d.contested:
        return {d.version: d.weight_bp}
    return {seat.version: seat.end - seat.begin for seat in candidates.seats(d.candidates, d.weight_bp)}


def _watched(d: Deployment, service: Service) -> bool:
    return d.version == service.stable_version and under_watch(d)


def _entry(service: Service, d: Deployment | None) -> dict[str, Any]:
    if d is None:
        return {"stable": service.stable_version, "deployment": None}
    # Units do not stay on a canary that is going back, or its share could not shrink.
    stickiness = Stickiness.HASH if d.going_back else d.strategy.stickiness
    # After promotion the version before stays the fallback for as long as the new one is watched.
    stable = d.stable_version if d.status is Status.ACTIVE else service.stable_version
    seats = _seats(d) if d.contested else []
    return {
        "stable": stable,
        "deployment": {
            "id": d.id,
            "version": d.version,
            "salt": d.salt,
            # A router that knows nothing of several candidates serves the first one.
            "weight_bp": seats[0]["end"] if seats else d.weight_bp,
            **({"candidates": seats} if seats else {}),
            "stickiness": stickiness.value,
            "user_ids": list(d.target_filter.user_ids),
            "workflow_ids": list(d.target_filter.workflow_ids),
            "breaker": {
                "failures": FAILURES,
                "open_seconds": OPEN_SECONDS,
                "state": "open" if d.tripped else "closed",
            },
        },
    }


async def _units(tx: Transaction, units: _UnitShelf, d: Deployment, entry: dict[str, Any]) -> Outdated | None:
    """Add to a canary's entry whom the hash does not decide; return what not to believe of them any more."""
    entry["epoch"] = d.reset_epoch
    shrunk = d.weight_bp < d.peak_bp and not d.filter_only and not d.tripped
    if shrunk and entry["stickiness"] == Stickiness.PERSISTENT:
        entry |= {"book": d.book, "kept": await units.kept(tx, d)}
    placed, outdated = await units.placed(tx, d)
    if d.going_back:  # nobody is held on a canary that is going back
        placed.pop(PlacedOn.CANARY.value, None)
    entry["placed"] = placed
    return outdated


def _seats(d: Deployment) -> list[dict[str, Any]]:
    """Return whose the buckets are; units may stay in a candidate's slot unless it is out."""
    found = zip(candidates.seats(d.candidates, d.weight_bp), d.candidates, strict=True)
    return [
        {
            "version": seat.version,
            "begin": seat.begin,
            "end": seat.end,
            "limit": seat.limit if c.live and c.breaker.state != OPEN else seat.begin,
        }
        for seat, c in found
    ]
