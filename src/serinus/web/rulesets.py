"""Pages of rulesets: their versions and what changed between them, their cases, and what they answered."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from serinus.control.context import Caller
from serinus.control.moving.drafts import NewDeployment
from serinus.control.plane import Plane
from serinus.control.unit import Call
from serinus.core.errors import Conflict, SerinusError
from serinus.core.model import Role
from serinus.core.ruletext import readable, rule_changes
from serinus.ports.store import Page
from serinus.web.live import stream
from serinus.web.rendering import rendered
from serinus.web.visits import Visits, number, whole

__all__ = ["RulesetPages"]

#: Versions that a ruleset's page lists, newest first; the API has them all.
VERSIONS = Page(size=50)
#: Newest executions on a ruleset's page, and on a page of the log.
NEWEST, A_PAGE = Page(size=8), 50
FILTERS = ("failed", "canary", "differs")
#: Lines of rules or of a comparison that a page shows; the rest is in the API.
MOST_LINES = 2000


class RulesetPages:
    """Everything about rulesets that a person reads, and the start of a rollout from a version."""

    def __init__(self, plane: Plane, visits: Visits) -> None:
        """Keep what is read and commanded, and who knows the visitors."""
        self._plane, self._visits = plane, visits

    async def all(self, request: Request) -> Response:
        """The list."""
        known = await self._visits.known(request)
        found = await self._plane.rulesets.all(known["caller"])
        return rendered(request, "rulesets.html", **known, rulesets=found["rulesets"])

    # -- one ruleset ----------------------------------------------------------------------------

    async def one(self, request: Request) -> Response:
        """What serves, versions, cases, the newest executions, and what a shadow found."""
        return rendered(request, "ruleset.html", **await self._values(request))

    async def live(self, request: Request) -> Response:
        """A ruleset's content, again whenever it changes."""
        caller = (await self._values(request))["caller"]  # refuse before the stream begins

        async def look() -> str:
            return bytes(rendered(request, "_ruleset.html", **await self._values(request)).body).decode()

        return stream(self._plane.context.bell, caller.tenant_id, look)

    async def _values(self, request: Request) -> dict[str, Any]:
        known, ruleset = await self._known(request)
        caller, identity = known["caller"], ruleset["ruleset_id"]
        rulesets = self._plane.rulesets
        versions = await rulesets.versions(caller, identity, VERSIONS)
        newest = versions["versions"][0]["version"] if versions["versions"] else ""
        return {
            **known,
            "versions": versions,
            "cases": await self._cases(caller, identity, newest) if newest else None,
            "log": await rulesets.executions(caller, identity, NEWEST),
            "shadow": await rulesets.shadow(caller, identity, ""),
            "live": f"/rulesets/{identity}/live",
        }

    async def _known(self, request: Request) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what every page of a ruleset shows, and the ruleset of the visitor's tenant."""
        known = await self._visits.known(request)
        ruleset = await self._plane.rulesets.one(known["caller"], request.path_params["ruleset_id"])
        may = known["caller"].role.reaches(Role.APPROVER)
        return {**known, "ruleset": ruleset, "may": may}, ruleset

    async def _cases(self, caller: Caller, ruleset: str, version: str) -> dict[str, Any]:
        """Return the cases stored with a version, each with its last result."""
        found = await self._plane.rulesets.version(caller, ruleset, version)
        last = await self._plane.rule_tests.last(caller, ruleset, found["version"])
        results = {c["name"]: c for c in last["cases"]} if last else {}
        listed = [{**case, "result": results.get(case["name"])} for case in found["test_cases"]]
        return {"version": found["version"], "last": last, "listed": listed}

    # -- versions -------------------------------------------------------------------------------

    async def version(self, request: Request) -> Response:
        """One version: its rules, its cases, who made it and why."""
        known, ruleset = await self._known(request)
        caller, identity = known["caller"], ruleset["ruleset_id"]
        found = await self._plane.rulesets.version(caller, identity, request.query_params.get("version", ""))
        return rendered(
            request,
            "ruleset_version.html",
            **known,
            v=found,
            lines=readable(found["engine"], found["content"])[:MOST_LINES],
            cases=await self._cases(caller, identity, found["version"]),
        )

    async def diff(self, request: Request) -> Response:
        """What changed between two versions, as people read rules."""
        known, ruleset = await self._known(request)
        asked = request.query_params
        before, after = [
            await self._plane.rulesets.version(known["caller"], ruleset["ruleset_id"], asked.get(side, ""))
            for side in ("before", "after")
        ]
        lines, said = rule_changes(*((v["engine"], v["content"]) for v in (before, after)))
        versions = await self._plane.rulesets.versions(known["caller"], ruleset["ruleset_id"], VERSIONS)
        return rendered(
            request,
            "ruleset_diff.html",
            **known,
            before=before,
            after=after,
            lines=lines[:MOST_LINES],
            left_out=max(0, len(lines) - MOST_LINES),
            said=said,
            versions=versions,
        )

    async def test(self, request: Request) -> Response:
        """Run the stored cases of a version; like the API, for every reader."""
        caller, form = await self._visits.posted(request)
        identity, version = request.path_params["ruleset_id"], form.get("version", "")
        done = await self._plane.rule_tests.test_cases(caller, identity, version)
        return _to_version(identity, done["version"], "cases")

    # -- executions -----------------------------------------------------------------------------

    async def executions(self, request: Request) -> Response:
        """The log: all of it, what failed, what the version under test did, what differs."""
        known, ruleset = await self._known(request)
        asked = request.query_params
        chosen = {name: asked.get(name) == "true" for name in FILTERS}
        deployment_id = asked.get("deployment_id", "")[:120]
        page = Page(number=whole(asked.get("page")), size=A_PAGE)
        log = await self._plane.rulesets.executions(
            known["caller"], ruleset["ruleset_id"], page, deployment_id, **chosen
        )
        query = {name: "true" for name in FILTERS if chosen[name]}
        query |= {"deployment_id": deployment_id} if deployment_id else {}
        return rendered(
            request,
            "ruleset_executions.html",
            **known,
            log=log,
            chosen=chosen,
            deployment_id=deployment_id,
            query=urlencode(query),
            pages=-(-log["total"] // A_PAGE),
        )

    # -- a rollout ------------------------------------------------------------------------------

    async def rollout(self, request: Request) -> Response:
        """Say what starting a rollout of a version will do, or what is in the way."""
        known, ruleset = await self._known(request)
        caller, version = known["caller"], request.query_params.get("version", "")
        caller.must_reach(Role.APPROVER)
        found = await self._plane.rulesets.version(caller, ruleset["ruleset_id"], version)
        if found["is_stable"]:
            raise Conflict(
                f"{found['version']} serves everyone already.", next_step="Choose another version."
            )
        cases = await self._cases(caller, ruleset["ruleset_id"], found["version"])
        return rendered(request, "ruleset_rollout.html", **known, v=found, cases=cases)

    async def start(self, request: Request) -> Response:
        """Make a draft of a version and start it; a start that is refused leaves no draft behind."""
        caller, form = await self._visits.posted(request)
        ruleset = await self._plane.rulesets.one(caller, request.path_params["ruleset_id"])
        commands = self._plane.commands

        def call(action: str, target: str) -> Call:
            return Call(caller=caller, action=f"deployment.{action}", target=target, needs=Role.APPROVER)

        new = NewDeployment(
            service=ruleset["ruleset_id"],
            version=form.get("version", ""),
            changelog=form.get("changelog", ""),
        )
        made = await commands.create(call("create", ruleset["name"]), new)
        identity = str(made.body["deployment_id"])
        try:
            percentage = number(form.get("percentage", ""))
            await commands.start(call("start", identity), identity, percentage)
        except SerinusError:
            await commands.delete(call("delete", identity), identity)
            raise
        return RedirectResponse(f"/deployments/{identity}", status_code=303)


def _to_version(ruleset: str, version: str, part: str) -> Response:
    query = urlencode({"version": version})
    return RedirectResponse(f"/rulesets/{ruleset}/version?{query}#{part}", status_code=303)
