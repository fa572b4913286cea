"""Proxies that poll: each question is answered with what is wanted, and reported for the proxy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from serinus.control.context import Caller, Context
from serinus.control.fleets.fleet import Fleet, found
from serinus.control.fleets.reports import ensure_name
from serinus.control.traffic import TrafficPool
from serinus.core.errors import Conflict, InvalidInput, Unavailable
from serinus.core.model import Role, Service
from serinus.ports.fleet import Counted, Instance, Order, Report, Terms
from serinus.ports.polling import POLLS, Ask, Polled, Relaying, Seen, Told
from serinus.ports.store import Transaction
from serinus.ports.traffic import TrafficError

__all__ = ["Polls"]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Poll:
    """One question, with who asks."""

    caller: Caller
    service: Service
    name: str
    driver: str
    polled: Polled
    ask: Ask


class Polls:
    """Answers proxies that poll, and keeps what their questions tell as the reports of a fleet."""

    def __init__(self, context: Context, fleet: Fleet, traffic: TrafficPool) -> None:
        """Keep what the calls share."""
        self._context, self._fleet, self._traffic = context, fleet, traffic

    async def answer(self, caller: Caller, id_or_name: str, name: str, driver: str, ask: Ask) -> str:
        """Take a proxy's question as its report, and answer it; the first one registers the instance.

        Args:
            caller: Whose token it sent.
            id_or_name: Its service.
            name: What it calls itself.
            driver: What it is: a driver's name.
            ask: The question.

        Returns:
            What it should have; empty: what it has.

        Raises:
            Forbidden: The role is not an agent's.
            NotFound: The tenant has no such service.
            Conflict: The service is not for proxies of this kind that poll, or an agent has the name.
            Unavailable: Nothing is wanted of the service yet.
        """
        caller.must_reach(Role.AGENT)
        ensure_name(name)
        async with self._context.store.begin(write=False) as tx:
            service = await found(tx, caller, id_or_name)
            polled = self._polled(service, driver)
            before, order, _ = await self._known(tx, service, name)
        ask = replace(ask, after_silence=before is not None and self._age(before) > _deadline(order))
        poll = _Poll(caller=caller, service=service, name=name, driver=driver, polled=polled, ask=ask)
        told = _told(poll, order, before)
        seen = await self._look(poll, before, order, told)
        if seen is not None or self._is_news(before, _report(poll, told, before, order, None), order):
            told = await self._store(poll, order, seen)
        if order is None:
            raise Unavailable(
                f"Nothing is wanted of {service.name} yet.", next_step="Ask again in a few seconds."
            )
        return told.body

    async def _store(self, poll: _Poll, order: Order | None, seen: Seen | None) -> Told:
        """Store what a question tells, by what is known now; return the answer by the same."""
        async with self._context.store.begin() as tx:
            before, wanted, since = await self._known(tx, poll.service, poll.name)
            told = _told(poll, wanted, before)
            report = _report(poll, told, before, wanted, seen if wanted == order else None)
            lost = seen is not None and seen.state.carried_bp is None
            begun = self._begun(before) if told.started or lost else before
            ordered = (wanted, since) if wanted and since else None
            changed = await self._fleet.take(tx, poll.caller, poll.service, begun, poll.name, report, ordered)
        if changed:
            self._fleet.tell(poll.service.id)
        return told

    def _polled(self, service: Service, driver: str) -> Polled:
        carrying = self._traffic.of(service)
        answering = carrying.polled.get(driver) if isinstance(carrying, Relaying) else None
        if answering is None:
            raise Conflict(
                f"{service.name} has no settings for a {driver} that polls.",
                next_step=f'Add "polled": {{"{driver}": {{}}}} to its driver_config (docs/fleets.md).',
            )
        return answering

    async def _known(
        self, tx: Transaction, service: Service, name: str
    ) -> tuple[Instance | None, Order | None, datetime | None]:
        """Return what is known of the instance, and what is wanted of it since when.

        Raises:
            Conflict: An agent has this name.
        """
        ordered = await tx.fleet.ordered(service.id)
        before = await tx.fleet.instance(service.id, name)
        if before and before.report.run != POLLS:
            if self._age(before) <= _deadline(ordered[0] if ordered else None):
                raise Conflict(f"An agent reports as {name}.", next_step="Give this proxy a name of its own.")
            before = replace(before, report=Report(run=POLLS, seq=0))
        return before, *(ordered or (None, None))

    async def _look(
        self, poll: _Poll, before: Instance | None, order: Order | None, told: Told
    ) -> Seen | None:
        """Look at what the instance carries and counts, now and then, and before it is believed to follow."""
        if order is None or before is None:
            return None
        follows = before.report.ok and before.report.revision == order.revision
        claims = told.ok and not follows
        if not claims and self._age(before) < timedelta(seconds=order.terms.report_seconds):
            return None
        try:
            return await poll.polled.look(poll.name, order.split)
        except (TrafficError, InvalidInput):
            return None  # it cannot carry this at all: the answer to its question will say so

    def _is_news(self, before: Instance | None, report: Report, order: Order | None) -> bool:
        """Tell whether a report has to be stored: each poll would be many writes."""
        terms = order.terms if order else Terms()
        if before is None or self._age(before) >= timedelta(seconds=terms.report_seconds):
            return True
        return replace(report, seq=before.report.seq) != before.report

    def _begun(self, before: Instance | None) -> Instance | None:
        """Return an instance that may have been started again: its time to follow begins anew."""
        if before is None or before.report.carried_bp is None:
            return before
        return replace(before, first_seen_at=self._context.clock.now())

    def _age(self, before: Instance) -> timedelta:
        return self._context.clock.now() - before.seen_at


def _deadline(order: Order | None) -> timedelta:
    return timedelta(seconds=(order.terms if order else Terms()).deadline_seconds)


def _told(poll: _Poll, order: Order | None, before: Instance | None) -> Told:
    memory = before.report.memory if before else {}
    if order is None:
        return Told(memory=memory)
    try:
        return poll.polled.answer(poll.ask, order.split, memory)
    except (TrafficError, InvalidInput) as error:
        return Told(memory=memory, problem=str(error))


def _report(
    poll: _Poll, told: Told, before: Instance | None, order: Order | None, seen: Seen | None
) -> Report:
    """Return what an agent beside this proxy would report."""
    last = before.report if before else Report(run=POLLS, seq=0)
    # Once it has refused, that is what is known of it until it carries what is wanted.
    refusing = order is not None and last.revision == order.revision and not last.ok
    problem = told.problem or (last.problem if refusing and not told.ok else "")
    report = replace(
        last,
        seq=last.seq + 1,
        driver=poll.driver,
        release=poll.ask.release or last.release,
        revision=order.revision if order and (told.ok or problem) else "",
        ok=told.ok,
        problem=problem,
        carried_bp=told.carried_bp,
        memory=dict(told.memory),
    )
    if order is None or seen is None:
        return report
    state = seen.state
    report = replace(
        report,
        carried_bp=state.carried_bp if state.carried_bp is not None and state.carried_bp >= 0 else None,
        counters=tuple(Counted.of(counters) for counters in seen.counters) or last.counters,
    )
    if state.ok:
        return replace(report, ok=True, problem="", revision=order.revision)
    if told.ok:
        # It came again, and yet carries something else, or does not say what: it may have just been given
        # this, or have started again, so it has its time.
        known = last.revision if last.revision == order.revision and state.carried_bp is not None else ""
        return replace(report, ok=False, problem=state.problem, revision=known)
    return report
