"""Everything else by Apprise: Microsoft Teams, Discord, and the hundred others."""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from serinus.core.errors import InvalidInput
from serinus.drivers import _post
from serinus.ports.notify import DeliveryFailed, Level, Notification

__all__ = ["AppriseNotifier"]

#: Apprise's kinds by our levels.
_KIND = {Level.INFO: "info", Level.WARNING: "warning", Level.ERROR: "failure", Level.CRITICAL: "failure"}
#: Longer texts are cut by us: services cut, split or refuse, each in its own way.
MAX_TITLE, MAX_BODY = 250, 3500
#: Its services throttle themselves, so this is more than the others have.
TIMEOUT_SECONDS = 25.0


class AppriseNotifier:
    """Sends to every given Apprise URL. They hold secrets, so they appear in no error, log or ``repr``."""

    name = "apprise"

    def __init__(self, urls: Sequence[str], *, timeout: float = TIMEOUT_SECONDS) -> None:
        """Keep where to send; ``timeout`` in seconds.

        Raises:
            InvalidInput: The extra is not installed, or a URL is none that Apprise knows.
        """
        self._timeout = timeout
        self._reached = _post.Reached()
        with warnings.catch_warnings():
            # Its plugins, loaded here, use modules that newer Pythons drop: not our users' concern.
            warnings.simplefilter("ignore")
            self._services = _services(urls)

    def __repr__(self) -> str:
        """Say to how many."""
        return f"AppriseNotifier({len(self._services)} services)"

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> AppriseNotifier | str:
        """Build from ``APPRISE_URLS``, or say why it is off.

        Raises:
            InvalidInput: The variable is set to something unusable, or the extra is not installed.
        """
        urls = environment.get("APPRISE_URLS", "").split()
        return cls(urls) if urls else "APPRISE_URLS is not set"

    async def send(self, notification: Notification) -> None:
        """Send it once to every service; a second try only goes to those that do not have it."""
        waiting = [
            (str(number), service)
            for number, service in enumerate(self._services)
            if not self._reached.has(notification.id, str(number))
        ]
        # Side by side: one that does not answer keeps nothing from the others.
        told = await asyncio.gather(
            *(self._tell(service, notification) for _, service in waiting), return_exceptions=True
        )
        for (number, _), done in zip(waiting, told, strict=True):
            if done is True:
                self._reached.add(notification.id, number)
        for problem in told:
            if isinstance(problem, BaseException):
                raise problem
        failed = [
            str(service[0].service_name or "a service")
            for (_, service), done in zip(waiting, told, strict=True)
            if not done
        ]
        if failed:
            raise DeliveryFailed(f"Apprise: not taken by {', '.join(failed)}")
        self._reached.forget(notification.id)

    async def _tell(self, service: Any, n: Notification) -> bool:
        rows = [f"{name}: {value}" for name, value in n.fields]
        body = _post.cut("\n".join(part for part in (n.text, *rows) if part), MAX_BODY)
        try:
            async with asyncio.timeout(self._timeout):
                done = await service.async_notify(
                    title=_post.cut(" ".join(n.title.split()), MAX_TITLE),
                    body=(f"{body}\n{n.link}" if n.link else body) or "-",
                    notify_type=_KIND[n.level],
                )
        except TimeoutError:
            raise DeliveryFailed(f"Apprise did not answer in {self._timeout:g} s", unsure=True) from None
        return bool(done)


def _services(urls: Sequence[str]) -> list[Any]:
    apprise, services = _apprise(), []
    for number, url in enumerate(urls, 1):
        made = apprise.Apprise()
        if not made.add(url):
            raise InvalidInput(
                f"Number {number} of APPRISE_URLS is no URL that Apprise knows.",
                field="APPRISE_URLS",
                next_step="See https://github.com/caronc/apprise/wiki for their forms.",
            )
        services.append(made)
    return services


def _apprise() -> Any:
    try:
        import apprise
    except ModuleNotFoundError:
        raise InvalidInput(
            "APPRISE_URLS needs Apprise, which is not installed.",
            field="APPRISE_URLS",
            next_step="pip install 'serinus[apprise]'",
        ) from None
    # Both log addresses with the secrets in them; what is logged of a channel is ours to decide.
    for name in ("apprise", "urllib3", "requests"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.CRITICAL + 1)
        logger.propagate = False
    return apprise
