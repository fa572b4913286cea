"""A deployment's strategy, and where it stands in it, as the API shows them."""

from __future__ import annotations

from typing import Any

from serinus.control.context import stamp
from serinus.control.showing.contests import strategy_part
from serinus.core.codec import to_json
from serinus.core.hooks import Hook
from serinus.core.lifecycle.guards import irreversible_behind
from serinus.core.lifecycle.irreversible import foretold
from serinus.core.model import Deployment, Role, Step, Strategy
from serinus.core.strategy import StrategyType

__all__ = ["standing_view", "strategy_view"]


def strategy_view(d: Deployment) -> dict[str, Any]:
    """Return the strategy. What was not asked for is left out, beside what every strategy has."""
    s = d.strategy
    return {
        "type": s.type.value,
        "mode": s.mode.value,
        "stickiness": s.stickiness.value,
        "auto_promote": s.auto_promote,
        "salt": d.salt,
        "steps": [_step(step) for step in s.steps],
        **({"hooks": [to_json(hook) for hook in s.hooks]} if s.hooks else {}),
        **({"compensate": _compensate(s.compensate)} if s.compensate else {}),
        **({"keep_warm_seconds": s.keep_warm_seconds} if s.type is StrategyType.BLUE_GREEN else {}),
        **({"start_at": stamp(s.start_at)} if s.start_at else {}),
        **({"preview": _preview(s)} if s.preview else {}),
        **({"rollback": _rollback(s)} if s.rollback else {}),
        **({"freeze": _freeze(s)} if s.freeze else {}),
        **strategy_part(d),
    }


def _step(step: Step) -> dict[str, Any]:
    gate: Any = {"role": step.gate_role.value} if step.gate and step.gate_role is Role.ADMIN else step.gate
    return {
        "traffic_percentage": step.traffic_bp / 100,
        "hold_seconds": step.hold_seconds,
        "gate": gate,
        **({"manual": True} if step.manual else {}),
        **({"min_seconds": step.min_seconds} if step.min_seconds else {}),
        **({"mirror_percentage": step.mirror_bp / 100} if step.mirror_bp else {}),
        **({"irreversible": True} if step.irreversible else {}),
        **({"compensate": _compensate(step.compensate)} if step.compensate else {}),
    }


def _compensate(hook: Hook) -> dict[str, Any]:
    ways = ("url", "url_env", "command", "secret_env")
    return {way: getattr(hook, way) for way in ways if getattr(hook, way)}


def _preview(s: Strategy) -> dict[str, Any]:
    assert s.preview is not None
    return {"cookie" if s.preview.cookie else "header": {"name": s.preview.name, "value": s.preview.value}}


def _rollback(s: Strategy) -> dict[str, Any]:
    assert s.rollback is not None
    return {
        "mode": "gradual",
        "steps": [bp / 100 for bp in s.rollback.rungs],
        "seconds": s.rollback.seconds,
        "while": "stable healthy",
    }


def _freeze(s: Strategy) -> dict[str, Any]:
    assert s.freeze is not None
    return {
        "zone": s.freeze.zone,
        "on_start": s.freeze.on_start.value,
        "windows": [
            {"name": w.name, "from": w.begins, "until": w.ends, **({"days": list(w.days)} if w.days else {})}
            for w in s.freeze.windows
        ],
    }


def standing_view(d: Deployment) -> dict[str, Any]:
    """Return what of its strategy a deployment is at: waiting to start, going back, keeping a side warm."""
    back, step = d.going_back, d.step
    return {
        "scheduled_for": stamp(d.scheduled.at) if d.scheduled else None,
        "gate_role": step.gate_role.value if step and step.gate else None,
        "going_back": {"reason": back.reason, "held": bool(d.stable_down), "automatic": back.automatic}
        if back
        else None,
        "irreversible": irreversible_behind(d) or None,
        "if_blocked": foretold(d),
        "blocked": {"reason": d.blocked.reason, "at": stamp(d.blocked.at)} if d.blocked else None,
        "warm_until": stamp(d.warm_until),
        "sides": {"stable_down": d.stable_down, "canary_down": d.canary_down},
        "freeze_override": d.freeze_override or None,
        "tenant_freezes": [freeze.name for freeze in d.tenant_freezes],
        "release_set": d.release_set or None,
    }
