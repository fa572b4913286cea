"""Pages of release sets: the list, one set with its members in their order, and what its buttons do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from serinus.control.context import Caller
from serinus.control.plane import Plane
from serinus.control.unit import Call
from serinus.core.errors import SerinusError
from serinus.core.model import Role
from serinus.ports.store import Page

__all__ = ["Screen", "SetPages"]

#: Label and consequence per button, the way out first.
ACTIONS = {
    "rollback": (
        "Roll back",
        "Every member goes back to its stable version, the last first. A new try needs a new release set.",
    ),
    "approve": ("Approve", "The next stage begins."),
    "promote": (
        "Promote",
        "Every member of this stage becomes its service's stable version, in their order.",
    ),
    "pause": (
        "Pause",
        "Nothing more begins or is promoted. Members that are out go on; automatic rollback stays on.",
    ),
    "resume": ("Resume", "It goes on. What was rolled back stays rolled back."),
}
STATES = {
    "running": ("◐", "running", "canary"),
    "watched": ("◉", "Watched", "active"),
    "done": ("●", "done", "active"),
    "rolling_back": ("↩", "rolling back", "rolled_back"),
    "rolled_back": ("↩", "rolled back", "rolled_back"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Screen:
    """What every page needs of the dashboard: who looks, what was posted, and how a page is shown."""

    caller: Callable[[Request], Awaitable[Caller]]
    posted: Callable[[Request], Awaitable[tuple[Caller, dict[str, str]]]]
    show: Callable[..., Response]
    stream: Callable[[Request, Callable[[], Awaitable[str]]], Awaitable[Response]]


class SetPages:
    """The pages of one control plane's release sets."""

    def __init__(self, plane: Plane, screen: Screen) -> None:
        """Keep what they show, and what shows them."""
        self._plane = plane
        self._screen = screen

    def routes(self) -> tuple[tuple[str, str, Callable[[Request], Awaitable[Response]]], ...]:
        """Return method, path and page of each."""
        return (
            ("GET", "/release-sets", self.sets),
            ("GET", "/release-sets/{set_id}", self.one),
            ("GET", "/release-sets/{set_id}/live", self.one_live),
            ("GET", "/release-sets/{set_id}/{action}", self.confirm),
            ("POST", "/release-sets/{set_id}/{action}", self.act),
        )

    async def sets(self, request: Request) -> Response:
        """The list."""
        caller = await self._screen.caller(request)
        found = await self._plane.release_sets.list(caller, Page(size=100))
        views = found["release_sets"]
        live = ("running", "watched", "rolling_back")
        return self._shown(
            request,
            "sets.html",
            caller=caller,
            running=[v for v in views if v["state"] in live],
            earlier=[v for v in views if v["state"] not in live],
            freezes=(await self._plane.freezes.list(caller))["freezes"],
        )

    def _shown(self, request: Request, name: str, **values: Any) -> Response:
        return self._screen.show(request, name, set_states=STATES, **values)

    async def _values(self, request: Request) -> dict[str, Any]:
        caller, set_id = await self._screen.caller(request), request.path_params["set_id"]
        view = await self._plane.release_sets.get(caller, set_id)
        events = (await self._plane.release_sets.events(caller, set_id, limit=1000))["events"]
        return {
            "caller": caller,
            "s": view,
            "events": events[::-1],
            "may": caller.role.reaches(Role.APPROVER),
            "buttons": [(name, label) for name, (label, _) in ACTIONS.items() if name in view["allowed"]],
            "live": f"/release-sets/{view['release_set_id']}/live",
        }

    async def one(self, request: Request) -> Response:
        """One set."""
        return self._shown(request, "set.html", **await self._values(request))

    async def one_live(self, request: Request) -> Response:
        """A set's content, again whenever it changes."""
        await self._values(request)  # refuse before the stream begins

        async def look() -> str:
            return bytes(self._shown(request, "_set.html", **await self._values(request)).body).decode()

        return await self._screen.stream(request, look)

    async def confirm(self, request: Request) -> Response:
        """Say what a button will do before it is done."""
        values, action = await self._values(request), request.path_params["action"]
        if action not in values["s"]["allowed"]:
            raise SerinusError("This cannot be done now.", next_step="Go back to its page.")
        label, consequence = ACTIONS[action]
        return self._shown(
            request, "set_confirm.html", **values, action=action, label=label, consequence=consequence
        )

    async def act(self, request: Request) -> Response:
        """Do it, as the API would."""
        caller, form = await self._screen.posted(request)
        set_id, action = request.path_params["set_id"], request.path_params["action"]
        call = Call(caller=caller, action=f"release-set.{action}", target=set_id[:200], needs=Role.APPROVER)
        sets, reason = self._plane.release_sets, form.get("reason", "")
        match action:
            case "rollback":
                await sets.roll_back(call, set_id, reason)
            case "approve":
                await sets.approve(call, set_id, reason)
            case "promote":
                await sets.promote(call, set_id, reason)
            case "pause":
                await sets.pause(call, set_id)
            case "resume":
                await sets.resume(call, set_id)
            case _:
                raise SerinusError(f"There is no {action[:40]!r}.", next_step="Go back to its page.")
        return RedirectResponse(f"/release-sets/{set_id}", status_code=303)
