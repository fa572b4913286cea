"""The routing snapshot that SDKs follow: what each service of a tenant routes right now."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from serinus.control.context import Context
from serinus.core import candidates
from serinus.core.breaker import FAILURES, OPEN, OPEN_SECONDS
from serinus.core.lifecycle.moves import under_watch
from serinus.core.model import Deployment, Service, ServiceKind, Status, Stickiness
from serinus.core.rules import RuleSettings, RuleVersion
from serinus.ports.store import Transaction

__all__ = ["LoadedRuleset", "Snapshot", "Snapshots"]

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
    #: rulesets by name and by id
    rulesets: Mapping[str, LoadedRuleset] = field(default_factory=dict)
    #: deployments with several candidates → the candidates, in their order
    candidates: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def arm(self, reported: _Reported) -> tuple[str, int]:
        """Return whose evidence a report is: the deployment's, and which candidate's of it.

        Stable's is the same for all candidates, and what names none of them is the first one's.
        """
        versions = self.candidates.get(reported.deployment, ())
        known = reported.version in versions
        return reported.deployment, versions.index(reported.version) if known else 0


class Snapshots:
    """The newest snapshot per tenant, built at most once per change."""

    def __init__(self, context: Context) -> None:
        """Start empty."""
        self._context = context
        self._kept: dict[str, tuple[Snapshot, int, float]] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._rules = _RuleShelf()

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
                snapshot = await _build(tx, tenant_id, self._rules)
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


async def _build(tx: Transaction, tenant_id: str, shelf: _RuleShelf) -> Snapshot:
    rulesets: dict[str, LoadedRuleset] = {}
    services: dict[str, Any] = {}
    running: dict[str, str] = {}
    watched: set[str] = set()
    elsewhere: set[str] = set()
    several: dict[str, tuple[str, ...]] = {}
    for service in await tx.services.all(tenant_id):
        current = await tx.deployments.current(tenant_id, service.id)
        canary = next((d for d in current if d.status is Status.CANARY), None)
        watched_here = None if canary else next((d for d in current if _watched(d, service)), None)
        services[service.name] = await _entry(tx, service, canary or watched_here)
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
    content = json.dumps({"schema": 1, "services": services}, sort_keys=True, separators=(",", ":"))
    revision = hashlib.sha256(content.encode()).hexdigest()[:16]
    body = json.dumps(
        {"schema": 1, "revision": revision, "services": services}, sort_keys=True, separators=(",", ":")
    )
    return Snapshot(
        revision=revision,
        body=body,
        running=running,
        watched=frozenset(watched),
        elsewhere=frozenset(elsewhere),
        rulesets=rulesets,
        candidates=several,
    )


def _sent(loaded: LoadedRuleset) -> dict[str, Any]:
    """Return the rules as SDKs get them, to run them in process."""
    return {
        version: {"engine": rules.engine, "digest": rules.digest, "source": rules.source}
        for version, rules in loaded.versions.items()
    }


def _served(d: Deployment) -> list[str]:
    """Return the versions of a deployment that may answer."""
    return [c.version for c in d.candidates if c.live] if d.contested else [d.version]


def _watched(d: Deployment, service: Service) -> bool:
    return d.version == service.stable_version and under_watch(d)


async def _entry(tx: Transaction, service: Service, d: Deployment | None) -> dict[str, Any]:
    if d is None:
        return {"stable": service.stable_version, "deployment": None}
    sticky: list[str] = []
    # Units do not stay on a canary that is going back, or its share could not shrink.
    stickiness = Stickiness.HASH if d.going_back else d.strategy.stickiness
    if stickiness is Stickiness.PERSISTENT and d.weight_bp < d.peak_bp and not d.filter_only:
        # Several candidates have their buckets all over: a router asks only about those that no share has.
        sticky = sorted(await tx.assignments.hashes_from(d.id, 0 if d.contested else d.weight_bp))
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
            "sticky": sticky,
            "user_ids": list(d.target_filter.user_ids),
            "workflow_ids": list(d.target_filter.workflow_ids),
            "breaker": {
                "failures": FAILURES,
                "open_seconds": OPEN_SECONDS,
                "state": "open" if d.tripped else "closed",
            },
        },
    }


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
