"""Pages of release sets: the list, one set with its members in their order, and what its buttons do."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from serinus.control.plane import Plane
from serinus.control.unit import Call
from serinus.core.errors import SerinusError
from serinus.core.model import Role
from serinus.ports.store import Page
from serinus.web.buttons import offered
from serinus.web.live import stream
from serinus.web.rendering import rendered
from serinus.web.visits import Visits

__all__ = ["SetPages"]

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


class SetPages:
    """The pages of one control plane's release sets."""

    def __init__(self, plane: Plane, visits: Visits) -> None:
        """Keep what is read and commanded, and who knows the visitors."""
        self._plane, self._visits = plane, visits

    async def all(self, request: Request) -> Response:
        """The list."""
        known = await self._visits.known(request)
        caller = known["caller"]
        found = await self._plane.release_sets.list(caller, Page(size=100))
        views = found["release_sets"]
        live = ("running", "watched", "rolling_back")
        return rendered(
            request,
            "sets.html",
            **known,
            set_states=STATES,
            running=[v for v in views if v["state"] in live],
            earlier=[v for v in views if v["state"] not in live],
            freezes=(await self._plane.freezes.list(caller))["freezes"],
        )

    async def _values(self, request: Request) -> dict[str, Any]:
        known, set_id = await self._visits.known(request), request.path_params["set_id"]
        caller = known["caller"]
        view = await self._plane.release_sets.get(caller, set_id)
        events = (await self._plane.release_sets.events(caller, set_id, limit=1000))["events"]
        return {
            **known,
            "set_states": STATES,
            "s": view,
            "events": events[::-1],
            **_offered(view, caller.role),
            "live": f"/release-sets/{view['release_set_id']}/live",
        }

    async def one(self, request: Request) -> Response:
        """One set."""
        return rendered(request, "set.html", **await self._values(request))

    async def live(self, request: Request) -> Response:
        """A set's content, again whenever it changes."""
        caller = (await self._values(request))["caller"]  # refuse before the stream begins

        async def look() -> str:
            return bytes(rendered(request, "_set.html", **await self._values(request)).body).decode()

        return stream(self._plane.context.bell, caller.tenant_id, look)

    async def confirm(self, request: Request) -> Response:
        """Say what a button will do before it is done."""
        values, action = await self._values(request), request.path_params["action"]
        if action not in values["s"]["allowed"]:
            raise SerinusError("This cannot be done now.", next_step="Go back to its page.")
        label, consequence = ACTIONS[action]
        return rendered(
            request, "set_confirm.html", **values, action=action, label=label, consequence=consequence
        )

    async def act(self, request: Request) -> Response:
        """Do it, as the API would."""
        caller, form = await self._visits.posted(request)
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


def _offered(view: dict[str, Any], role: Role) -> dict[str, Any]:
    gate = next((Role(s["gate"]) for s in view["stages"] if s["state"] == "now" and s["gate"]), Role.APPROVER)
    buttons = [(name, label) for name, (label, _) in ACTIONS.items() if name in view["allowed"]]
    return offered(role, buttons, {"approve": gate})
