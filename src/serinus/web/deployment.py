"""The page of one deployment, its buttons and what they do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from serinus.control.plane import Plane
from serinus.control.unit import Call
from serinus.core.errors import SerinusError
from serinus.core.model import Role
from serinus.web.buttons import offered
from serinus.web.charts import charts
from serinus.web.contest import contest_panel
from serinus.web.live import stream
from serinus.web.rendering import STATES, language_of, rendered
from serinus.web.verdict import panel, watch_text
from serinus.web.visits import Visits, number
from serinus.web.words import translator

__all__ = ["DeploymentPages"]

#: What each button does, in the words of its confirm page.
ACTIONS = {
    "rollback": (
        "Roll back",
        (
            "Everyone is on {stable} again within about a second. Assignments to {version} are cleared, "
            "the team is told, and this deployment has ended: a new try needs a new deployment."
        ),
    ),
    "promote": (
        "Promote",
        "Everyone gets {version} at once; {stable} is stable no longer. It can still be rolled back.",
    ),
    "start": (
        "Start",
        (
            "{version} gets its first share of the traffic; everyone else stays on {stable}. "
            "What would refuse a start is asked first."
        ),
    ),
    "pause": ("Pause", "The share stays where it is. Automatic rollback stays on."),
    "resume": ("Resume", "It goes on from where it was paused."),
    "approve": ("Approve", "It passes this step and goes on to the next one."),
    "traffic": ("Set traffic", "The canary gets this share, at once."),
    "retry-compensation": (
        "Retry the compensation",
        "It is tried again under the same key, and what waits for it follows.",
    ),
    "complete-compensation": (
        "Done by hand",
        "What its hook could not do, or what the task asks for, was done by a person: it is not run again.",
    ),
    "cancel": ("Cancel the start", "It does not start by itself any more; it is a draft again."),
    "override-freeze": ("Override the freeze", "It starts and grows although a freeze is on."),
}
#: Of a start of several candidates.
SEVERAL = (
    "Several versions get their parts of the first share at once; everyone else stays on {stable}. What "
    "would refuse a start is asked first."
)
#: Of a rollback that is under way already.
AT_ONCE = (
    "It is going back by itself. This ends it now: everyone is on {stable} again within about a second, "
    "without the steps between. That is written down."
)
#: What approving means where a rollback is blocked by an irreversible step.
GO_ON = (
    "Go on",
    (
        "It goes on with {version} although it should have gone back, and the same causes do not ask "
        "again. Your name and your reason are written down."
    ),
)
#: What more than an approver is needed for; a gate may ask for more as well.
FOR_ADMINS = {"override-freeze": Role.ADMIN}


class DeploymentPages:
    """One deployment: what it does and why, and a confirm page for each button."""

    def __init__(self, plane: Plane, visits: Visits) -> None:
        """Keep what is read and commanded, and who knows the visitors."""
        self._plane, self._visits = plane, visits

    async def page(self, request: Request) -> Response:
        """One deployment."""
        return rendered(request, "deployment.html", **await self._values(request))

    async def _values(self, request: Request) -> dict[str, Any]:
        known = await self._visits.known(request)
        page = await self._plane.queries.page(known["caller"], request.path_params["deployment_id"])
        view, language = page["deployment"], language_of(request)
        judged = {c["check"] for c in (view["judge"] or {}).get("checks", ())}
        return {
            **known,
            "page": page,
            "d": view,
            "charts": charts(page["series"], self._plane.context.window_seconds),
            **_offered(view, known["caller"].role),
            "verdict": panel(view, language),
            "contest": contest_panel(view, language),
            "watched": watch_text(view["watch"], view, language),
            "fixed": [c for c in view["checks"] if c["check"] not in judged],
            "live": f"/deployments/{view['deployment_id']}/live",
        }

    async def confirm(self, request: Request) -> Response:
        """Say what a button will do before it is done."""
        values = await self._values(request)
        action = request.path_params["action"]
        if action not in ACTIONS or action not in {b["action"] for b in values["buttons"]}:
            raise SerinusError(
                f"This cannot be done while it is {STATES[values['d']['status']][1]}.",
                next_step="Go back to its page.",
            )
        label, consequence = ACTIONS[action]
        gate: list[dict[str, Any]] = []
        advice: dict[str, Any] = {}
        if action == "promote":
            comparison = await self._plane.queries.comparison(values["caller"], values["d"]["deployment_id"])
            gate, advice = comparison["gate"], comparison["comparison"]
        t, d = translator(language_of(request)), values["d"]
        if d["going_back"] and action == "rollback":
            label, consequence = "Roll back at once", AT_ONCE
        elif d["blocked"] and action == "approve":
            label, consequence = GO_ON
        elif d.get("tested") and action == "start":
            consequence = SEVERAL
        name = d.get("tested") or d["version"]
        if action == "promote" and values["contest"] and values["contest"]["running"]:
            name = t("the chosen candidate")
        words = t(consequence).format(version=name, stable=d["stable_version"])
        return rendered(
            request,
            "confirm.html",
            **values,
            action=action,
            label=label,
            consequence=words,
            gate=gate,
            advice=advice,
            items=_undone(d, retry=action == "retry-compensation")
            if action.endswith("-compensation")
            else [],
        )

    async def act(self, request: Request) -> Response:
        """Do it, as the API would."""
        caller, form = await self._visits.posted(request)
        identity, action = request.path_params["deployment_id"], request.path_params["action"]
        call = Call(
            caller=caller,
            action=f"deployment.{action}",
            target=identity[:200],
            needs=FOR_ADMINS.get(action, Role.APPROVER),
        )
        commands = self._plane.commands
        match action:
            case "rollback":
                at_once, across = form.get("force") == "yes", form.get("across") == "yes"
                reason = form.get("reason", "")
                which = form.get("version", "")
                await commands.roll_back(call, identity, reason, force=at_once, across=across, version=which)
            case "promote":
                which, force = form.get("version", ""), form.get("force") == "yes"
                await commands.promote(call, identity, force=force, version=which)
            case "pause":
                await commands.pause(call, identity)
            case "resume":
                await commands.resume(call, identity)
            case "approve":
                await commands.approve(call, identity, form.get("reason", ""))
            case "retry-compensation":
                call = replace(call, action="compensation.retry")
                await self._plane.compensations.retry(call, identity, form.get("item", ""))
            case "complete-compensation":
                call = replace(call, action="compensation.complete")
                note = form.get("note", "")
                await self._plane.compensations.complete(call, identity, form.get("item", ""), note)
            case "cancel":
                await commands.cancel(call, identity)
            case "override-freeze":
                await commands.override_freeze(call, identity, form.get("reason", ""))
            case "start":
                share = form.get("percentage")
                await commands.start(call, identity, number(share) if share else None)
            case "traffic":
                await commands.traffic(call, identity, number(form.get("percentage", "")))
            case _:
                raise SerinusError(f"There is no {action[:40]!r}.", next_step="Go back to its page.")
        return RedirectResponse(f"/deployments/{identity}", status_code=303)

    async def live(self, request: Request) -> Response:
        """A deployment's content, again whenever it changes."""
        caller = (await self._values(request))["caller"]  # refuse before the stream begins

        async def look() -> str:
            values = await self._values(request)
            return bytes(rendered(request, "_deployment.html", **values).body).decode()

        return stream(self._plane.context.bell, caller.tenant_id, look)


def _offered(view: dict[str, Any], role: Role) -> dict[str, Any]:
    gate = {"approve": Role(view["gate_role"])} if view["gate_role"] else {}
    return offered(role, _buttons(view), {**FOR_ADMINS, **gate})


def _buttons(view: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what can be done now, the way out first."""
    if view["status"] == "draft":
        return [("start", "Start")]
    if view["blocked"]:
        return [("rollback", "Roll back"), ("approve", "Go on")]
    if view["status"] == "active":
        return [("rollback", "Roll back")]
    if view["status"] == "rolled_back":
        retry = [("retry-compensation", "Retry the compensation")] if _undone(view, retry=True) else []
        return retry + ([("complete-compensation", "Done by hand")] if _undone(view) else [])
    frozen = [("override-freeze", "Override the freeze")] if _held_by_freeze(view) else []
    if view["status"] == "scheduled":
        return [("cancel", "Cancel the start"), *frozen]
    if view["status"] != "canary":
        return []
    if view["going_back"]:
        return [("rollback", "Roll back at once")]
    listed = [("rollback", "Roll back")]
    listed.append(("resume", "Resume") if view["paused"] else ("pause", "Pause"))
    if view["waiting"] == "approval":
        listed.append(("approve", "Approve"))
    return [*listed, *frozen, ("promote", "Promote"), ("traffic", "Set traffic")]


def _undone(view: dict[str, Any], *, retry: bool = False) -> list[dict[str, Any]]:
    """Return what of its compensation can be retried, or completed by hand."""
    items = (view["compensation"] or {"items": []})["items"]
    return [i for i in items if i["state"] == "failed" or (not retry and i["by_hand"] and not i["done_at"])]


def _held_by_freeze(view: dict[str, Any]) -> bool:
    frozen = view["strategy"].get("freeze") or view["tenant_freezes"]
    return bool(frozen) and not view["freeze_override"]
