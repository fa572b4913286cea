"""Rulesets: making them, giving them versions, testing them; and the guard that runs their cases."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from serinus.control.context import Caller, Context, new_id
from serinus.control.rules.views import (
    encoded,
    execution_view,
    find_ruleset,
    find_version,
    newest_view,
    ruleset_view,
    version_view,
)
from serinus.control.unit import Answer, Call, execute
from serinus.core.errors import InvalidInput, NotFound
from serinus.core.model import Role, Service, ServiceKind, Status
from serinus.core.rules import Case, RuleSettings, RuleVersion, canonical, digest_of
from serinus.ports.rules import MAX_SOURCE_BYTES, RuleRejected, Sandbox
from serinus.ports.store import Page, Transaction

__all__ = ["NewVersion", "Rulesets"]

#: Test cases of one version.
MAX_CASES = 200
#: Examples of differing outputs that a shadow's summary shows.
EXAMPLES = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class NewVersion:
    """What a version is made from."""

    version: str
    #: A script, or a decision model as JSON data.
    content: Any
    engine: str = "zen"
    changelog: str = ""
    #: ``None`` takes over the cases of the newest version.
    cases: tuple[Case, ...] | None = field(default=None)


class Rulesets:
    """Everything about rulesets but their execution."""

    def __init__(self, context: Context, sandbox: Sandbox) -> None:
        """Keep what the calls share."""
        self._context = context
        self._sandbox = sandbox

    # -- changing -------------------------------------------------------------------------------

    async def create(self, call: Call, name: str, settings: RuleSettings, new: NewVersion) -> Answer:
        """Make a ruleset with its first version, which is its stable one."""
        call.caller.must_reach(call.needs)
        made = await self._checked(call, "", new)

        async def work(tx: Transaction) -> tuple[int, Any]:
            call.caller.must_see(name)
            service = Service(
                id=new_id("rul"),
                tenant_id=call.caller.tenant_id,
                name=name,
                kind=ServiceKind.RULESET,
                stable_version=new.version,
                rules=settings,
                created_at=self._context.clock.now(),
            )
            await tx.services.add(service)
            await tx.rulesets.add(replace(made, service_id=service.id))
            await tx.leases.wake(service.id, self._context.clock.now())
            return 201, {**ruleset_view(service), "digest": made.digest}

        return await execute(self._context, call, work)

    async def change(self, call: Call, ruleset: str, changes: Mapping[str, Any]) -> Answer:
        """Change how executions are logged, redacted and shadowed."""

        async def work(tx: Transaction) -> tuple[int, Any]:
            service = await find_ruleset(tx, call.caller, ruleset)
            changed = replace(service, rules=replace(service.rules, **changes))
            await tx.services.save(changed)
            return 200, ruleset_view(changed)

        return await execute(self._context, call, work)

    async def add_version(self, call: Call, ruleset: str, new: NewVersion) -> Answer:
        """Store a version. The same rules under the same name are the version that is there already."""
        call.caller.must_reach(call.needs)
        async with self._context.store.begin(write=False) as tx:
            service = await find_ruleset(tx, call.caller, ruleset)
            known = await tx.rulesets.get(service.tenant_id, service.id, new.version)
            newest, _ = await tx.rulesets.page(service.tenant_id, service.id, Page(size=1))
        if new.cases is None and newest:
            new = replace(new, cases=(known or newest[0]).cases)  # sent again, it inherits as it did then
        made = await self._checked(call, service.id, new)

        async def work(tx: Transaction) -> tuple[int, Any]:
            known = await tx.rulesets.get(service.tenant_id, service.id, made.version)
            if known and known.digest == made.digest and known.cases == made.cases:
                return 200, version_view(known, service, whole=True)
            await tx.rulesets.add(made)
            return 201, version_view(made, service, whole=True)

        return await execute(self._context, call, work)

    async def _checked(self, call: Call, service_id: str, new: NewVersion) -> RuleVersion:
        """Return the version as it would be stored.

        Raises:
            InvalidInput: The rules do not compile, or go beyond a limit.
        """
        source = _source(new)
        if len(source.encode("utf-8", "surrogatepass")) > MAX_SOURCE_BYTES:
            raise InvalidInput(
                f"The rules are larger than {MAX_SOURCE_BYTES // 1024} KiB.",
                field="content",
                next_step="Split them into several rulesets, or move data into the input.",
            )
        cases = new.cases or ()
        if len(cases) > MAX_CASES:
            raise InvalidInput(f"There are {len(cases)} test cases; at most {MAX_CASES}.", field="test_cases")
        for at, case in enumerate(cases):
            encoded(case.input, f"test_cases.{at}.input")
            encoded(case.expected_output, f"test_cases.{at}.expected_output")
        try:
            await self._sandbox.check(new.engine, source)
        except RuleRejected as error:
            raise InvalidInput(
                f"These rules cannot be taken: {error}",
                field="content",
                next_step="Correct them; nothing was stored.",
            ) from error
        return RuleVersion(
            tenant_id=call.caller.tenant_id,
            service_id=service_id,
            version=new.version,
            engine=new.engine,
            source=source,
            digest=digest_of(new.engine, source),
            changelog=new.changelog,
            author=call.caller.name,
            cases=cases,
            created_at=self._context.clock.now(),
        )

    # -- reading --------------------------------------------------------------------------------

    async def all(self, caller: Caller) -> dict[str, Any]:
        """List the tenant's rulesets by name: which version serves, which is the newest, what rolls out."""
        caller.must_reach(Role.VIEWER)
        async with self._context.store.begin(write=False) as tx:
            every = await tx.services.all(caller.tenant_id)
            found = [s for s in every if s.kind is ServiceKind.RULESET and caller.sees(s.name)]
            newest = await tx.rulesets.newest(caller.tenant_id)
            items = [
                {**ruleset_view(s), **newest_view(newest.get(s.id)), "running": await _running(tx, s)}
                for s in found
            ]
        return {"rulesets": items, "total": len(found)}

    async def one(self, caller: Caller, ruleset: str) -> dict[str, Any]:
        """Return a ruleset."""
        caller.must_reach(Role.VIEWER)
        async with self._context.store.begin(write=False) as tx:
            service = await find_ruleset(tx, caller, ruleset)
            return {**ruleset_view(service), "running": await _running(tx, service)}

    async def versions(self, caller: Caller, ruleset: str, page: Page) -> dict[str, Any]:
        """List versions, newest first, without their rules."""
        caller.must_reach(Role.VIEWER)
        async with self._context.store.begin(write=False) as tx:
            service = await find_ruleset(tx, caller, ruleset)
            found, total = await tx.rulesets.page(service.tenant_id, service.id, page)
        items = [version_view(v, service) for v in found]
        return {"versions": items, "total": total, "page": page.number, "page_size": page.size}

    async def version(self, caller: Caller, ruleset: str, version: str) -> dict[str, Any]:
        """Return one version with its rules and test cases."""
        caller.must_reach(Role.VIEWER)
        async with self._context.store.begin(write=False) as tx:
            service, found = await find_version(tx, caller, ruleset, version)
        return version_view(found, service, whole=True)

    async def executions(
        self,
        caller: Caller,
        ruleset: str,
        page: Page,
        deployment_id: str = "",
        *,
        failed: bool = False,
        canary: bool = False,
        differs: bool = False,
    ) -> dict[str, Any]:
        """List logged executions, newest first."""
        caller.must_reach(Role.VIEWER)
        async with self._context.store.begin(write=False) as tx:
            service = await find_ruleset(tx, caller, ruleset)
            found, total = await tx.executions.page(
                service.tenant_id,
                service.id,
                page,
                deployment_id=deployment_id,
                failed=failed,
                canary=canary,
                differs=differs,
            )
        items = [execution_view(e) for e in found]
        return {"executions": items, "total": total, "page": page.number, "page_size": page.size}

    async def shadow(self, caller: Caller, ruleset: str, deployment_id: str) -> dict[str, Any]:
        """Tell how often the canary's rules, run beside stable's, gave another output; with examples."""
        caller.must_reach(Role.VIEWER)
        async with self._context.store.begin(write=False) as tx:
            service = await find_ruleset(tx, caller, ruleset)
            asked = await tx.deployments.get(service.tenant_id, deployment_id) if deployment_id else None
            if deployment_id and (asked is None or asked.service_id != service.id):
                raise NotFound(f"{service.name} has no deployment {deployment_id[:80]!r}.")
            if not deployment_id:
                newest, _ = await tx.deployments.page(service.tenant_id, Page(size=1), service_id=service.id)
                deployment_id = newest[0].id if newest else ""
            names = [f"shadow_{n}" for n in SHADOW]
            counted = await tx.evidence.counted(service.tenant_id, deployment_id, names)
            found, _ = await tx.executions.page(
                service.tenant_id, service.id, Page(size=EXAMPLES), deployment_id=deployment_id, kind="shadow"
            )
        count = {n: int(counted.get(f"shadow_{n}", 0)) for n in SHADOW}
        share = count["differs"] / count["compared"] if count["compared"] else None
        return {
            "deployment_id": deployment_id or None,
            "shadow_percent": service.rules.shadow_percent,
            **count,
            "differing_share": share,
            "examples": [execution_view(e) for e in found],
        }


async def _running(tx: Transaction, service: Service) -> dict[str, Any] | None:
    """Return the deployment that takes a new version to its users now."""
    for d in await tx.deployments.current(service.tenant_id, service.id):
        if d.status is Status.CANARY:
            return {"deployment_id": d.id, "version": d.version, "traffic_percentage": d.traffic_bp / 100}
    return None


#: What is counted of shadow executions.
SHADOW = ("compared", "differs", "failed", "skipped")


def _source(new: NewVersion) -> str:
    """Return the rules as text: JSON in its one spelling, so that the same model has the same address."""
    if not isinstance(new.content, str):
        try:
            return canonical(new.content)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"content is no JSON: {error}.", field="content") from error
    if new.engine == "zen":
        try:
            return canonical(json.loads(new.content))
        except (ValueError, RecursionError) as error:
            raise InvalidInput(
                f"content is no JSON: {error}.", field="content", next_step="zen's rules are a JSON model."
            ) from error
    return new.content
