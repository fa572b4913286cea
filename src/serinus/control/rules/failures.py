"""Executions of a canary's rules that failed: one click away for whoever wonders why a breaker is open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from shlex import quote as shell
from typing import Any
from urllib.parse import quote, urlencode

from serinus.control.context import Context
from serinus.control.showing import views
from serinus.core.model import Deployment, ServiceKind
from serinus.ports.store import Event, Page, Transaction

__all__ = ["events_of", "failing_executions"]

#: The newest error is quoted up to so many characters.
QUOTED = 160
#: Where the executions are read: by people, by programs, in a terminal.
LINKS = ("page", "path", "api", "command")


async def failing_executions(tx: Transaction, context: Context, d: Deployment) -> dict[str, Any] | None:
    """Return how many executions of the canary's rules failed, and where they are read.

    ``None`` when none did, or when nobody executes rules here.
    """
    service = await tx.services.get(d.tenant_id, d.service_id)
    if service is None or service.kind is not ServiceKind.RULESET:
        return None
    newest, total = await tx.executions.page(
        d.tenant_id, d.service_id, Page(size=1), deployment_id=d.id, failed=True, canary=True
    )
    if not newest:
        return None
    _, shadows = await tx.executions.page(
        d.tenant_id, d.service_id, Page(size=1), deployment_id=d.id, failed=True, kind="shadow"
    )
    asked = urlencode({"failed": "true", "canary": "true", "deployment_id": d.id})
    path = f"/rulesets/{quote(d.service_id)}/executions?{asked}"
    page, error = f"{context.public_url.rstrip('/')}{path}", newest[0].error[:QUOTED]
    runs = "1 execution" if total == 1 else f"{total:,} executions"
    runs += f" ({shadows:,} of them shadows, which served nobody)" if shadows else ""
    return {
        "total": total,
        "shadows": shadows,
        "error": error,
        "sentence": f"The rules of {d.version} failed in {runs}, the newest with: {error}. Read them: {page}",
        "page": page,
        "path": path,
        "api": f"/api/v1{path}",
        "command": f"serinus ruleset executions {shell(d.service)} --failed --canary --deployment {d.id}",
    }


def events_of(found: Sequence[Event], failing: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Return a timeline as the API shows it; what the breaker says names the executions that failed."""
    shown = [views.event_view(e) for e in found]
    for event in shown:
        if failing and event["kind"] == "breaker":
            event["data"]["failing_executions"] = {name: failing[name] for name in LINKS}
    return shown
