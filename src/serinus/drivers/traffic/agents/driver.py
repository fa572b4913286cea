"""Carrying splits by agents: the order is stored and pushed, what they report is read back.

Nobody is contacted from here: agents, and proxies that poll, come by themselves. A silent one therefore
delays nothing; the order is there for whoever asks, at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from math import inf
from typing import Any

from serinus.core.errors import InvalidInput, Unavailable
from serinus.drivers import catalog
from serinus.ports.fleet import AGENTS, FleetBook, FleetConfig, Instance, Order, conditions
from serinus.ports.needs import ensure_able
from serinus.ports.polling import Polled
from serinus.ports.traffic import Capability, Carried, Counters, DesiredSplit, Finding

__all__ = ["AgentsDriver"]

#: After a change, its acknowledgements are waited for this long; later ones are found by the next look.
FOLLOW_SECONDS = 1.0
#: A report that reached another replica rings no bell here: it is looked for this often.
LOOK_SECONDS = 0.2


class AgentsDriver:
    """One service's fleet of agents, and of proxies that poll."""

    #: What all of the drivers beside the agents can; of the class itself, nothing is known.
    capabilities: frozenset[Capability] = frozenset()

    def __init__(self, config: FleetConfig, book: FleetBook | None = None) -> None:
        """Keep the settings, and where orders and reports are kept."""
        self._config, self._book = config, book
        #: What answers proxies that poll, by their driver's name.
        self.polled: dict[str, Polled] = {
            name: _answering(name, settings) for name, settings in config.polled.items()
        }
        able = catalog.capabilities()
        theirs = [*(able[name] for name in config.drivers), *(p.capabilities for p in self.polled.values())]
        self.capabilities = frozenset.intersection(*theirs)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], book: FleetBook | None = None) -> AgentsDriver:
        """Build from a service's ``driver_config``; without a ``book`` only its settings are checked.

        Raises:
            InvalidInput: The settings are wrong.
        """
        return cls(FleetConfig.read(config, catalog.beside_an_agent()), book)

    @property
    def _orders(self) -> FleetBook:
        if self._book is None:
            raise Unavailable(
                "Agents are ordered by the control plane.", next_step="Ask it: `serinus fleet`."
            )
        return self._book

    def _order(self, desired: DesiredSplit) -> Order:
        return Order(split=desired, terms=self._config.terms)

    async def apply(self, desired: DesiredSplit) -> Carried:
        """Store and push the order; wait a moment for those who can be expected to follow."""
        ensure_able(AGENTS, self.capabilities, desired, catalog.capabilities)
        if await self._orders.order(self._order(desired)):
            await self._followed(desired)
        return await self.read(desired)

    async def _followed(self, desired: DesiredSplit) -> None:
        """Wait until nobody is expected any more: all have answered, or are silent, or the time is over."""
        service_id = desired.service_id
        ends = asyncio.get_running_loop().time() + FOLLOW_SECONDS
        while (left := ends - asyncio.get_running_loop().time()) > 0:
            heard = self._orders.heard(service_id)
            if not any(state.pending for state in (await self.read(desired)).instances):
                return
            await self._orders.news(service_id, heard, min(left, LOOK_SECONDS))

    async def read(self, desired: DesiredSplit) -> Carried:
        """Compare what instances last reported with ``desired``; change nothing."""
        since = await self._orders.ordered_at(desired.service_id)
        now = self._orders.now()
        found = await self._orders.instances(desired.service_id)
        order = self._order(desired)
        return Carried(instances=conditions(order, since or now, found, self._config.expect, now))

    async def statistics(self, desired: DesiredSplit) -> tuple[Counters, ...]:
        """Return the counters that instances last reported; those of silent ones do not grow."""
        found = await self._orders.instances(desired.service_id)
        return tuple(c for instance in found for c in _counters(instance))

    async def check(self) -> tuple[Finding, ...]:
        """Agents are looked over service by service: the ``fleet`` lines of ``serinus doctor``."""
        return ()

    async def close(self) -> None:
        """Release the connections to proxies that poll."""
        await asyncio.gather(*(polled.close() for polled in self.polled.values()))


def _answering(name: str, settings: Mapping[str, Any]) -> Polled:
    where = f"driver_config.polled.{name}"
    if name not in catalog.pollable():
        raise InvalidInput(
            f"{where}: {name} cannot poll.",
            field=where,
            next_step=f"Run `serinus agent` beside it; {' and '.join(catalog.pollable())} can poll.",
        )
    try:
        answering: Polled = catalog.load(catalog.TRAFFIC[name]).polled(settings)
    except InvalidInput as error:
        place = (error.field or "driver_config").replace("driver_config", where, 1)
        raise InvalidInput(
            error.detail.replace("driver_config", where, 1), field=place, next_step=error.next_step
        ) from error
    return answering


def _counters(instance: Instance) -> list[Counters]:
    return [
        Counters(
            instance=f"{instance.name}/{c.proxy}" if c.proxy else instance.name,
            version=c.version,
            requests=c.requests,
            errors=c.errors,
            latency_total_ms=c.latency_total_ms,
            buckets={inf if edge == "inf" else float(edge): n for edge, n in c.buckets.items()},
            ejected=c.ejected,
        )
        for c in instance.report.counters
    ]
