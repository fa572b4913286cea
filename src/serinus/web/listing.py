"""The list of deployments."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from fastapi import Request, Response

from serinus.control.context import Caller
from serinus.control.plane import Plane
from serinus.core.model import Status
from serinus.ports.store import Page
from serinus.web.charts import sparkline
from serinus.web.live import stream
from serinus.web.rendering import rendered
from serinus.web.visits import Visits, whole

__all__ = ["Listing"]

A_PAGE = 100
MOST_RUNNING = Page(size=200)
UNDER_WAY = (Status.CANARY, Status.SCHEDULED, Status.DRAFT)


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
        service, number = asked.get("service"), whole(asked.get("page"))
        found = await self._plane.queries.deployments(
            caller, Page(number=number, size=A_PAGE), service, status
        )
        views = found["deployments"]
        running = await self._running(caller, service, status, views) if number == 1 else []
        for view in running:
            view["spark"] = sparkline(view["strategy"]["steps"], view["traffic_percentage"])
        services = (await self._plane.queries.services(caller))["services"]
        jobs = (await self._plane.queries.jobs(caller))["jobs"]
        return {
            **known,
            "running": running,
            "earlier": [v for v in views if not _under_way(v)],
            "services": services,
            "freezes": [f for f in (await self._plane.freezes.list(caller))["freezes"] if f["on"]],
            "at": number,
            "pages": -(-found["total"] // A_PAGE),
            "query": urlencode({k: v for k, v in asked.items() if k in ("service", "status")}),
            "chosen": {"service": asked.get("service", ""), "status": asked.get("status", "")},
            "monitor": jobs[0]["state"] if jobs else "not running",
            "undone": (await self._plane.compensations.unfinished(caller))["compensations"],
            "live": "/live?" + str(asked),
        }

    async def _running(
        self, caller: Caller, service: str | None, status: Status | None, newest: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """Return what is under way, newest first: however many have been made since, none is left out."""
        views = {v["deployment_id"]: v for v in newest if _under_way(v)}
        for wanted in UNDER_WAY if len(newest) == A_PAGE else ():
            if status in (None, wanted):
                more = await self._plane.queries.deployments(caller, MOST_RUNNING, service, wanted)
                views |= {v["deployment_id"]: v for v in more["deployments"]}
        return sorted(views.values(), key=lambda v: str(v["created_at"]), reverse=True)

    async def live(self, request: Request) -> Response:
        """The list's content, again whenever it changes."""
        caller = await self._visits.caller(request)

        async def look() -> str:
            values = await self._values(request)
            return bytes(rendered(request, "_list.html", **values).body).decode()

        return stream(self._plane.context.bell, caller.tenant_id, look)


def _under_way(view: dict[str, Any]) -> bool:
    """Tell whether something may still happen by itself: it rolls out, or is watched after promotion."""
    return view["status"] in UNDER_WAY or bool(view["watch"])
