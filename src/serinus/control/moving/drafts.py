"""Drafts: what a deployment is made from, checked as far as it can be before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from serinus.control.context import Context, new_id
from serinus.control.hooks import check_hooks
from serinus.control.traffic import TrafficPool
from serinus.control.undoing.saga import check_compensations
from serinus.core.codec import from_json
from serinus.core.errors import InvalidInput
from serinus.core.model import CanaryConfig, CompensationStrategy, Deployment, Service, parse_percentage
from serinus.core.policy.contests import contesting
from serinus.core.policy.parse import policy_from, salt_from, strategy_from
from serinus.ports.traffic import Capability

__all__ = ["NewDeployment", "configured", "draft_of"]


@dataclass(frozen=True, kw_only=True, slots=True)
class NewDeployment:
    """What a draft is made from; ``service`` is an id or a name."""

    service: str
    version: str
    #: Where the caller named it: ``service_id`` or ``ruleset_id``.
    named_in: str = "service_id"
    changelog: str = ""
    canary_config: Mapping[str, Any] | None = None
    compensation_strategy: CompensationStrategy = CompensationStrategy.ROLLBACK_ONLY
    strategy: Mapping[str, Any] | None = None
    analysis: Mapping[str, Any] | None = None
    #: Where the new version answers, for services behind a proxy.
    addresses: tuple[str, ...] = ()


def draft_of(
    context: Context, traffic: TrafficPool, service: Service, new: NewDeployment, by: str
) -> Deployment:
    """Return a draft as it would be stored; nothing is.

    Raises:
        InvalidInput: Something in it is wrong.
    """
    if new.version == service.stable_version:
        raise InvalidInput(
            f"{new.version} is {service.name}'s stable version already.",
            field="version",
            next_step="Give the new version a name of its own.",
        )
    identity = new_id("dep")
    draft = configured(
        Deployment(
            id=identity,
            tenant_id=service.tenant_id,
            service_id=service.id,
            service=service.name,
            version=new.version,
            stable_version=service.stable_version,
            changelog=new.changelog,
            compensation_strategy=new.compensation_strategy,
            keeps_units=traffic.can(service, Capability.PERSISTENT),
            salt=salt_from(new.strategy, identity),
            created_at=context.clock.now(),
            created_by=by,
        ),
        canary_config=new.canary_config,
        strategy=new.strategy,
        analysis=new.analysis,
    )
    check_hooks(context, draft.strategy.hooks)
    check_compensations(context, draft)
    traffic.ensure_strategy(service, draft)
    return draft


def configured(
    d: Deployment,
    *,
    canary_config: Mapping[str, Any] | None = None,
    strategy: Mapping[str, Any] | None = None,
    analysis: Mapping[str, Any] | None = None,
) -> Deployment:
    """Return a draft with what was written for it; what is left out stays as it was written before.

    Raises:
        InvalidInput: Something in it is wrong.
    """
    written = dict(d.written)
    if canary_config is not None:
        written["canary_config"] = {**written.get("canary_config", {}), **canary_config}
    written |= {k: v for k, v in {"strategy": strategy, "analysis": analysis}.items() if v is not None}
    config = written.get("canary_config", {})
    settled = from_json(CanaryConfig, config, "canary_config")
    parse_percentage(settled.initial_traffic_percentage, "canary_config.initial_traffic_percentage")
    parse_percentage(settled.increment, "canary_config.increment")
    for name in ("success_threshold", "error_threshold"):
        if not 0 <= getattr(settled, name) <= 1:
            raise InvalidInput(
                f"{name} is {getattr(settled, name):g}, outside 0 to 1.",
                field=f"canary_config.{name}",
                next_step="0.05 means 5 %.",
            )
    if settled.duration_minutes < 0:
        raise InvalidInput(
            "duration_minutes is negative.",
            field="canary_config.duration_minutes",
            next_step="Give the minutes that a step lasts.",
        )
    made = replace(
        d,
        written=written,
        config=settled,
        strategy=strategy_from(written.get("strategy"), settled),
        policy=policy_from(written.get("analysis"), settled, tuple(config)),
    )
    return contesting(made)
