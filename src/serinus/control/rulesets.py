"""Rulesets: making them, giving them versions, testing them; and the guard that runs their cases."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from serinus.control.commands import StartGuard
from serinus.control.context import Caller, Context, new_id, stamp
from serinus.control.unit import Answer, Call, execute
from serinus.core.contest import arms
from serinus.core.errors import Conflict, InvalidInput, NotFound
from serinus.core.model import Deployment, Role, Service, ServiceKind
from serinus.core.rules import Case, RuleSettings, RuleVersion, canonical, differences, digest_of
from serinus.ports.rules import MAX_INPUT_BYTES, MAX_SOURCE_BYTES, Outcome, RuleRejected, Sandbox
from serinus.ports.store import Execution, Page, Transaction

__all__ = ["NewVersion", "Rulesets", "encoded"]

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
            service = await _find(tx, call.caller, ruleset)
            changed = replace(service, rules=replace(service.rules, **changes))
            await tx.services.save(changed)
            return 200, ruleset_view(changed)

        return await execute(self._context, call, work)

    async def add_version(self, call: Call, ruleset: str, new: NewVersion) -> Answer:
        """Store a version. The same rules under the same name are the version that is there already."""
        call.caller.must_reach(call.needs)
        async with self._context.store.begin(write=False) as tx:
            service = await _find(tx, call.caller, ruleset)
            newest, _ = await tx.rulesets.page(service.tenant_id, service.id, Page(size=1))
        if new.cases is None and newest:
            new = replace(new, cases=newest[0].cases)
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
        """List the tenant's rulesets, by name."""
        caller.must_reach(Role.VIEWER)
        async with self._context.store.begin(write=False) as tx:
            found = [s for s in await tx.services.all(caller.tenant_id) if s.kind is ServiceKind.RULESET]
        return {"rulesets": [ruleset_view(s) for s in found], "total": len(found)}

    async def one(self, caller: Caller, ruleset: str) -> dict[str, Any]:
        """Return a ruleset."""
        caller.must_reach(Role.VIEWER)
        async with self._context.store.begin(write=False) as tx:
            return ruleset_view(await _find(tx, caller, ruleset))

    async def versions(self, caller: Caller, ruleset: str, page: Page) -> dict[str, Any]:
        """List versions, newest first, without their rules."""
        caller.must_reach(Role.VIEWER)
        async with self._context.store.begin(write=False) as tx:
            service = await _find(tx, caller, ruleset)
            found, total = await tx.rulesets.page(service.tenant_id, service.id, page)
        items = [version_view(v, service) for v in found]
        return {"versions": items, "total": total, "page": page.number, "page_size": page.size}

    async def version(self, caller: Caller, ruleset: str, version: str) -> dict[str, Any]:
        """Return one version with its rules and test cases."""
        caller.must_reach(Role.VIEWER)
        service, found = await self._version(caller, ruleset, version)
        return version_view(found, service, whole=True)

    async def executions(
        self, caller: Caller, ruleset: str, page: Page, deployment_id: str, *, failed: bool, differs: bool
    ) -> dict[str, Any]:
        """List logged executions, newest first."""
        caller.must_reach(Role.VIEWER)
        async with self._context.store.begin(write=False) as tx:
            service = await _find(tx, caller, ruleset)
            found, total = await tx.executions.page(
                service.tenant_id,
                service.id,
                page,
                deployment_id=deployment_id,
                failed=failed,
                differs=differs,
            )
        items = [execution_view(e) for e in found]
        return {"executions": items, "total": total, "page": page.number, "page_size": page.size}

    async def shadow(self, caller: Caller, ruleset: str, deployment_id: str) -> dict[str, Any]:
        """Tell how often the canary's rules, run beside stable's, gave another output; with examples."""
        caller.must_reach(Role.VIEWER)
        async with self._context.store.begin(write=False) as tx:
            service = await _find(tx, caller, ruleset)
            if not deployment_id:
                newest, _ = await tx.deployments.page(service.tenant_id, Page(size=1), service_id=service.id)
                deployment_id = newest[0].id if newest else ""
            now = self._context.clock.now().timestamp()
            _, samples = await tx.evidence.read(service.tenant_id, deployment_id, 0, now + 60)
            found, _ = await tx.executions.page(
                service.tenant_id, service.id, Page(size=EXAMPLES), deployment_id=deployment_id, kind="shadow"
            )
        count = {n: int(sum(s.value for s in samples if s.name == f"shadow_{n}")) for n in SHADOW}
        share = count["differs"] / count["compared"] if count["compared"] else None
        return {
            "deployment_id": deployment_id or None,
            "shadow_percent": service.rules.shadow_percent,
            **count,
            "differing_share": share,
            "examples": [execution_view(e) for e in found],
        }

    # -- testing --------------------------------------------------------------------------------

    async def test(
        self, caller: Caller, ruleset: str, version: str, given: Any, expected: Any, *, compare: bool
    ) -> dict[str, Any]:
        """Run a version (the newest by default) on an input, and compare; changes nothing."""
        caller.must_reach(Role.VIEWER)
        data = encoded(given)
        encoded(expected, "expected_output")
        _, rules = await self._version(caller, ruleset, version)
        outcome = await self._sandbox.run(rules.engine, rules.digest, rules.source, data)
        return {"version": rules.version, **_tested(outcome, expected, compare=compare)}

    async def test_cases(self, caller: Caller, ruleset: str, version: str) -> dict[str, Any]:
        """Run the cases stored with a version (the newest by default)."""
        caller.must_reach(Role.VIEWER)
        _, rules = await self._version(caller, ruleset, version)
        cases = await self._run_cases(rules)
        passed = sum(1 for c in cases if c["match"])
        return {
            "version": rules.version,
            "match": passed == len(cases),
            "passed": passed,
            "failed": len(cases) - passed,
            "cases": cases,
        }

    async def _run_cases(self, rules: RuleVersion) -> list[dict[str, Any]]:
        results = []
        for case in rules.cases:
            outcome = await self._sandbox.run(rules.engine, rules.digest, rules.source, encoded(case.input))
            results.append({"name": case.name, **_tested(outcome, case.expected_output, compare=True)})
        return results

    async def guard(self, call: Call, deployment_id: str) -> StartGuard:
        """Run the cases of the version that is about to start: what a start is refused for, and a note."""
        nothing = StartGuard()
        if not call.caller.role.reaches(call.needs):
            return nothing  # the start itself refuses it, with the right words
        async with self._context.store.begin(write=False) as tx:
            d = await tx.deployments.get(call.caller.tenant_id, deployment_id)
            if d is None:
                return nothing
            _, total = await tx.rulesets.page(d.tenant_id, d.service_id, Page(size=1))
            about = arms(d)
            stored = [await tx.rulesets.get(a.tenant_id, a.service_id, a.version) for a in about]
        if not total:
            return nothing  # its rules are run by somebody else
        notes = []
        for seen, rules in zip(about, stored, strict=True):
            if rules is None:
                return StartGuard(refusal=_not_stored(seen))
            found = _guarded(seen, await self._run_cases(rules))
            if found.refusal:
                return found
            notes.append(found.note)
        return StartGuard(note=" ".join(filter(None, notes)))

    async def _version(self, caller: Caller, ruleset: str, version: str) -> tuple[Service, RuleVersion]:
        async with self._context.store.begin(write=False) as tx:
            service = await _find(tx, caller, ruleset)
            if version:
                found = await tx.rulesets.get(service.tenant_id, service.id, version)
            else:
                newest, _ = await tx.rulesets.page(service.tenant_id, service.id, Page(size=1))
                found = newest[0] if newest else None
        if found is None:
            raise NotFound(
                f"{service.name} has no version {version!r}."
                if version
                else f"{service.name} has no version.",
                field="version",
                next_step=f"GET /api/v1/rulesets/{service.id}/versions lists them; POST there adds one.",
            )
        return service, found


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


async def _find(tx: Transaction, caller: Caller, ruleset: str) -> Service:
    service = await tx.services.get(caller.tenant_id, ruleset)
    if service is None or service.kind is not ServiceKind.RULESET:
        raise NotFound(
            f"There is no ruleset {ruleset[:80]!r}.",
            field="ruleset_id",
            next_step="GET /api/v1/rulesets lists yours; POST there makes one.",
        )
    return service


def _not_stored(d: Deployment) -> InvalidInput:
    return InvalidInput(
        f"{d.service} has no version {d.version}.",
        field="version",
        next_step=f"POST /api/v1/rulesets/{d.service_id}/versions with its rules first.",
    )


def _guarded(d: Deployment, cases: Sequence[Mapping[str, Any]]) -> StartGuard:
    failed = [c for c in cases if not c["match"]]
    if not failed:
        passed = f"{len(cases)} of {len(cases)} test cases of {d.version} passed." if cases else ""
        return StartGuard(note=passed)
    first = failed[0]
    why = first["error"] or (first["diff"][0]["line"] if first["diff"] else "")
    return StartGuard(
        refusal=Conflict(
            f"{len(failed)} of {len(cases)} test cases of {d.service} {d.version} fail: "
            f"{first['name']}: {why}",
            next_step="POST a corrected version, or one with corrected cases, and deploy that.",
            extra={"kind": "test-cases-failed", "failed_cases": failed[:20]},
        )
    )


def _tested(outcome: Outcome, expected: Any, *, compare: bool) -> dict[str, Any]:
    output = json.loads(outcome.output) if outcome.ok else None
    found = differences(expected, output) if compare and outcome.ok else []
    return {
        "output": output,
        "match": (outcome.ok and not found) if compare else None,
        "diff": [
            {"path": d.path, "kind": d.kind, "expected": d.expected, "actual": d.actual, "line": d.line}
            for d in found
        ],
        "error": outcome.error or None,
        "latency_ms": round(outcome.latency_ms, 3),
    }


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
