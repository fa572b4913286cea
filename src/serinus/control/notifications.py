"""Contract 4's calls: tell every configured channel at once, answer per channel."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from serinus.control import messages
from serinus.control.context import new_id
from serinus.ports.clock import Clock
from serinus.ports.notify import DeliveryFailed, Level, Notification, Notifier

__all__ = ["NotificationService"]

log = logging.getLogger("serinus.notify")

#: A channel that takes longer has failed.
SEND_SECONDS = 30.0


class NotificationService:
    """Sends at once, without the outbox: for tests of channels and for users' own programs."""

    def __init__(
        self, clock: Clock, notifiers: Mapping[str, Notifier], off: Mapping[str, str] | None = None
    ) -> None:
        """Keep the configured channels, and for the others why they are off."""
        self._clock = clock
        self._notifiers = dict(notifiers)
        self._off = dict(off or {})

    def channels(self) -> list[dict[str, Any]]:
        """Return every channel's name, whether it is on, and why not."""
        on = [{"name": name, "enabled": True, "why": ""} for name in self._notifiers]
        return on + [{"name": name, "enabled": False, "why": why} for name, why in self._off.items()]

    async def send_notification(
        self, notification: Notification, only: Sequence[str] | None = None
    ) -> dict[str, bool]:
        """Tell every enabled channel at once; answer like ``{"slack": True, "email": True}``."""
        return {name: not why for name, why in (await self.send_explained(notification, only)).items()}

    async def send_explained(
        self, notification: Notification, only: Sequence[str] | None = None
    ) -> dict[str, str]:
        """Tell every enabled channel at once; answer why each failed, empty where it did not."""
        names = [name for name in self._notifiers if only is None or name in only]
        answers = await asyncio.gather(*(self._send(name, notification) for name in names))
        return dict(zip(names, answers, strict=True))

    async def send_slack_notification(
        self, message: str, title: str = "", level: str = "info", fields: Mapping[str, str] | None = None
    ) -> dict[str, bool]:
        """Tell Slack only. ``level`` is info, warning, error or critical."""
        told = self._plain(message, title or "Serinus", Level(level), fields)
        return await self.send_notification(told, only=("slack",))

    async def send_email_notification(
        self, subject: str, body: str, html: str | None = None, to: Sequence[str] | None = None
    ) -> dict[str, bool]:
        """Tell by e-mail only; ``html`` and ``to`` override what the channel would make and use."""
        notifier = self._notifiers.get("email")
        if notifier is None:
            return {}
        sender = getattr(notifier, "send_mail", None)
        if sender is None or (html is None and to is None):
            return await self.send_notification(self._plain(body, subject, Level.INFO, None), only=("email",))
        try:
            await sender(subject, body, html, to)
        except DeliveryFailed as error:
            log.warning("not told: %s", error, extra={"action": "notify.failed", "channel": "email"})
            return {"email": False}
        return {"email": True}

    async def send_canary_rollback_alert(
        self,
        deployment_id: str,
        ruleset_name: str,
        reason: str,
        rollback_version: str | None = None,
        tenant_name: str | None = None,
    ) -> dict[str, bool]:
        """Tell that a canary was rolled back."""
        told = messages.rollback_alert(
            id=new_id("msg"),
            deployment_id=deployment_id,
            service=ruleset_name,
            reason=reason,
            at=self._clock.now(),
            rollback_version=rollback_version,
            tenant_name=tenant_name,
        )
        return await self.send_notification(told)

    async def send_canary_warning_alert(
        self, deployment_id: str, ruleset_name: str, warnings: Sequence[str], tenant_name: str | None = None
    ) -> dict[str, bool]:
        """Tell about warnings, numbered."""
        told = messages.warning_alert(
            id=new_id("msg"),
            deployment_id=deployment_id,
            service=ruleset_name,
            warnings=warnings,
            at=self._clock.now(),
            tenant_name=tenant_name,
        )
        return await self.send_notification(told)

    async def send_test(self, only: Sequence[str] | None = None) -> dict[str, str]:
        """Send the test message; answer why each channel failed, empty where it did not."""
        return await self.send_explained(messages.test_message(id=new_id("msg"), at=self._clock.now()), only)

    def _plain(self, text: str, title: str, level: Level, fields: Mapping[str, str] | None) -> Notification:
        return Notification(
            id=new_id("msg"),
            kind="message",
            level=level,
            title=title,
            text=text,
            fields=tuple((fields or {}).items()),
            at=self._clock.now(),
        )

    async def _send(self, name: str, notification: Notification) -> str:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._notifiers[name].send(notification)
        except TimeoutError:
            return f"did not answer in {SEND_SECONDS:.0f} s"
        except DeliveryFailed as error:
            return str(error)
        except Exception as problem:  # a broken channel must not stop the others
            log.exception("channel broke", extra={"action": "notify.broke", "channel": name})
            return f"broke: {type(problem).__name__}"
        return ""
