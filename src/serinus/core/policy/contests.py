"""A/B/n strategies as users write them: who takes part, with how much, up to which share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from serinus.core.bucketing import BUCKETS
from serinus.core.candidates import Candidate, even_parts, listed
from serinus.core.errors import InvalidInput
from serinus.core.model import CanaryConfig, Deployment, Step, parse_percentage
from serinus.core.strategy import Entrant

__all__ = ["MOST", "CandidateInput", "checked_steps", "contesting", "default_steps", "entrants"]

#: More candidates wait too long for enough requests each, and proxies hold so many versions at most.
MOST = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class CandidateInput:
    """One candidate."""

    version: str
    #: Its part of the traffic under test in percent; equal parts where none has one.
    share: float | None = None
    #: Where it answers, for services behind a proxy.
    addresses: tuple[str, ...] = ()


def entrants(given: tuple[CandidateInput, ...]) -> tuple[Entrant, ...]:
    """Return the candidates with their parts.

    Raises:
        InvalidInput: Fewer than two, too many, one twice, or shares that do not add up to 100 %.
    """
    versions = [c.version for c in given]
    if not 2 <= len(given) <= MOST:
        raise _wrong(
            f"An A/B/n test has {len(given)} candidates.",
            "candidates",
            f"Name 2 to {MOST}; for one version use `type: canary`.",
        )
    twice = [v for v in versions if versions.count(v) > 1 or not v.strip()]
    if twice:
        raise _wrong(
            f"The candidate {twice[0]!r} is not one of a kind.",
            "candidates",
            "Give each candidate a version of its own, once.",
        )
    parts = _parts(given)
    return tuple(Entrant(version=v, part_bp=part) for v, part in zip(versions, parts, strict=True))


def _parts(given: tuple[CandidateInput, ...]) -> tuple[int, ...]:
    if all(c.share is None for c in given):
        return even_parts(len(given))
    parts = tuple(
        parse_percentage(c.share, f"strategy.candidates[{at}].share") if c.share is not None else 0
        for at, c in enumerate(given)
    )
    if sum(parts) != BUCKETS or min(parts) == 0:
        raise _wrong(
            f"The candidates' shares add up to {sum(parts) / 100:g} %.",
            "candidates",
            "They are parts of the traffic under test: give each one above 0, 100 together, or give none.",
        )
    return parts


def default_steps(config: CanaryConfig, count: int) -> tuple[Step, ...]:
    """Return ``canary_config``'s steps up to where stable has as much as each candidate."""
    most = BUCKETS * count // (count + 1)
    walked = config.steps()
    return (
        *(step for step in walked if step.traffic_bp < most),
        Step(traffic_bp=most, hold_seconds=walked[-1].hold_seconds),
    )


def checked_steps(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Return the steps of an A/B/n test.

    Raises:
        InvalidInput: Stable would have nobody left to compare the candidates with, or a step cannot be
            gone back from.
    """
    listed = tuple(steps)
    if any(step.irreversible for step in listed):
        raise _wrong(
            "An irreversible step ties people to one version, and an A/B/n test has several.",
            "steps",
            "Leave `irreversible` out; release the winner by a canary of its own, with that step.",
        )
    if any(step.traffic_bp >= BUCKETS for step in listed):
        raise _wrong(
            "At 100 % there is no stable left to compare the candidates with.",
            "steps",
            "End below 100, like 20, 50, 66; the winner gets everybody when it is promoted.",
        )
    return listed


def contesting(d: Deployment) -> Deployment:
    """Return a draft with its strategy's candidates, and with them the budget and the confidence shared.

    A draft of one canary is returned as it is.

    Raises:
        InvalidInput: The draft's version is not the first candidate, stable takes part, or the policy asks
            sources about one canary.
    """
    named = d.strategy.candidates
    if not named:
        return replace(d, candidates=()) if d.candidates else d
    versions = [e.version for e in named]
    if versions[0] != d.version:
        raise InvalidInput(
            f"The draft is of {d.version}, and the first candidate is {versions[0]}.",
            field="version",
            next_step=f"Give {versions[0]} as `version`: the first candidate is the canary.",
        )
    if d.stable_version in versions:
        raise _wrong(
            f"{d.stable_version} is stable, which every candidate is compared with.",
            "candidates",
            f"Leave it out: {listed([v for v in versions if v != d.stable_version])} is what is tested.",
        )
    if d.policy.sources:
        raise InvalidInput(
            "The policy's queries ask about one canary, and an A/B/n test has several.",
            field="analysis",
            next_step="Use a policy without `sources`: SDKs and proxies report every candidate by itself.",
        )
    judge = d.policy.judge
    if judge is not None:
        unsure = (1.0 - judge.confidence) / len(named)
        judge = replace(judge, candidates=len(named), confidence=1.0 - unsure)
    return replace(
        d,
        policy=replace(d.policy, judge=judge),
        candidates=tuple(Candidate(version=e.version, part_bp=e.part_bp) for e in named),
    )


def _wrong(what: str, where: str, next_step: str) -> InvalidInput:
    return InvalidInput(what, field=f"strategy.{where}", next_step=next_step)
