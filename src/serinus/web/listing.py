"""The list of deployments."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response

from serinus.control.plane import Plane
from serinus.core.model import Status
from serinus.ports.store import Page
from serinus.web.charts import sparkline
from serinus.web.live import stream
from serinus.web.rendering import rendered
from serinus.web.visits import Visits

__all__ = ["Listing"]


class Listing:
    """Everything that rolls out, and what did."""

    def __init__(self, plane: Plane, visits: Visits) -> None:
        """Keep where deployments are read, and who knows the visitors."""
        self._plane, self._visits = plane, visits

    async def page(self, request: Request) -> Response:
        """The list."""
        return rendered(request, "list.html", **await self._values(request))

    async def _values(self, request: Request) -> dict[str, Any]:
        known = await self._visits.known(request)
        caller, asked = known["caller"], request.query_params
        status = Status(asked["status"]) if asked.get("status") in {s.value for s in Status} else None
        found = await self._plane.queries.deployments(caller, Page(size=100), asked.get("service"), status)
        views = found["deployments"]
        for view in views:
            view["spark"] = sparkline(view["strategy"]["steps"], view["traffic_percentage"])
        services = (await self._plane.queries.services(caller))["services"]
        jobs = (await self._plane.queries.jobs(caller))["jobs"]
        return {
            **known,
            "running": [v for v in views if _under_way(v)],
            "earlier": [v for v in views if not _under_way(v)],
            "services": services,
            "freezes": [f for f in (await self._plane.freezes.list(caller))["freezes"] if f["on"]],
            "chosen": {"service": asked.get("service", ""), "status": asked.get("status", "")},
            "monitor": jobs[0]["state"] if jobs else "not running",
            "undone": (await self._plane.compensations.unfinished(caller))["compensations"],
            "live": "/live?" + str(asked),
        }

    async def live(self, request: Request) -> Response:
        """The list's content, again whenever it changes."""
        caller = await self._visits.caller(request)

        async def look() -> str:
            values = await self._values(request)
            return bytes(rendered(request, "_list.html", **values).body).decode()

        return stream(self._plane.context.bell, caller.tenant_id, look)


def _under_way(view: dict[str, Any]) -> bool:
    """Tell whether something may still happen by itself: it rolls out, or is watched after promotion."""
    return view["status"] in ("canary", "draft", "scheduled") or bool(view["watch"])
