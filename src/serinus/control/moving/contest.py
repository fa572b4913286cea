"""Several candidates, on the way between what happened and what is decided: looked at, promoted, dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from serinus.control.evidence import gather
from serinus.control.traffic import TrafficPool
from serinus.core.address import ensure_addresses, split_address
from serinus.core.analysis.evidence import Evidence
from serinus.core.analysis.verdict import Outcome
from serinus.core.contest import all_healths, arms, chosen, drop, place_of, settled
from serinus.core.decision import Decision
from serinus.core.errors import Conflict, InvalidInput
from serinus.core.health import Knocked, with_health
from serinus.core.lifecycle.transitions import Action, follow
from serinus.core.model import Deployment, Role, Service
from serinus.core.policy import confirm
from serinus.core.policy.gate import promotion_gate
from serinus.core.policy.strategies import addresses_from
from serinus.core.winner import standing
from serinus.ports.store import Transaction

__all__ = [
    "dropped",
    "gather_all",
    "knock_all",
    "promoted",
    "reaching",
    "unmet",
    "with_addresses",
    "with_sides",
]


async def with_addresses(
    tx: Transaction,
    service: Service,
    version: str,
    addresses: tuple[str, ...],
    strategy: Mapping[str, Any] | None,
) -> Service:
    """Store where a draft's version answers, and each candidate of its strategy, as far as that is given."""
    found = reaching(service, version, addresses, strategy)
    if found is not service:
        await tx.services.save(found)
    return found


def reaching(
    service: Service, version: str, addresses: tuple[str, ...], strategy: Mapping[str, Any] | None
) -> Service:
    """Return the service with where a draft's version and its strategy's candidates answer.

    Raises:
        InvalidInput: An address is none.
    """
    for address in addresses:
        split_address(address, "addresses")
    found = addresses_from(strategy)
    ensure_addresses(found, "strategy.candidates")
    found |= {version: addresses} if addresses else {}
    return replace(service, upstreams={**service.upstreams, **found}) if found else service


async def knock_all(traffic: TrafficPool, service: Service, d: Deployment) -> tuple[Knocked, ...]:
    """Knock at stable and each candidate."""
    return tuple(await asyncio.gather(*(traffic.knock(service, seen) for seen in arms(d))))


async def gather_all(tx: Transaction, d: Deployment, now: datetime) -> list[Evidence]:
    """Read everything that a decision about ``d`` needs, for each candidate."""
    return [await gather(tx, seen, now) for seen in arms(d)]


def with_sides(
    d: Deployment, evidences: Sequence[Evidence], knocked: Sequence[Knocked], now: datetime
) -> Deployment:
    """Return ``d`` with what is known of stable and of each candidate."""
    if d.contested:
        return all_healths(d, evidences, knocked, now.timestamp())
    return with_health(d, evidences[0], knocked[0], now.timestamp())


async def promoted(
    tx: Transaction, d: Deployment, version: str, now: datetime, *, force: bool, role: Role
) -> Decision:
    """Promote the canary, or one of several candidates: the named one, or else the best.

    Raises:
        InvalidInput: There is no such version under test, or nobody is best and none was named.
        Conflict: The named candidate is out.
    """
    if not d.contested:
        if version and version != d.version:
            raise _not_tested(d, version)
        gate = promotion_gate(d, await gather(tx, d, now), now)
        return confirm.promoted(d, now, gate, force=force, role=role)
    found = standing(d.candidates, d.policy.judge)
    if not (version or found.best):
        raise InvalidInput(
            f"{found.sentence}.",
            field="version",
            next_step="Say which one everybody gets: give its `version`.",
        )
    seen = chosen(d, place_of(d, version or found.best))
    gate = promotion_gate(seen, await gather(tx, seen, now), now)
    return settled(d, confirm.promoted(seen, now, gate, force=force, role=role))


def _not_tested(d: Deployment, version: str) -> InvalidInput:
    return InvalidInput(
        f"{version!r} is not under test here.",
        field="version",
        next_step=f"Leave `version` out, or give {d.version}.",
    )


async def unmet(tx: Transaction, d: Deployment, now: datetime) -> tuple[str, ...]:
    """Return what the promotion lacks, in words: of the canary, or of the best of several candidates."""
    if d.contested:
        found = standing(d.candidates, d.policy.judge)
        if not found.best:
            return (f"{found.sentence}: promote one by its version, with force",)
        d = chosen(d, place_of(d, found.best))
    gate = promotion_gate(d, await gather(tx, d, now), now)
    return tuple(v.message for v in gate if v.outcome is not Outcome.PASS)


def dropped(d: Deployment, version: str, reason: str, now: datetime, **back: bool) -> Decision:
    """Take one candidate out by hand; the last one, or the only canary, is a rollback.

    Raises:
        InvalidInput: There is no such version under test, or no reason.
        Conflict: It is out already, a rollback is under way, or stable cannot take its units.
    """
    follow(d.status, Action.ROLLBACK)
    if not d.contested:
        raise _not_tested(d, version)
    at = place_of(d, version)
    if d.stable_down and any(c.live and c.version != version for c in d.candidates):
        raise Conflict(
            f"Stable {d.stable_version} cannot be sent traffic ({d.stable_down}).",
            next_step="Bring it back first, and drop it then.",
        )
    return drop(d, {at: reason}, now, data=None, **back)
