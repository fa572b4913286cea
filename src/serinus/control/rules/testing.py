"""Testing rules: on an input, on the cases stored with a version, and by the guard before a start."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from serinus.control.commands import StartGuard
from serinus.control.context import Caller, Context, stamp
from serinus.control.rules.views import encoded, find_version
from serinus.control.unit import Call
from serinus.core.contest import arms
from serinus.core.errors import Conflict, InvalidInput
from serinus.core.model import Deployment, Role
from serinus.core.rules import RuleVersion, differences
from serinus.ports.rules import Outcome, Sandbox
from serinus.ports.store import Page

__all__ = ["RuleTests"]


#: What is remembered of a case that failed: so many lines, each of so many characters.
MOST_LINES, LONGEST_LINE = 5, 300


class RuleTests:
    """Runs rules for nobody: what comes out is compared, and counts nowhere."""

    def __init__(self, context: Context, sandbox: Sandbox) -> None:
        """Keep what the calls share."""
        self._context = context
        self._sandbox = sandbox

    async def test(
        self, caller: Caller, ruleset: str, version: str, given: Any, expected: Any, *, compare: bool
    ) -> dict[str, Any]:
        """Run a version (the newest by default) on an input, and compare; changes nothing."""
        caller.must_reach(Role.VIEWER)
        data = encoded(given)
        encoded(expected, "expected_output")
        rules = await self._version(caller, ruleset, version)
        outcome = await self._sandbox.run(rules.engine, rules.digest, rules.source, data)
        return {"version": rules.version, **_tested(outcome, expected, compare=compare)}

    async def test_cases(self, caller: Caller, ruleset: str, version: str) -> dict[str, Any]:
        """Run the cases stored with a version (the newest by default)."""
        caller.must_reach(Role.VIEWER)
        rules = await self._version(caller, ruleset, version)
        cases = await self._run_cases(rules, caller.name)
        passed = sum(1 for c in cases if c["match"])
        return {
            "version": rules.version,
            "match": passed == len(cases),
            "passed": passed,
            "failed": len(cases) - passed,
            "cases": cases,
        }

    async def last(self, caller: Caller, ruleset: str, version: str) -> Mapping[str, Any] | None:
        """Return what the stored cases of a version gave when they ran last: when, by whom, which passed.

        Rules have no clock and no chance, so that it still holds. ``None`` when they never ran.
        """
        caller.must_reach(Role.VIEWER)
        async with self._context.store.begin(write=False) as tx:
            service, found = await find_version(tx, caller, ruleset, version)
            return await tx.sources.cursor(_memory(service.id, found.version))

    async def _run_cases(self, rules: RuleVersion, by: str) -> list[dict[str, Any]]:
        """Run them all, and remember in short what became of them."""
        results = []
        for case in rules.cases:
            outcome = await self._sandbox.run(rules.engine, rules.digest, rules.source, encoded(case.input))
            results.append({"name": case.name, **_tested(outcome, case.expected_output, compare=True)})
        if results:
            at = stamp(self._context.clock.now())
            memory = {"at": at, "by": by, "cases": [_short(r) for r in results]}
            async with self._context.store.begin() as tx:
                await tx.sources.set_cursor(_memory(rules.service_id, rules.version), memory)
        return results

    async def guard(self, call: Call, deployment_id: str) -> StartGuard:
        """Run the cases of the version that is about to start: what a start is refused for, and a note."""
        nothing = StartGuard()
        if not call.caller.role.reaches(call.needs):
            return nothing  # the start itself refuses it, with the right words
        async with self._context.store.begin(write=False) as tx:
            d = await tx.deployments.get(call.caller.tenant_id, deployment_id)
            if d is None or not call.caller.sees(d.service):
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
            found = _guarded(seen, await self._run_cases(rules, call.caller.name))
            if found.refusal:
                return found
            notes.append(found.note)
        return StartGuard(note=" ".join(filter(None, notes)))

    async def _version(self, caller: Caller, ruleset: str, version: str) -> RuleVersion:
        async with self._context.store.begin(write=False) as tx:
            return (await find_version(tx, caller, ruleset, version))[1]


def _memory(service_id: str, version: str) -> str:
    """Return where the last results of a version's cases are remembered; versions may have long names."""
    return f"cases:{service_id}:{hashlib.sha256(version.encode()).hexdigest()[:32]}"


def _short(result: Mapping[str, Any]) -> dict[str, Any]:
    lines = [result["error"]] if result["error"] else [d["line"] for d in result["diff"]]
    return {
        "name": result["name"],
        "match": result["match"],
        "lines": [line[:LONGEST_LINE] for line in lines[:MOST_LINES]],
        "latency_ms": result["latency_ms"],
    }


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
