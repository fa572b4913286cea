"""Contract 4's calls: tell every configured channel at once, answer per channel."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

from serinus.control.context import new_id, page_of
from serinus.control.telling import messages
from serinus.core.errors import InvalidInput
from serinus.ports.clock import Clock
from serinus.ports.notify import DeliveryFailed, Level, Notification, Notifier, traits_of

__all__ = ["NotificationService"]

log = logging.getLogger("serinus.notify")

#: A channel that takes longer has failed.
SEND_SECONDS = 30.0


class NotificationService:
    """Sends at once, without the outbox: for tests of channels and for users' own programs."""

    def __init__(
        self,
        clock: Clock,
        notifiers: Mapping[str, Notifier],
        off: Mapping[str, str] | None = None,
        *,
        timeout: float = SEND_SECONDS,
        public_url: str = "",
    ) -> None:
        """Keep the configured channels, and for the others why they are off.

        ``public_url``: where people reach the dashboard; alerts lead to their deployment there.
        """
        self._clock = clock
        self._notifiers = dict(notifiers)
        self._off = dict(off or {})
        self._timeout = timeout
        self._public_url = public_url

    def channels(self) -> list[dict[str, Any]]:
        """Return every channel's name, whether it is on, and why not."""
        on = [{"name": name, "enabled": True, "why": ""} for name in self._notifiers]
        return on + [{"name": name, "enabled": False, "why": why} for name, why in self._off.items()]

    async def send_notification(
        self,
        message: str | Notification,
        title: str = "",
        level: str = "info",
        fields: Mapping[str, Any] | None = None,
        *,
        only: Sequence[str] | None = None,
    ) -> dict[str, bool]:
        """Tell every enabled channel at once; answer like ``{"slack": True, "email": True}``.

        ``level`` is info, warning, error or critical. The log says why a channel failed.

        Raises:
            InvalidInput: There is no such level.
        """
        if isinstance(message, str):
            message = self._plain(message, title or "Serinus", level, fields)
        answers = await self.send_explained(message, only)
        for name, why in answers.items():
            _log_failure(name, why)
        return {name: not why for name, why in answers.items()}

    async def send_explained(
        self, notification: Notification, only: Sequence[str] | None = None
    ) -> dict[str, str]:
        """Tell every enabled channel at once; answer why each failed, empty where it did not.

        A channel that is only for what is worse (text messages: critical) is left out, unless it is named
        by ``only`` or the message is a test.
        """
        names = [name for name in self._notifiers if only is None or name in only]
        if only is None and notification.kind != "test":
            rank = notification.level.rank
            names = [name for name in names if rank >= traits_of(self._notifiers[name]).least.rank]
        answers = await asyncio.gather(
            *(self._guarded(name, self._notifiers[name].send(notification)) for name in names)
        )
        return dict(zip(names, answers, strict=True))

    async def send_slack_notification(
        self, message: str, title: str = "", level: str = "info", fields: Mapping[str, Any] | None = None
    ) -> dict[str, bool]:
        """Tell Slack only; ``{"slack": False}`` where it is off.

        Raises:
            InvalidInput: There is no such level.
        """
        return await self._only("slack", self._plain(message, title or "Serinus", level, fields))

    async def send_email_notification(
        self, subject: str, body: str, html: str | None = None, to: Sequence[str] | None = None
    ) -> dict[str, bool]:
        """Tell by e-mail only; ``html`` and ``to`` override what the channel would make and use.

        Raises:
            InvalidInput: One of ``to`` is no e-mail address.
        """
        sender = getattr(self._notifiers.get("email"), "send_mail", None)
        if sender is None or (html is None and to is None):
            return await self._only("email", self._plain(body, subject, "info", None))
        why = await self._guarded("email", sender(subject, body, html, to), passing=(InvalidInput,))
        _log_failure("email", why)
        return {"email": not why}

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
            link=page_of(self._public_url, deployment_id),
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
            link=page_of(self._public_url, deployment_id),
        )
        return await self.send_notification(told)

    async def send_test(self, only: Sequence[str] | None = None) -> dict[str, str]:
        """Send the test message; answer why each channel failed, empty where it did not."""
        return await self.send_explained(messages.test_message(id=new_id("msg"), at=self._clock.now()), only)

    def _plain(self, text: str, title: str, level: str, fields: Mapping[str, Any] | None) -> Notification:
        if level not in set(Level):
            raise InvalidInput(
                f"There is no level {level!r}.", field="level", next_step=f"Use one of: {', '.join(Level)}."
            )
        return Notification(
            id=new_id("msg"),
            kind="message",
            level=Level(level),
            title=title,
            text=text,
            fields=tuple((str(name), str(value)) for name, value in (fields or {}).items()),
            at=self._clock.now(),
        )

    async def _only(self, name: str, notification: Notification) -> dict[str, bool]:
        """Tell one channel, or say that it is off."""
        if name not in self._notifiers:
            _log_failure(name, f"off: {self._off.get(name, 'not configured')}")
            return {name: False}
        return await self.send_notification(notification, only=(name,))

    async def _guarded(
        self, name: str, sending: Awaitable[object], passing: tuple[type[Exception], ...] = ()
    ) -> str:
        """Wait for one delivery; return why it failed, or nothing."""
        try:
            async with asyncio.timeout(self._timeout):
                await sending
        except TimeoutError:
            return f"did not answer in {self._timeout:g} s"
        except DeliveryFailed as error:
            return str(error)
        except passing:
            raise
        except Exception as problem:  # noqa: BLE001 - a broken channel must not stop the others
            # The places without the error's text: an unknown error may quote a URL or a password.
            places = "".join(traceback.format_tb(problem.__traceback__))
            kind = type(problem).__name__
            log.error("broke: %s\n%s", kind, places, extra={"action": "notify.broke", "channel": name})  # noqa: TRY400
            return f"broke: {kind}"
        return ""


def _log_failure(channel: str, why: str) -> None:
    if why:
        log.warning("not told: %s", why, extra={"action": "notify.failed", "channel": channel})
