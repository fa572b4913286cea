"""Executing rulesets: routed like every service, measured like every service, and logged.

The control plane is its own SDK here: per tenant there is one client that follows the tenant's snapshot, so
that stickiness, the breaker and the evidence are the very same code as inside an application.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from serinus.control.context import Caller, Context, new_id
from serinus.control.ingest import EXECUTOR, Ingest
from serinus.control.rules.rulesets import SHADOW
from serinus.control.rules.views import encoded
from serinus.control.snapshot import LoadedRuleset, Snapshot, Snapshots
from serinus.core.errors import NotFound, RuleFailed, SerinusError, Unavailable
from serinus.core.model import Role
from serinus.core.rules import RuleVersion, differences, hidden_texts, redacted, scrubbed
from serinus.core.values import storable
from serinus.ports.rules import Outcome, Sandbox
from serinus.ports.store import Execution
from serinus.sdk import Choice, Client, Router
from serinus.sdk.kept import KeptUnits, packed
from serinus.sdk.transport import apart

__all__ = ["Executed", "Executor"]

#: The endpoint under which executions are measured.
ENDPOINT = "execute"
#: Good executions waiting for the log between two flushes; more are not logged.
MAX_WAITING = 500
#: Failed ones are always kept; only if the store is away for long do the oldest of so many go.
MAX_FAILED = 20_000
#: Shadow executions under way; more are skipped and counted.
MAX_SHADOWS = 32
#: Bytes of a logged input or output; larger ones are logged by their size alone.
MAX_LOGGED_BYTES = 16 * 1024
#: Batches kept while the store is away.
MAX_UNSENT = 120
#: Units that stay on a canary are asked for again after this long, where they could not be had.
AGAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Executed:
    """An answer: the output as the engine wrote it, and what is told beside it."""

    output: bytes
    beside: Mapping[str, Any]

    def body(self) -> bytes:
        """Return the whole answer in JSON."""
        return b'{"output":' + self.output + b"," + json.dumps(self.beside).encode()[1:]


@dataclass(slots=True)
class _Tenant:
    """A tenant's routing, and what waits to be told of it."""

    id: str
    client: Client
    rulesets: Mapping[str, LoadedRuleset] = field(default_factory=dict)
    revision: str = ""
    #: (ruleset, what of ``SHADOW``) → how often, since the last flush.
    shadows: Counter[tuple[str, str]] = field(default_factory=Counter)
    #: Measurements, and units that are on a canary: the latter keep no measurement waiting.
    unsent: deque[dict[str, Any]] = field(default_factory=deque)
    untold: deque[dict[str, Any]] = field(default_factory=deque)
    kept: KeptUnits = field(default_factory=KeptUnits)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    again_at: float = 0.0


@dataclass(frozen=True, slots=True)
class _Run:
    """One execution as its log entry sees it."""

    tenant: _Tenant
    ruleset: LoadedRuleset
    rules: RuleVersion
    choice: Choice
    deployment: str
    given: Any
    data: bytes


class Executor:
    """Runs rulesets for callers."""

    def __init__(self, context: Context, snapshots: Snapshots, ingest: Ingest, sandbox: Sandbox) -> None:
        """Start with nothing followed."""
        self._context, self._snapshots, self._ingest = context, snapshots, ingest
        self._sandbox = sandbox
        self._tenants: dict[str, _Tenant] = {}
        self._source, self._seq = new_id(EXECUTOR), 0
        self._good: deque[Execution] = deque()
        self._failed: deque[Execution] = deque(maxlen=MAX_FAILED)
        self._shadows: set[asyncio.Task[None]] = set()
        #: Set when a breaker opened: the flush must not wait.
        self.early = asyncio.Event()

    async def execute(
        self,
        caller: Caller,
        ruleset: str,
        given: Any,
        *,
        user_id: str = "",
        session_id: str = "",
        workflow_id: str = "",
    ) -> Executed:
        """Run a ruleset for a unit, on the version that the unit is on.

        When the canary's rules fail, stable's answer is served: rules change nothing, so running them
        twice harms nobody. The failure counts against the canary all the same.

        Raises:
            NotFound: There is no such ruleset, or its version is not stored here.
            InvalidInput: The input is no JSON, or too large.
            RuleFailed: Stable's rules gave no answer.
            Unavailable: No worker could be started.
        """
        if caller.role is not Role.SDK:  # an application's token may execute, and so may an approver
            caller.must_reach(Role.APPROVER)
        data = encoded(given)
        tenant = await self._follow(caller.tenant_id)
        found = tenant.rulesets.get(ruleset)
        if found is None or not caller.sees(found.name):
            raise caller.missing(
                NotFound(
                    f"There is no ruleset {ruleset[:80]!r}.",
                    field="ruleset_id",
                    next_step="GET /api/v1/rulesets lists yours; POST there makes one.",
                )
            )
        router = tenant.client.service(found.name)
        choice = router.expose(user_id, session_id, workflow_id)
        run = self._prepared(tenant, found, router, choice, given, data)
        outcome = await self._measured(run, router)
        identity = self._log(run, outcome, "execute")
        if outcome.ok:
            self._maybe_shadow(run, router, outcome)
            return self._answer(run, outcome, identity)
        if choice.is_canary:
            return await self._fall_back(run, router, outcome, identity)
        raise self._refusal(run, outcome, identity)

    async def _follow(self, tenant_id: str) -> _Tenant:
        tenant = self._tenants.get(tenant_id)
        if tenant is None:
            client = Client(url="", token="", window_seconds=self._context.window_seconds)
            tenant = self._tenants[tenant_id] = _Tenant(tenant_id, client)
        snapshot = await self._snapshots.get(tenant_id)
        if tenant.revision != snapshot.revision and self._context.clock.monotonic() >= tenant.again_at:
            async with tenant.turn:  # one after the other, or an older snapshot could come last
                snapshot = await self._snapshots.get(tenant_id)
                if tenant.revision != snapshot.revision:
                    await self._adopt(tenant, snapshot)
        tenant.rulesets = snapshot.rulesets
        return tenant

    async def _adopt(self, tenant: _Tenant, new: Snapshot) -> None:
        """Follow a snapshot with the units that stay on canaries; without them those services stay."""
        self._collect(tenant)  # what was measured before belongs to what ran before
        snapshot = json.loads(new.body)
        missing, tenant.revision = tenant.kept.missing(snapshot), new.revision
        if missing:
            try:
                async with self._context.store.begin(write=False) as tx:
                    assignments = self._context.assignments(tx)
                    for book, index in missing:
                        found = await assignments.units(tenant.id, book, index)
                        tenant.kept.put(book, index, packed(*found))
            except Unavailable:
                tenant.revision, tenant.again_at = "", self._context.clock.monotonic() + AGAIN_SECONDS
        tenant.client.follow(tenant.kept.complete(snapshot, tenant.client.services))

    def _prepared(
        self,
        tenant: _Tenant,
        found: LoadedRuleset,
        router: Router,
        choice: Choice,
        given: Any,
        data: bytes,
    ) -> _Run:
        rules = found.versions.get(choice.version)
        if rules is None:
            raise NotFound(
                f"{found.name} has no rules for {choice.version or 'its stable version'}.",
                field="version",
                next_step=f"POST them to /api/v1/rulesets/{found.id}/versions.",
            )
        return _Run(tenant, found, rules, choice, router.plan.deployment, given, data)

    async def _outcome(self, rules: RuleVersion, data: bytes) -> Outcome:
        return await self._sandbox.run(rules.engine, rules.digest, rules.source, data)

    async def _measured(self, run: _Run, router: Router) -> Outcome:
        """Run, count the request on its side, and step the breaker."""
        outcome = await self._outcome(run.rules, run.data)
        status = 200 if outcome.ok else 500
        recorder = run.tenant.client.recorder(run.ruleset.name)
        candidate = run.choice.candidate
        place = (ENDPOINT, "", candidate) if candidate else ENDPOINT
        recorder.record(run.choice.is_canary, place, status, outcome.latency_ms)
        if run.choice.is_canary:
            if not outcome.ok:
                router.failed(candidate)
                if router.breaker_open:
                    self.early.set()
            elif router.needs_success:
                router.succeeded(candidate)
        return outcome

    async def _fall_back(self, run: _Run, router: Router, failed: Outcome, identity: str) -> Executed:
        """Serve stable's answer in place of the canary's failure; it counts for neither side."""
        stable = Choice(router.plan.stable_version, is_canary=False, priority=run.choice.priority)
        again = self._prepared(run.tenant, run.ruleset, router, stable, run.given, run.data)
        outcome = await self._outcome(again.rules, run.data)
        if not outcome.ok:
            raise self._refusal(again, outcome, identity)
        error = {"version": run.choice.version, "detail": failed.error, "kind": failed.kind}
        return self._answer(again, outcome, identity, fell_back=True, canary_error=error)

    @staticmethod
    def _answer(run: _Run, outcome: Outcome, identity: str, **more: Any) -> Executed:
        beside = {
            "version": run.choice.version,
            "is_canary": run.choice.is_canary,
            "priority": run.choice.priority,
            "deployment_id": run.deployment or None,
            "execution_id": identity,
            "latency_ms": round(outcome.latency_ms, 3),
            "fell_back": False,
            **more,
        }
        return Executed(outcome.output, beside)

    @staticmethod
    def _refusal(run: _Run, outcome: Outcome, identity: str) -> RuleFailed:
        return RuleFailed(
            f"{run.ruleset.name} {run.choice.version} gave no answer: {outcome.error}",
            field="input",
            next_step=f"GET /api/v1/rulesets/{run.ruleset.id}/executions?failed=true shows what failed.",
            extra={
                "error_kind": outcome.kind,
                "version": run.choice.version,
                "is_canary": run.choice.is_canary,
                "execution_id": identity,
            },
        )

    # -- logging --------------------------------------------------------------------------------

    def _log(self, run: _Run, outcome: Outcome, kind: str, lines: tuple[str, ...] | None = None) -> str:
        """Keep an entry: failures and differences always, the rest by sample; return its id."""
        identity = new_id("exe")
        always = not outcome.ok or lines is not None
        settings = run.ruleset.settings
        if not always:
            sampled = random.random() * 100 < settings.log_percent
            if not sampled or len(self._good) >= MAX_WAITING:
                return identity
        secrets = hidden_texts(run.given, settings.redact)
        output = _hidden(run, json.loads(outcome.output)) if outcome.ok else None
        entry = Execution(
            id=identity,
            tenant_id=run.tenant.id,
            service_id=run.ruleset.id,
            deployment_id=run.deployment,
            at=self._context.clock.now(),
            kind=kind,
            version=run.rules.version,
            is_canary=run.choice.is_canary or kind == "shadow",
            ok=outcome.ok,
            latency_ms=outcome.latency_ms,
            priority=run.choice.priority or "",
            error=storable(str(scrubbed(outcome.error, secrets)), 1000),
            error_kind=outcome.kind,
            differs=bool(lines),
            input=_bounded(redacted(run.given, settings.redact)),
            output=_bounded(output),
            differences=lines or (),
        )
        (self._failed if always else self._good).append(entry)
        return identity

    # -- shadows --------------------------------------------------------------------------------

    def _maybe_shadow(self, run: _Run, router: Router, served: Outcome) -> None:
        """Run the canary's rules beside stable's on a share of calls, after the answer went out."""
        share = run.ruleset.settings.shadow_percent
        if not share or run.choice.is_canary or not run.deployment or random.random() * 100 >= share:
            return
        canary = run.ruleset.versions.get(router.plan.canary_version)
        if canary is None:
            return
        if len(self._shadows) >= MAX_SHADOWS:
            run.tenant.shadows[run.ruleset.name, "skipped"] += 1
            return
        self._start(lambda: self._shadow(run, canary, served))

    def _start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = asyncio.create_task(work())
        self._shadows.add(task)
        task.add_done_callback(self._shadows.discard)

    async def _shadow(self, run: _Run, canary: RuleVersion, served: Outcome) -> None:
        counts, name = run.tenant.shadows, run.ruleset.name
        try:
            outcome = await self._outcome(canary, run.data)
        except Unavailable:  # no worker had time for it: the answer that counts went out long ago
            counts[name, "skipped"] += 1
            return
        beside = _Run(run.tenant, run.ruleset, canary, run.choice, run.deployment, run.given, run.data)
        counts[name, "compared"] += 1
        if not outcome.ok:
            counts[name, "failed"] += 1
            self._log(beside, outcome, "shadow", ())
            return
        both = json.loads(served.output), json.loads(outcome.output)
        found = differences(*both)
        if found:
            counts[name, "differs"] += 1
            if len(self._failed) < MAX_WAITING:
                shown = differences(*(_hidden(run, output) for output in both))
                more = ("what is redacted differs",) if len(shown) < len(found) else ()
                self._log(beside, outcome, "shadow", (*(d.line for d in shown), *more))

    # -- flushing -------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Wait for the shadows under way."""
        await asyncio.gather(*self._shadows)

    async def flush(self) -> None:
        """Hand in what was measured, and store the log.

        Raises:
            SerinusError: A tenant's was not taken, and comes again; the others' and the log are stored.
        """
        problem: SerinusError | None = None
        for tenant in list(self._tenants.values()):
            self._collect(tenant)
            for queue in (tenant.unsent, tenant.untold):
                try:
                    while queue:
                        await self._ingest.submit(tenant.id, queue[0])
                        queue.popleft()
                except SerinusError as error:
                    problem = problem or error
        entries = [*self._failed, *self._good]
        if entries:
            async with self._context.store.begin() as tx:
                await tx.executions.add(entries)
            stored = {e.id for e in entries}
            self._good = deque(e for e in self._good if e.id not in stored)
            self._failed = deque((e for e in self._failed if e.id not in stored), maxlen=MAX_FAILED)
        if problem:
            raise problem

    def _collect(self, tenant: _Tenant) -> None:
        for (name, what), times in tenant.shadows.items():
            assert what in SHADOW
            router = tenant.client.service(name)
            choice = Choice(router.plan.canary_version, is_canary=True, priority=None)
            tenant.client.metric(name, choice, f"shadow_{what}", times)
        tenant.shadows.clear()
        measured, units = apart(tenant.client.take_batch(last=True))
        if measured:
            now = int(self._context.clock.now().timestamp())
            for one in (*measured["windows"], *measured["samples"]):
                one["start"] = now  # by the clock of the control plane
            if len(tenant.unsent) >= MAX_UNSENT:
                tenant.unsent.popleft()
            tenant.unsent.append(self._numbered(tenant, measured))
        if units:
            if len(tenant.untold) >= MAX_UNSENT:
                tenant.client.take_back(tenant.untold.popleft())
            tenant.untold.append(self._numbered(tenant, units))

    def _numbered(self, tenant: _Tenant, batch: dict[str, Any]) -> dict[str, Any]:
        self._seq += 1
        who = {"source": self._source, "seq": self._seq, "sdk": "serinus"}
        return {**who, "snapshot_revision": tenant.client.revision, **batch}

    async def close(self) -> None:
        """Store the rest, and end the workers."""
        try:
            await self.settle()
            await self.flush()
        finally:
            await self._sandbox.close()


def _hidden(run: _Run, output: Any) -> Any:
    """Return an output without what is redacted, there or in the input that it may repeat."""
    paths = run.ruleset.settings.redact
    return scrubbed(redacted(output, paths), hidden_texts(run.given, paths))


def _bounded(value: Any) -> Any:
    size = len(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    return value if size <= MAX_LOGGED_BYTES else {"left_out": f"{size} bytes"}
