"""One service's decision: everything that can be computed when a snapshot arrives is computed then.

``decide`` is one closure per router. A new snapshot swaps a single reference (the plan), so a decision
sees either the old or the new one, whole. The breaker is part of the plan: when it opens the plan
becomes "stable for all", so that a closed breaker costs nothing.
"""

from __future__ import annotations

import time

from xxhash import xxh64_intdigest

from serinus.sdk.kept import holds, sliced
from serinus.sdk.rules import RuleError, compile_rule
from serinus.sdk.seats import Breaker, Seat
from serinus.sdk.watch import Watch

TYPE_CHECKING = False  # typing itself costs milliseconds and a megabyte; checkers know this name
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from serinus.sdk.kept import Slices
    from serinus.sdk.watch import Seen

    #: hash, priority, key, and the deployment's reset count when it was seen
    Unit = tuple[int, str, str, int]

__all__ = ["Choice", "Plan", "Router"]

BUCKETS = 10_000
#: Units put on the canary that this process remembers, twice; who is forgotten is told of again.
MAX_KNOWN = 200_000
#: Units that wait to be told of; those beyond it are told of at a later request.
MAX_FRESH = 200_000
PRIORITIES = ("workflow_id", "session_id", "user_id")


class Choice:
    """A decision: which version, whether it is the canary, and which key decided. Immutable, reused."""

    __slots__ = ("candidate", "is_canary", "priority", "version")

    version: str
    is_canary: bool
    priority: str | None
    #: The version again where it is one of several under test; empty with one canary, and for stable.
    candidate: str

    def __init__(self, version: str, is_canary: bool, priority: str | None, candidate: str = "") -> None:
        """Make a choice; routers make all of theirs when a snapshot arrives."""
        set_ = object.__setattr__
        set_(self, "candidate", candidate)
        set_(self, "version", version)
        set_(self, "is_canary", is_canary)
        set_(self, "priority", priority)

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse changes."""
        raise AttributeError("a Choice cannot be changed")

    def __repr__(self) -> str:
        """Show all three."""
        return f"Choice({self.version!r}, is_canary={self.is_canary}, priority={self.priority!r})"


class Plan:
    """A service's part of a snapshot, compiled."""

    __slots__ = (
        "breaker_failures",
        "canary",
        "canary_version",
        "deployment",
        "epoch",
        "keeps",
        "open_seconds",
        "pinned",
        "placed",
        "prefix",
        "rule",
        "seated",
        "seats",
        "special",
        "stable",
        "stable_version",
        "sticky",
        "weight",
    )

    def __init__(self, entry: Mapping[str, Any]) -> None:
        """Compile one service's entry. Unusable parts mean stable; they are never an exception later."""
        running = entry.get("deployment") or {}
        breaker = running.get("breaker") or {}
        self.stable_version = str(entry.get("stable") or "")
        self.canary_version = str(running.get("version") or "")
        self.deployment = str(running.get("id") or "")
        self.prefix = f"{running.get('salt', '')}:"
        fleet_open = breaker.get("state") == "open"
        self.weight = 0 if fleet_open or not self.deployment else int(running.get("weight_bp", 0))
        self.breaker_failures = int(breaker.get("failures", 5))
        self.open_seconds = float(breaker.get("open_seconds", 60))
        self.keeps = running.get("stickiness") == "persistent" and not fleet_open
        self.epoch = int(running.get("epoch", 0))
        sticky = (running.get("sticky") or {}) if self.keeps else {}
        self.sticky: Slices = sticky if isinstance(sticky, dict) else sliced(sticky)
        #: unit → whether a person has put it on the canary
        self.placed = {} if fleet_open else _placed(running.get("placed") or {})
        users, workflows = running.get("user_ids") or (), running.get("workflow_ids") or ()
        self.pinned = (frozenset(), frozenset()) if fleet_open else (frozenset(users), frozenset(workflows))
        self.rule = compile_rule(running["rule"]) if running.get("rule") else None
        self.stable = {
            p: Choice(self.stable_version, is_canary=False, priority=p) for p in (*PRIORITIES, None)
        }
        self.canary = {
            p: Choice(self.canary_version, is_canary=True, priority=p) for p in (*PRIORITIES, None)
        }
        self.seats = () if fleet_open else tuple(Seat(c) for c in running.get("candidates") or ())
        self.seated = {
            seat.version: {
                p: Choice(seat.version, is_canary=True, priority=p, candidate=seat.version)
                for p in (*PRIORITIES, None)
            }
            for seat in self.seats
        }
        self.special = bool(self.sticky or self.placed or users or workflows or self.rule or self.seats)

    def slot(self, bucket: int) -> tuple[int, int]:
        """Return where a bucket lies in the slot that it is in, and how many of the slot are the canary's."""
        for seat in reversed(self.seats):
            if seat.begin <= bucket:
                return bucket - seat.begin, seat.end - seat.begin
        return bucket, self.weight

    def tests(self, version: str) -> bool:
        """Tell whether this version is under test."""
        return version == self.canary_version or version in self.seated

    @property
    def splits(self) -> bool:
        """Tell whether there are units on both sides, so that one may flip."""
        shares = [seat.end - seat.begin for seat in self.seats] or [self.weight]
        return any(0 < share < BUCKETS for share in shares)


def _placed(sides: Mapping[str, Any]) -> dict[int, bool]:
    return {
        int(unit, 16): side == "canary" for side in ("canary", "stable") for unit in sides.get(side) or ()
    }


#: A plan before any snapshot: everyone on a stable version without a name.
EMPTY = Plan({})


class Router:
    """Decides for one service. ``decide`` takes about a quarter of a microsecond and never raises."""

    __slots__ = ("_assign", "_on_breaker", "_state", "decide", "decide_for", "service")

    decide: Callable[..., Choice]
    decide_for: Callable[..., Choice]

    def __init__(self, service: str, on_breaker: Callable[..., None] | None = None) -> None:
        """Start with stable for all; ``on_breaker`` is told when the local breaker changes."""
        self.service = service
        self._on_breaker = on_breaker
        self._state = _State()
        self.decide, self.decide_for, self._assign = _deciders(self._state)

    @property
    def plan(self) -> Plan:
        """The plan in force, as the snapshot has it."""
        return self._state.plan

    @property
    def breaker_open(self) -> bool:
        """Whether this process's own breaker keeps everyone, or one of several candidates', on stable."""
        state = self._state
        return state.opened_at is not None or any(b.opened_at is not None for b in state.breakers.values())

    def adopt(self, entry: Mapping[str, Any]) -> None:
        """Follow a new snapshot entry. A malformed one is refused whole and the old one stays.

        Raises:
            ValueError: The entry cannot be followed.
        """
        try:
            plan = Plan(entry)
        except (TypeError, ValueError, AttributeError, KeyError, RuleError) as error:
            raise ValueError(f"the snapshot of {self.service} cannot be followed: {error}") from error
        state, before = self._state, self._state.plan
        if plan.deployment != before.deployment:
            state.forget()
            state.watched = Watch(plan.deployment)
        elif plan.epoch != before.epoch:
            state.known, state.known_before = set(), set()  # what stays is in the snapshot's slices
        if plan.deployment == before.deployment and plan.weight < state.peak:
            plan.special = plan.special or plan.keeps
        state.watch = state.watched if plan.splits else None
        state.peak = max(state.peak, plan.weight)
        state.plan = plan
        self._assign(plan, opened=state.opened_at is not None)

    @property
    def needs_success(self) -> bool:
        """Whether a good canary request would change anything: a run of failures, or an open breaker."""
        state = self._state
        return state.failures > 0 or state.opened_at is not None or bool(state.breakers)

    def failed(self, candidate: str = "") -> None:
        """Count a failed canary request; five in a row open the breaker for the very next one.

        ``candidate`` is the choice's: each of several has a breaker of its own.
        """
        state = self._state
        if candidate:
            breaker = state.breakers.setdefault(candidate, Breaker())
            if breaker.failed(state.plan.breaker_failures):
                self._tell("open", candidate, breaker.failures)
            return
        state.failures += 1
        if state.opened_at is None and state.failures < state.plan.breaker_failures:
            return
        was_open, state.opened_at = state.opened_at is not None and not state.trying, time.monotonic()
        state.trying = False
        self._assign(state.plan, opened=True)
        if not was_open:
            self._tell("open")

    def succeeded(self, candidate: str = "") -> None:
        """Count a good canary request: it ends a run of failures and closes a half-open breaker."""
        state = self._state
        if candidate:
            breaker = state.breakers.get(candidate)
            if breaker is not None and (breaker.opened_at is None or breaker.trying):
                del state.breakers[candidate]
                if breaker.trying:
                    self._tell("closed", candidate)
            return
        state.failures = 0
        if state.opened_at is not None and state.trying:
            state.opened_at, state.trying = None, False
            self._assign(state.plan, opened=False)
            self._tell("closed")

    def _tell(self, change: str, candidate: str = "", failures: int = 0) -> None:
        deployment = self._state.plan.deployment
        if not self._on_breaker or not deployment:
            return
        if candidate:
            self._on_breaker(self.service, deployment, change, failures, candidate)
        else:
            self._on_breaker(self.service, deployment, change, self._state.failures)

    def new_units(self, most: int = MAX_FRESH) -> list[Unit]:
        """Take the units put on the canary and not taken yet: ``(hash, priority, key, epoch)``."""
        taken = self._state.fresh[:most]
        del self._state.fresh[:most]
        return taken

    def take_back(self, units: Sequence[Unit]) -> None:
        """Take units that could not be told of; they are told of again."""
        self._state.fresh.extend(units)

    def sightings(self, now: float, every: float) -> list[Seen]:
        """Take where watched units were served and nobody was told; after ``every`` seconds all anew."""
        return self._state.watched.take(now, every)

    def expose(self, user_id: str = "", session_id: str = "", workflow_id: str = "") -> Choice:
        """Decide, and remember a unit that is on the canary as assigned (three keys, in their order).

        Where the hash alone decides, and of units that the snapshot keeps, there is nothing to remember.
        A few units are watched for whether they stick.
        """
        choice = self.decide(user_id, session_id, workflow_id)
        state = self._state
        watch = state.watch
        if watch is not None and choice.priority:
            key = workflow_id or session_id or user_id
            seen = xxh64_intdigest(key.encode(), watch.seed)
            if seen < watch.limit and watch.seen.get(seen) is not choice:
                watch.look(state.plan, choice, seen, key)
        if choice.is_canary and choice.priority and state.plan.keeps:
            key = workflow_id or session_id or user_id
            unit = xxh64_intdigest((state.plan.prefix + key).encode())
            if state.keeps(unit):
                return choice  # it was told of, here or by another process
            state.remember((unit, choice.priority, key, state.plan.epoch))
        return choice


class _State:
    """What a router carries from request to request, beside its plan."""

    __slots__ = (
        "breakers",
        "failures",
        "fresh",
        "known",
        "known_before",
        "opened_at",
        "peak",
        "plan",
        "trying",
        "watch",
        "watched",
    )

    def __init__(self) -> None:
        self.plan = EMPTY
        self.watched = Watch("")
        #: The same while the split leaves anything to watch.
        self.watch: Watch | None = None
        self.forget()

    def forget(self) -> None:
        """Begin a new deployment."""
        self.peak = 0
        self.failures = 0
        self.opened_at: float | None = None
        self.trying = False
        #: Of several candidates: those that have failed lately.
        self.breakers: dict[str, Breaker] = {}
        self.known: set[int] = set()
        self.known_before: set[int] = set()
        self.fresh: list[Unit] = []

    def keeps(self, unit: int) -> bool:
        """Tell whether a unit stays on the canary above its share: seen there here, or in the snapshot."""
        plan = self.plan
        return plan.keeps and (unit in self.known or unit in self.known_before or holds(plan.sticky, unit))

    def remember(self, unit: Unit) -> None:
        """Keep a unit on the canary, here and (once it was told of) everywhere."""
        if len(self.fresh) >= MAX_FRESH:
            return
        if len(self.known) >= MAX_KNOWN:
            self.known_before, self.known = self.known, set()
        self.known.add(unit[0])
        self.fresh.append(unit)


def _deciders(  # noqa: C901 - closures over one cell are what makes it fast
    state: _State,
) -> tuple[Callable[..., Choice], Callable[..., Choice], Callable[..., None]]:
    """Return ``decide``, ``decide_for`` and what swaps their plan.

    The plan's hot parts live in one closure cell as a tuple: reading it is one instruction.
    """
    nobody = EMPTY.stable[None]
    hot: tuple[str, int, Choice, Choice, bool] = ("", 0, nobody, nobody, True)

    def assign(plan: Plan, *, opened: bool) -> None:
        nonlocal hot, nobody
        nobody = plan.stable[None]
        weight = 0 if opened else plan.weight
        hot = (plan.prefix, weight, plan.canary["user_id"], plan.stable["user_id"], plan.special or opened)

    def decide(user_id: str = "", session_id: str = "", workflow_id: str = "") -> Choice:
        """Return the choice for the first key present: workflow, session, user."""
        prefix, weight, canary, stable, special = hot
        try:
            if special or workflow_id or session_id or not user_id:
                return slow(user_id, session_id, workflow_id, None)
            return canary if xxh64_intdigest((prefix + user_id).encode()) % 10_000 < weight else stable
        except Exception:  # noqa: BLE001 - the application never sees our errors: stable
            return nobody

    def decide_for(
        attributes: Mapping[str, Any], user_id: str = "", session_id: str = "", workflow_id: str = ""
    ) -> Choice:
        """Return the choice where the deployment may have a targeting rule over ``attributes``."""
        try:
            return slow(user_id, session_id, workflow_id, attributes)
        except Exception:  # noqa: BLE001 - the application never sees our errors: stable
            return nobody

    def slow(user: str, session: str, workflow: str, attributes: Mapping[str, Any] | None) -> Choice:
        plan = state.plan
        if workflow:
            key, priority = workflow, "workflow_id"
        elif session:
            key, priority = session, "session_id"
        elif user:
            key, priority = user, "user_id"
        else:
            return plan.stable[None]
        if state.opened_at is not None and not _may_try(state):
            return plan.stable[priority]
        unit = xxh64_intdigest((plan.prefix + key).encode())
        if plan.placed and unit in plan.placed:
            if plan.placed[unit] and plan.seats:
                return _seated(state, plan, unit, priority, placed=True)
            return (plan.canary if plan.placed[unit] else plan.stable)[priority]
        if plan.rule is not None and not (attributes is not None and plan.rule(attributes)):
            return plan.stable[priority]
        if plan.seats:
            return _seated(state, plan, unit, priority)
        if unit % 10_000 < plan.weight:
            return plan.canary[priority]
        if user in plan.pinned[0] or workflow in plan.pinned[1]:
            return plan.canary[priority]
        if state.keeps(unit):
            return plan.canary[priority]
        return plan.stable[priority]

    return decide, decide_for, assign


def _seated(state: _State, plan: Plan, unit: int, priority: str, *, placed: bool = False) -> Choice:
    """Return the candidate in whose range the unit's bucket is, or stable.

    A unit that stays, or was ``placed`` on the canary by hand, is on the candidate that has its slot.
    """
    bucket = unit % BUCKETS
    for seat in plan.seats:
        if not seat.begin <= bucket < seat.limit:
            continue
        if bucket >= seat.end and not (placed or state.keeps(unit)):
            break
        breaker = state.breakers.get(seat.version)
        if breaker is None or breaker.lets_through(plan.open_seconds):
            return plan.seated[seat.version][priority]
        break
    return plan.stable[priority]


def _may_try(state: _State) -> bool:
    """Let one request through when the breaker's time is over (half open)."""
    assert state.opened_at is not None
    if time.monotonic() - state.opened_at < state.plan.open_seconds:
        return False
    # The next trial waits as long again: one request at a time, whatever becomes of it.
    state.opened_at, state.trying = time.monotonic(), True
    return True
