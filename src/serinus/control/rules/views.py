"""How rulesets look from outside, and how they are found."""

from __future__ import annotations

import json
from typing import Any

from serinus.control.context import Caller, stamp
from serinus.core.errors import InvalidInput, NotFound
from serinus.core.model import Service, ServiceKind
from serinus.core.rules import RuleVersion
from serinus.ports.rules import MAX_INPUT_BYTES
from serinus.ports.store import Execution, NewestVersion, Page, Transaction

__all__ = [
    "encoded",
    "execution_view",
    "find_ruleset",
    "find_version",
    "newest_view",
    "ruleset_view",
    "version_view",
]


def encoded(data: Any, where: str = "input") -> bytes:
    """Return an input as the engines take it.

    Raises:
        InvalidInput: It is no JSON (NaN, infinity), or too large.
    """
    try:
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise InvalidInput(
            f"{where} is no JSON: {error}.", field=where, next_step="NaN and infinities have no JSON form."
        ) from error
    if len(text) > MAX_INPUT_BYTES:
        raise InvalidInput(
            f"{where} has {len(text)} bytes; at most {MAX_INPUT_BYTES} are taken.",
            field=where,
            next_step="Send only what the rules read.",
        )
    return text


async def find_ruleset(tx: Transaction, caller: Caller, ruleset: str) -> Service:
    """Return a ruleset of the caller's tenant by id or name.

    Raises:
        NotFound: The tenant has no such one.
        Forbidden: The caller's token is for other services.
    """
    service = await tx.services.get(caller.tenant_id, ruleset)
    if service is None or service.kind is not ServiceKind.RULESET or not caller.sees(service.name):
        raise caller.missing(
            NotFound(
                f"There is no ruleset {ruleset[:80]!r}.",
                field="ruleset_id",
                next_step="GET /api/v1/rulesets lists yours; POST there makes one.",
            )
        )
    return service


async def find_version(
    tx: Transaction, caller: Caller, ruleset: str, version: str
) -> tuple[Service, RuleVersion]:
    """Return a ruleset and one of its versions, the newest when none is named.

    Raises:
        NotFound: The tenant has no such one.
        Forbidden: The caller's token is for other services.
    """
    service = await find_ruleset(tx, caller, ruleset)
    if version:
        found = await tx.rulesets.get(service.tenant_id, service.id, version)
    else:
        newest, _ = await tx.rulesets.page(service.tenant_id, service.id, Page(size=1))
        found = newest[0] if newest else None
    if found is None:
        raise NotFound(
            f"{service.name} has no version {version!r}." if version else f"{service.name} has no version.",
            field="version",
            next_step=f"GET /api/v1/rulesets/{service.id}/versions lists them; POST there adds one.",
        )
    return service, found


def ruleset_view(service: Service) -> dict[str, Any]:
    """Return a ruleset as the API shows it."""
    return {
        "ruleset_id": service.id,
        "service_id": service.id,
        "name": service.name,
        "stable_version": service.stable_version,
        "redact": list(service.rules.redact),
        "log_percent": service.rules.log_percent,
        "shadow_percent": service.rules.shadow_percent,
        "created_at": stamp(service.created_at),
    }


def newest_view(newest: NewestVersion | None) -> dict[str, Any]:
    """Return a ruleset's newest version as the list of rulesets shows it."""
    if newest is None:
        return {"versions": 0, "newest_version": None, "changed_at": None, "changed_by": None}
    return {
        "versions": newest.total,
        "newest_version": newest.version,
        "changed_at": stamp(newest.created_at),
        "changed_by": newest.author,
    }


def version_view(v: RuleVersion, service: Service, *, whole: bool = False) -> dict[str, Any]:
    """Return a version as the API shows it; ``whole`` with its rules and cases."""
    view: dict[str, Any] = {
        "ruleset_id": v.service_id,
        "version": v.version,
        "engine": v.engine,
        "digest": v.digest,
        "changelog": v.changelog,
        "author": v.author,
        "created_at": stamp(v.created_at),
        "is_stable": v.version == service.stable_version,
        "cases": len(v.cases),
    }
    if whole:
        view["content"] = json.loads(v.source) if v.engine == "zen" else v.source
        view["test_cases"] = [
            {"name": c.name, "input": c.input, "expected_output": c.expected_output} for c in v.cases
        ]
    return view


def execution_view(e: Execution) -> dict[str, Any]:
    """Return a logged execution as the API shows it."""
    return {
        "execution_id": e.id,
        "deployment_id": e.deployment_id or None,
        "at": stamp(e.at),
        "kind": e.kind,
        "version": e.version,
        "is_canary": e.is_canary,
        "priority": e.priority or None,
        "ok": e.ok,
        "error": e.error or None,
        "error_kind": e.error_kind or None,
        "latency_ms": round(e.latency_ms, 3),
        "input": e.input,
        "output": e.output,
        "differs": e.differs,
        "differences": list(e.differences),
    }
