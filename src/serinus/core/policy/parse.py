"""Policies as users write them, read into the model with all errors at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from serinus.core.analysis.checks import Check, Policy
from serinus.core.codec import refuse
from serinus.core.model import CanaryConfig
from serinus.core.policy.file import read_policy
from serinus.core.policy.presets import DEFAULT, PRESETS, RULESETS, SEQUENTIAL
from serinus.core.policy.strategies import salt_from, strategy_from

__all__ = ["policy_from", "salt_from", "strategy_from"]


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
