"""How release sets look from outside: the same dictionaries for the API, the pages and the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serinus.control.context import stamp
from serinus.core.model import Deployment
from serinus.core.release_sets import Member, ReleaseSet, SetState, Stage
from serinus.core.sets.moves import allowed_moves

__all__ = ["set_view"]


def set_view(s: ReleaseSet, found: Mapping[str, Deployment] | None = None) -> dict[str, Any]:
    """Return a set as the API shows it; ``found`` has its members' deployments by id."""
    return {
        "release_set_id": s.id,
        "name": s.name,
        "kind": s.kind.value,
        "state": s.state.value,
        "sentence": s.sentence,
        "on_harm": s.on_harm.value,
        "auto_promote": s.auto_promote,
        "paused": s.paused,
        "waiting": s.waiting.value,
        "reason": s.reason,
        "stage": {"number": s.stage + 1, "of": len(s.stages)},
        "stages": [_stage(s, at, stage, found or {}) for at, stage in enumerate(s.stages)],
        "allowed": list(allowed_moves(s)),
        "revision": s.revision,
        "created_at": stamp(s.created_at),
        "created_by": s.created_by,
        "ended_at": stamp(s.ended_at),
    }


def _stage(s: ReleaseSet, at: int, stage: Stage, found: Mapping[str, Deployment]) -> dict[str, Any]:
    return {
        "number": at + 1,
        "name": stage.name,
        "state": _stage_state(s, at),
        "bake_seconds": stage.bake_seconds,
        "baked_seconds": round(s.baked_seconds, 3) if at == s.stage and s.baking else None,
        "gate": stage.gate.value if stage.gate else None,
        "members": [_member(m, found.get(m.deployment_id)) for m in stage.members],
    }


def _stage_state(s: ReleaseSet, at: int) -> str:
    """Return where a stage is: ``done``, ``now``, ``todo``, or ``back``."""
    if at > s.stage:
        return "todo"
    if s.state in (SetState.ROLLING_BACK, SetState.ROLLED_BACK):
        return "back"
    return "now" if at == s.stage and s.state is SetState.RUNNING else "done"


def _member(m: Member, d: Deployment | None) -> dict[str, Any]:
    return {
        "service": m.service,
        "version": m.version,
        "region": m.region,
        "deployment_id": m.deployment_id or None,
        "status": d.status.value if d else "",
        "traffic_percentage": d.traffic_bp / 100 if d else 0.0,
        "stable_version": d.stable_version if d else "",
        "sentence": d.sentence if d else m.lost or "Its stage has not begun.",
        "went_back": m.lost,
    }
