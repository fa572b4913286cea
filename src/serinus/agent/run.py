"""The agent's two loops: one listens, one carries.

Level-triggered, as the control plane is: each round reads back what the proxy carries, makes it carry
what is wanted, and reports. Nothing assumes that an earlier round succeeded.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from serinus.agent.kept import Kept
from serinus.agent.link import Link, LinkError
from serinus.core.codec import to_json
from serinus.core.errors import InvalidInput
from serinus.core.model import percent
from serinus.ports.fleet import Counted, OnLost, Order, Report, Terms, everyone_on_stable
from serinus.ports.traffic import Carried, Counters, DesiredSplit, TrafficDriver, TrafficError

__all__ = ["Agent"]

log = logging.getLogger("serinus.agent")

#: Pauses after one, two, … failures to listen; each is shortened by chance, so that a fleet does not
#: come back all at once.
BACKOFF_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
#: Until the control plane has named its own.
DEFAULT_TERMS = Terms()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wanted:
    """An order under the revision that it was sent with."""

    revision: str = ""
    order: Order | None = None
    #: It cannot be understood; the words for it.
    problem: str = ""


class Agent:
    """Carries one service's split by one driver until it is cancelled."""

    def __init__(
        self,
        link: Link,
        driver: TrafficDriver,
        kept: Kept,
        *,
        driver_name: str,
        release: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; :meth:`run` begins.

        Args:
            link: The control plane.
            driver: Carries splits here.
            kept: Where the last order is over restarts.
            driver_name: The driver's name, as reported.
            release: Our own version, as reported.
            monotonic: Tells seconds.
        """
        self._link, self._driver, self._kept = link, driver, kept
        self._driver_name, self._release, self._monotonic = driver_name, release, monotonic
        self._run, self._seq = secrets.token_hex(8), 1
        self._wanted = _Wanted()
        self._heard = monotonic()
        #: The present order was confirmed since the control plane was last lost, or since the start.
        self._asked = False
        #: Everyone was sent to stable because the lease ran out; ends when the present order is confirmed.
        self._fallen = False
        self._settled: DesiredSplit | None = None
        self._correction = ""
        self._changed = asyncio.Event()
        self._said: dict[str, str] = {}

    async def run(self) -> None:
        """Ask, then carry what is wanted, again and again."""
        data, age = self._kept.load()
        if data is not None:
            self._wanted = _understood(data)
            self._heard = self._monotonic() - age
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._carry_on())

    # -- what is wanted -------------------------------------------------------------------------

    async def _listen(self) -> None:
        tries = 0
        while True:
            try:
                async for news in self._link.listen():
                    self._confirmed(news)
                    tries = 0
            except LinkError as error:
                self._say("no push", str(error))
            # An ended stream is no hurry: reports ask for changes too.
            pause = BACKOFF_SECONDS[min(tries, len(BACKOFF_SECONDS) - 1)]
            tries += 1
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))

    def _confirmed(self, news: dict[str, Any] | None) -> None:
        """Note that the control plane was heard; take a new order, or know the present one to be the last."""
        self._heard = self._monotonic()
        if news is not None and news.get("revision") and news["revision"] != self._wanted.revision:
            self._wanted = _understood(news)
            self._kept.store(self._wanted.revision, news.get("order"))
            log.info("new split", extra={"action": "agent.wanted", "revision": self._wanted.revision})
            self._changed.set()
        if self._fallen:
            self._changed.set()
        self._asked, self._fallen = True, False
        self._kept.touch()

    async def _ask(self) -> None:
        """Ask for the present order; without an answer the last one stays."""
        try:
            self._confirmed(await self._link.ask(self._wanted.revision))
        except LinkError as error:
            self._asked = False
            self._say("no answer", str(error))

    def _lease_is_over(self) -> bool:
        terms = self._terms
        return terms.on_lost is OnLost.STABLE and self._monotonic() - self._heard > terms.lease_seconds

    @property
    def _terms(self) -> Terms:
        return self._wanted.order.terms if self._wanted.order else DEFAULT_TERMS

    # -- what is carried ------------------------------------------------------------------------

    async def _carry_on(self) -> None:
        while True:
            self._changed.clear()
            if not self._asked:
                await self._ask()  # first ask, then apply: what is kept may be old
            if self._lease_is_over() and not self._fallen:
                self._fallen = True
                log.warning("lease over: everyone to stable", extra={"action": "agent.fell_back"})
            report = await self._round()
            await self._send(report)
            try:
                async with asyncio.timeout(self._terms.report_seconds):
                    await self._changed.wait()
            except TimeoutError:
                continue  # nobody called: the next look is due

    async def _round(self) -> Report:
        """Make the proxy carry what is wanted; return what there is to report."""
        wanted = self._wanted
        told = Report(run=self._run, seq=self._seq, driver=self._driver_name, release=self._release)
        if wanted.order is None:
            return replace(told, revision=wanted.revision, problem=wanted.problem or "has no split yet")
        split = everyone_on_stable(wanted.order.split) if self._fallen else wanted.order.split
        try:
            carried = await self._carry(split)
            counters = await self._driver.statistics(split)
        except (TrafficError, InvalidInput) as error:
            return replace(told, revision=wanted.revision, problem=str(error))
        except Exception as error:  # the loop's edge: a fault of ours is told, and tried again
            log.exception("round failed", extra={"action": "agent.failed"})
            return replace(
                told, revision=wanted.revision, problem=f"{type(error).__name__} in the agent; see its log"
            )
        return replace(
            told,
            revision="" if self._fallen else wanted.revision,
            ok=carried.acknowledged and not self._fallen,
            carried_bp=carried.carried_bp,
            problem="; ".join(carried.problems) or ("fell back to stable" if self._fallen else ""),
            correction=self._correction,
            counters=_counted(counters, several=len(carried.instances) > 1),
        )

    async def _carry(self, split: DesiredSplit) -> Carried:
        carried = await self._driver.read(split)
        if not carried.acknowledged:
            if self._settled == split and carried.carried_bp is not None:
                found = percent(carried.carried_bp) if carried.carried_bp >= 0 else "no split"
                self._correction = f"the split was changed behind our back ({found}); it is put right"
            carried = await self._driver.apply(split)
        self._settled = split if carried.acknowledged else self._settled
        return carried

    async def _send(self, report: Report) -> None:
        try:
            revision = await self._link.report(to_json(report))
        except LinkError as error:
            # Whatever we knew may be old by now: ask before anything is carried again.
            self._asked = False
            self._say("not reported", str(error))
            return
        self._seq += 1
        self._correction = ""
        if revision == self._wanted.revision:
            self._confirmed(None)
        else:
            self._heard = self._monotonic()
            await self._ask()  # the push has not come: reports are the polling
        self._say("in touch", "the control plane answers")

    def _say(self, action: str, words: str) -> None:
        """Log each kind of trouble once, not at every try, until the control plane answers again."""
        if action == "in touch":
            if self._said != {action: words}:
                log.info(words, extra={"action": "agent.in_touch"})
            self._said = {action: words}
        elif self._said.get(action) != words:
            self._said[action] = words
            log.warning(words, extra={"action": f"agent.{action.replace(' ', '_')}"})


def _understood(data: dict[str, Any]) -> _Wanted:
    """Return an order as sent or kept; what cannot be understood is reported, never half carried."""
    revision = str(data.get("revision", ""))
    if data.get("order") is None:
        return _Wanted(revision=revision)
    try:
        return _Wanted(revision=revision, order=Order.from_json(data["order"]))
    except InvalidInput as error:
        return _Wanted(
            revision=revision,
            problem=f"the order cannot be understood here ({error.detail}); update this agent",
        )


def _counted(counters: Sequence[Counters], *, several: bool) -> tuple[Counted, ...]:
    """Return what the driver counted; proxies are named where there are several."""
    return tuple(Counted.of(c, c.instance if several else "") for c in counters)
