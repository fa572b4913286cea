"""PagerDuty by Events API v2: an incident per deployment, opened by what is bad, resolved when it is over."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from serinus.core.errors import InvalidInput
from serinus.drivers import _post
from serinus.ports.notify import DeliveryFailed, Level, Notification, Traits

__all__ = ["PagerDutyNotifier"]

#: In the EU region: https://events.eu.pagerduty.com/v2/enqueue.
URL = "https://events.pagerduty.com/v2/enqueue"
#: PagerDuty's limits: the summary, the key, and (with room to spare under 512 KB) the details.
MAX_SUMMARY, MAX_KEY, MAX_DETAIL, MAX_DETAILS = 1024, 255, 2000, 40


class PagerDutyNotifier:
    """Sends to one integration. Its key is a secret: it appears in no error, log or ``repr``."""

    name = "pagerduty"
    #: The deduplication key makes a second copy a line in the same incident's log.
    traits = Traits(least=Level.WARNING, resolves=True, idempotent=True)

    def __init__(self, routing_key: str, *, url: str = URL, timeout: float = _post.TIMEOUT_SECONDS) -> None:
        """Keep where to send; ``timeout`` in seconds."""
        self._key, self._url, self._timeout = routing_key, url, timeout

    def __repr__(self) -> str:
        """Name the kind, not the key."""
        return "PagerDutyNotifier()"

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> PagerDutyNotifier | str:
        """Build from ``PAGERDUTY_ROUTING_KEY`` and ``PAGERDUTY_URL``, or say why it is off.

        Raises:
            InvalidInput: A variable is set to something unusable; the error names it.
        """
        key = environment.get("PAGERDUTY_ROUTING_KEY", "").strip()
        if not key:
            return "PAGERDUTY_ROUTING_KEY is not set"
        if not re.fullmatch(r"[A-Za-z0-9]{32}", key):
            raise InvalidInput(
                "PAGERDUTY_ROUTING_KEY is not 32 letters and digits.",
                field="PAGERDUTY_ROUTING_KEY",
                next_step="Copy the integration key of an 'Events API v2' integration of the service.",
            )
        url = environment.get("PAGERDUTY_URL", "").strip() or URL
        return cls(key, url=_post.url_from("PAGERDUTY_URL", url))

    async def send(self, notification: Notification) -> None:
        """Open, add to, or resolve the deployment's incident."""
        if notification.kind == "resolved":
            await self._enqueue(self._event(notification, "resolve"))
            return
        await self._enqueue(self._trigger(notification))
        if notification.kind == "test":
            # A test must not keep anybody awake.
            await self._enqueue(self._event(notification, "resolve"))

    def _event(self, n: Notification, action: str) -> dict[str, Any]:
        key = f"serinus/{n.deployment_id or n.id}"
        return {"routing_key": self._key, "event_action": action, "dedup_key": key[:MAX_KEY]}

    def _trigger(self, n: Notification) -> dict[str, Any]:
        payload: dict[str, Any] = {
            "summary": _post.cut(" ".join(n.title.split()), MAX_SUMMARY) or "Serinus",
            "source": _post.cut(n.service or "serinus", MAX_KEY),
            "severity": n.level.value,
            "class": n.kind,
            "custom_details": {
                "text": _post.cut(n.text, MAX_DETAIL),
                **{_post.cut(k, 200): _post.cut(v, MAX_DETAIL) for k, v in n.fields[:MAX_DETAILS]},
            },
        }
        payload |= {"component": _post.cut(n.service, MAX_KEY)} if n.service else {}
        payload |= {"group": _post.cut(n.tenant, MAX_KEY)} if n.tenant else {}
        payload |= {"timestamp": n.at.isoformat()} if n.at else {}
        event = self._event(n, "trigger") | {"payload": payload, "client": "Serinus"}
        if n.link:
            event |= {"client_url": n.link, "links": [{"href": n.link, "text": "Deployment"}]}
        return event

    async def _enqueue(self, event: Mapping[str, Any]) -> None:
        body = json.dumps(event).encode()
        headers = {"content-type": "application/json", "accept": "application/json"}
        answer = await _post.post("PagerDuty", self._url, body, headers, seconds=self._timeout)
        if answer.status == 202:
            return
        if answer.status == 400:
            raise _post.refusal("PagerDuty", answer, "the event or PAGERDUTY_ROUTING_KEY is not accepted")
        if 200 <= answer.status < 400:
            raise DeliveryFailed(
                f"PagerDuty's address answered {answer.status}, but not as the Events API does: "
                "check PAGERDUTY_URL",
                retryable=False,
            )
        raise _post.refusal("PagerDuty", answer)
