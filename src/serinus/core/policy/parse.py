"""Strategies and policies as users write them, read into the model with all errors at once."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from serinus.core.analysis.checks import Check, Policy
from serinus.core.codec import from_json, refuse
from serinus.core.errors import InvalidInput
from serinus.core.hooks import Hook, checked
from serinus.core.model import CanaryConfig, Mode, Step, Stickiness, Strategy, parse_percentage
from serinus.core.policy.file import read_policy
from serinus.core.policy.presets import DEFAULT, PRESETS, RULESETS, SEQUENTIAL

__all__ = ["policy_from", "salt_from", "strategy_from"]

_SALT = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class _StepInput:
    traffic_percentage: float
    hold_seconds: float | None = None
    gate: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class _StrategyInput:
    mode: Mode = Mode.MANUAL
    steps: tuple[_StepInput, ...] = ()
    stickiness: Stickiness = Stickiness.PERSISTENT
    auto_promote: bool = False
    #: Prefix of the hashed key; the deployment's id unless given.
    salt: str = ""
    hooks: tuple[Hook, ...] = ()


def strategy_from(data: Mapping[str, Any] | None, config: CanaryConfig) -> Strategy:
    """Read a strategy; without steps, auto mode walks the steps of ``canary_config``.

    Raises:
        InvalidInput: A field is wrong; percentages must rise from step to step.
    """
    given = from_json(_StrategyInput, data or {}, "strategy")
    hold = config.duration_minutes * 60
    steps = tuple(
        Step(
            traffic_bp=parse_percentage(s.traffic_percentage, f"strategy.steps[{at}].traffic_percentage"),
            hold_seconds=_not_negative(hold if s.hold_seconds is None else s.hold_seconds, at),
            gate=s.gate,
        )
        for at, s in enumerate(given.steps)
    )
    for at, (one, two) in enumerate(pairwise(steps)):
        if two.traffic_bp <= one.traffic_bp:
            raise InvalidInput(
                "Each step must have more traffic than the one before.",
                field=f"strategy.steps[{at + 1}].traffic_percentage",
                next_step="Order them like 1, 5, 25, 100.",
            )
    if given.mode is Mode.AUTO and not steps:
        steps = config.steps()
    return Strategy(
        mode=given.mode,
        steps=steps,
        stickiness=given.stickiness,
        auto_promote=given.auto_promote,
        hooks=checked(given.hooks),
    )


def _not_negative(seconds: float, at: int) -> float:
    if seconds < 0:
        raise InvalidInput(
            f"hold_seconds is {seconds:g}.",
            field=f"strategy.steps[{at}].hold_seconds",
            next_step="Give 0 or more seconds.",
        )
    return seconds


def salt_from(data: Mapping[str, Any] | None, fallback: str) -> str:
    """Return the strategy's salt, or ``fallback``.

    Raises:
        InvalidInput: It has other characters than letters, digits, ``_``, ``.`` and ``-``.
    """
    salt = from_json(_StrategyInput, data or {}, "strategy").salt or fallback
    if not _SALT.fullmatch(salt):
        raise InvalidInput(
            f"The salt {salt[:80]!r} has characters that proxies cannot carry.",
            field="strategy.salt",
            next_step="Use up to 64 letters, digits, `_`, `.` and `-`.",
        )
    return salt


def policy_from(data: Mapping[str, Any] | None, config: CanaryConfig, typed: Collection[str] = ()) -> Policy:
    """Read an ``analysis``: a preset by name and what differs from it, or a whole policy file.

    ``typed`` are the thresholds that somebody wrote into ``canary_config``. They are kept as hard limits
    beside the sequential judge too; the defaults that nobody wrote are not, as a service may well live
    with more errors than they allow.

    Raises:
        InvalidInput: An unknown preset or key, or a wrong value.
    """
    bases = {
        **PRESETS,
        RULESETS.name: _with_contract_thresholds(RULESETS, config),
        SEQUENTIAL.name: _with_typed_thresholds(SEQUENTIAL, config, typed),
    }
    problems: dict[str, str] = {}
    file = read_policy(data or {}, DEFAULT, "analysis", problems, bases)
    refuse(problems)
    assert file is not None
    return file.policy


def _with_typed_thresholds(policy: Policy, config: CanaryConfig, typed: Collection[str]) -> Policy:
    """Add the contract's own checks for the thresholds that somebody wrote."""
    names = {"error_threshold": "error rate", "success_threshold": "success rate"}
    wanted = {check for threshold, check in names.items() if threshold in typed}
    contract = _with_contract_thresholds(RULESETS, config)
    return replace(
        policy,
        checks=(*policy.checks, *(c for c in contract.checks if c.name in wanted)),
        gate=(*policy.gate, *(c for c in contract.gate if c.name in wanted)),
    )


def _with_contract_thresholds(policy: Policy, config: CanaryConfig) -> Policy:
    """Put ``canary_config``'s success and error thresholds into the checks that they name."""
    limits = {"error rate": config.error_threshold, "success rate": config.success_threshold}

    def limited(check: Check) -> Check:
        return replace(check, limit=limits.get(check.name, check.limit))

    return replace(
        policy,
        checks=tuple(limited(c) for c in policy.checks),
        gate=tuple(limited(c) for c in policy.gate),
    )
