"""Release sets as people write them: members by their order, or one service in waves of regions.

::

    name: shop 2026.4                       name: checkout v2, region by region
    members:                                service: checkout
      - {service: pricing, version: v12}    version: v2
      - {service: ledger, version: v3}      waves:
      - service: checkout                     - {regions: [eu-north], bake_seconds: 30m}
        version: v7                           - {regions: [eu, us], gate: {role: admin}}
        order: 2                              - {regions: [ap]}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

from serinus.core.codec import at, from_json, refuse, told
from serinus.core.errors import InvalidInput
from serinus.core.model import CompensationStrategy
from serinus.core.policy.forms import Seconds, Text
from serinus.core.policy.strategies import Gate
from serinus.core.release_sets import Member, OnHarm, ReleaseSet, SetKind, Stage

__all__ = ["release_set_from"]

#: More in one set are refused: one look takes them all.
MOST_MEMBERS = 100
_WORD = Text(
    r"[A-Za-z0-9][A-Za-z0-9_. /:@+-]*",
    "expected letters, digits and _ . / : @ + -, a letter or digit first",
    120,
)
_Word = Annotated[str, _WORD]
_Line = Annotated[str, Text(r"(?=.*\S)[^\x00-\x1f\x7f]+", "expected a name, on one line", 120)]
_Words = Annotated[str, Text(r"[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*", "expected text", 20_000)]
_Address = Annotated[str, Text(r"[!-~]{3,255}", "expected host:port", 255)]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Shared:
    """What every member has unless it says otherwise."""

    strategy: dict[str, object] | None = None
    analysis: dict[str, object] | None = None
    canary_config: dict[str, object] | None = None
    compensation_strategy: CompensationStrategy | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _MemberInput(_Shared):
    service: _Word = told("Which service.", required=True)
    version: _Word = told("Which version.", required=True)
    order: int = told("Members of the same number go together, lower numbers first.", 1)
    addresses: tuple[_Address, ...] = told("Where the version answers, for services behind a proxy.", ())
    changelog: _Words = told("What is new.", "")


@dataclass(frozen=True, kw_only=True, slots=True)
class _WaveInput:
    regions: tuple[_Word, ...] = told("The regions that go together.", required=True)
    name: _Line = told("Its name; the regions by default.", "")
    bake_seconds: Seconds | None = told("The next wave begins no sooner after this one's promotion.")
    gate: Gate | None = told("Who lets the next wave begin.")


@dataclass(frozen=True, kw_only=True, slots=True)
class _SetInput(_Shared):
    name: _Line = told("Its name.", required=True)
    members: tuple[_MemberInput, ...] = told("A release set: the services that go together.", ())
    service: _Word | None = told("Waves: the service; in region R it is the service NAME@R.")
    version: _Word | None = told("Waves: the version.")
    waves: tuple[_WaveInput, ...] = told("Waves: the regions, one wave after the other.", ())
    addresses: dict[str, tuple[_Address, ...]] | None = told("Waves: where the version answers, by region.")
    on_harm: OnHarm | None = told("Waves: what harm in one region does to the others.")
    changelog: _Words = told("What is new.", "")
    auto_promote: bool = told("Promote a stage by itself once all of it has passed.", default=True)
    bake_seconds: Seconds = told("The next stage begins no sooner after one's promotion.", 0.0)
    gate: Gate = told("Who lets each following stage begin.", None)


def release_set_from(data: Mapping[str, Any], *, identity: str = "", tenant_id: str = "") -> ReleaseSet:
    """Read a set; services are named, and not looked up.

    Raises:
        InvalidInput: Something in it is wrong; all of it in one error, by place.
    """
    given = from_json(_SetInput, data)
    problems: dict[str, str] = {}
    if bool(given.members) == bool(given.waves):
        raise InvalidInput(
            "A release set has members, and regional waves have waves.",
            field="members",
            next_step="Give one of `members` (services) and `waves` (regions of one service).",
        )
    stages = _by_region(given, data, problems) if given.waves else _by_order(given, problems)
    members = [m for stage in stages for m in stage.members]
    for member in members:
        if sum(m.service == member.service for m in members) > 1:
            problems[member.service] = "is in it twice: one deployment of a service runs at a time"
    if len(members) > MOST_MEMBERS:
        problems["members"] = f"at most {MOST_MEMBERS}"
    refuse(problems)
    return ReleaseSet(
        id=identity,
        tenant_id=tenant_id,
        name=given.name,
        kind=SetKind.WAVES if given.waves else SetKind.RELEASE_SET,
        stages=stages,
        on_harm=given.on_harm or (OnHarm.HOLD if given.waves else OnHarm.ALL),
        auto_promote=given.auto_promote,
    )


def _by_order(given: _SetInput, problems: dict[str, str]) -> tuple[Stage, ...]:
    """Return a stage per number; within one the members go as they were written."""
    for name in ("service", "version", "addresses", "on_harm"):
        if getattr(given, name) is not None:
            problems[name] = "belongs to regional waves; a release set's members have their own"
    if given.on_harm is OnHarm.ALL:
        del problems["on_harm"]
    numbers = sorted({m.order for m in given.members})
    return tuple(
        Stage(
            name="",
            members=tuple(_member(given, m) for m in given.members if m.order == number),
            bake_seconds=given.bake_seconds,
            gate=given.gate,
        )
        for number in numbers
    )


def _member(given: _SetInput, one: _MemberInput) -> Member:
    return Member(
        service=one.service,
        version=one.version,
        changelog=one.changelog or given.changelog,
        addresses=one.addresses,
        **_shared(given, one),
    )


def _shared(given: _SetInput, one: _Shared | None = None) -> dict[str, Any]:
    """Return what a member has of its own, or else what the set gives all."""
    values = {}
    for name in ("strategy", "analysis", "canary_config", "compensation_strategy"):
        own = getattr(one, name) if one else None
        values[name] = getattr(given, name) if own is None else own
    values["compensation_strategy"] = values["compensation_strategy"] or CompensationStrategy.ROLLBACK_ONLY
    return values


def _by_region(given: _SetInput, data: Mapping[str, Any], problems: dict[str, str]) -> tuple[Stage, ...]:
    """Return a stage per wave; in region R the service is ``NAME@R``."""
    for name in ("service", "version"):
        if getattr(given, name) is None:
            problems[name] = "missing: waves are of one version of one service"
    if problems:
        return ()
    regions = {r for wave in given.waves for r in wave.regions}
    for region in given.addresses or {}:
        if region not in regions:
            problems[at("addresses", region)] = "no wave has this region"
    last = given.waves[-1]
    for name in ("gate", "bake_seconds"):
        if getattr(last, name) is not None:
            problems[f"waves[{len(given.waves) - 1}].{name}"] = "no wave comes after this one"
    made = [_wave(given, wave, f"waves[{n}]", problems) for n, wave in enumerate(given.waves)]
    # Read, ``gate: false`` is what no gate at all is; written, it is a word against the set's.
    without = [wave.get("gate") is False for wave in data["waves"]]
    return tuple(replace(s, gate=None) if free else s for s, free in zip(made, without, strict=True))


def _wave(given: _SetInput, wave: _WaveInput, place: str, problems: dict[str, str]) -> Stage:
    if not wave.regions:
        problems[at(place, "regions")] = "must not be empty"
    template = Member(
        service=given.service or "", version=given.version or "", changelog=given.changelog, **_shared(given)
    )
    members = (
        replace(
            template,
            service=f"{template.service}@{region}",
            region=region,
            addresses=(given.addresses or {}).get(region, ()),
        )
        for region in wave.regions
    )
    return Stage(
        name=wave.name or ", ".join(wave.regions),
        members=tuple(members),
        bake_seconds=given.bake_seconds if wave.bake_seconds is None else wave.bake_seconds,
        gate=given.gate if wave.gate is None else wave.gate,
    )
