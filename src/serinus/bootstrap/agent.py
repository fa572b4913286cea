"""Running an agent: one driver, one service, one instance."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from serinus.agent import Agent, Kept, Link
from serinus.bootstrap.logs import set_up_logging
from serinus.core.errors import InvalidInput
from serinus.drivers.catalog import TRAFFIC, beside_an_agent, load

__all__ = ["AgentSettings", "run_agent"]


@dataclass(frozen=True, kw_only=True)
class AgentSettings:
    """How an agent runs."""

    url: str
    token: str
    service: str
    instance: str
    driver: str
    driver_config: Mapping[str, Any]
    #: Keeps the last split over restarts.
    state: Path
    log_level: str = "info"


def run_agent(settings: AgentSettings) -> None:
    """Run until SIGTERM or SIGINT. The proxy keeps what it carries.

    Raises:
        InvalidInput: The settings are wrong.
        Conflict: Another agent runs with this state file.
    """
    if settings.driver not in beside_an_agent():
        raise InvalidInput(
            f"An agent cannot carry by {settings.driver!r}.",
            field="driver",
            next_step=f"Use one of: {', '.join(beside_an_agent())}.",
        )
    if urlsplit(settings.url).scheme not in ("http", "https"):
        raise InvalidInput(
            f"{settings.url!r} is no URL.", field="url", next_step="Like http://control-plane:8600."
        )
    set_up_logging(settings.log_level)
    kept = Kept(settings.state.expanduser(), settings.service)
    kept.open()
    try:
        asyncio.run(_run(settings, kept))
    finally:
        kept.close()


async def _run(settings: AgentSettings, kept: Kept) -> None:
    driver = load(TRAFFIC[settings.driver]).from_config(settings.driver_config)
    link = Link(settings.url, settings.token, settings.service, settings.instance)
    agent = Agent(link, driver, kept, driver_name=settings.driver, release=version("serinus"))
    work = asyncio.create_task(agent.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    try:
        with contextlib.suppress(asyncio.CancelledError):  # told to end: that is no error
            await work
    finally:
        await link.close()
        await driver.close()
