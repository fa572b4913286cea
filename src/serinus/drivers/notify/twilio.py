"""Text messages by Twilio, for what is critical only."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from serinus.core.errors import InvalidInput
from serinus.drivers import _post
from serinus.ports.notify import DeliveryFailed, Level, Notification, Traits

__all__ = ["TwilioNotifier"]

URL = "https://api.twilio.com"
#: Twilio takes 1,600 characters; each 153 of them (67 in Korean) are paid for as one message.
MAX_BODY = 450
#: What Twilio's error codes mean for the reader.
_REMEDY = {
    20003: "the login was refused; check TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN",
    21211: "a number in ALERT_SMS_TO is none",
    21408: "the account may not send to that country",
    21606: "TWILIO_FROM is no number of this account that can send text messages",
    21608: "a trial account only sends to numbers that were verified",
    21610: "the recipient has opted out by answering STOP",
    21614: "a number in ALERT_SMS_TO cannot take text messages",
}


class TwilioNotifier:
    """Sends from one number or messaging service. Token and numbers appear in no error, log or ``repr``."""

    name = "twilio"
    traits = Traits(least=Level.CRITICAL)

    def __init__(
        self,
        account: str,
        token: str,
        sender: str,
        to: Sequence[str],
        *,
        url: str = URL,
        timeout: float = _post.TIMEOUT_SECONDS,
    ) -> None:
        """Keep where and how to send; ``timeout`` in seconds, for each recipient."""
        self._account, self._sender, self._to = account, sender, tuple(to)
        self._login = base64.b64encode(f"{account}:{token}".encode()).decode()
        self._url = f"{url.rstrip('/')}/2010-04-01/Accounts/{account}/Messages.json"
        self._timeout = timeout
        self._reached = _post.Reached()

    def __repr__(self) -> str:
        """Say to how many."""
        return f"TwilioNotifier({len(self._to)} recipients)"

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> TwilioNotifier | str:
        """Build from ``TWILIO_*`` and ``ALERT_SMS_TO``, or say why it is off.

        Raises:
            InvalidInput: A variable is set to something unusable; the error names it.
        """
        needed = ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_FROM", "ALERT_SMS_TO")
        account, token, sender, to = (environment.get(name, "").strip() for name in needed)
        missing = [name for name in needed if not environment.get(name, "").strip()]
        if missing:
            return ", ".join(missing) + (" is" if len(missing) == 1 else " are") + " not set"
        _must("TWILIO_ACCOUNT_SID", account, r"AC[0-9a-fA-F]{32}", "It begins with AC and has 34 characters.")
        _must(
            "TWILIO_FROM", sender, r"\+[1-9]\d{1,14}|MG[0-9a-fA-F]{32}|[A-Za-z0-9 ]{1,11}", "Like +15551234."
        )
        numbers = [one.strip() for one in to.split(",") if one.strip()]
        for one in numbers or [""]:
            _must(
                "ALERT_SMS_TO",
                one,
                r"\+[1-9]\d{1,14}",
                "Write numbers like +4930123456, with commas between.",
            )
        url = environment.get("TWILIO_URL", "").strip() or URL
        return cls(account, token, sender, numbers, url=_post.url_from("TWILIO_URL", url))

    async def send(self, notification: Notification) -> None:
        """Send it once to every recipient; a second try only goes to those who do not have it."""
        failed: list[DeliveryFailed] = []
        for number in self._to:
            if self._reached.has(notification.id, number):
                continue
            try:
                await self._message(number, _text(notification))
            except DeliveryFailed as error:
                failed.append(error)
            else:
                self._reached.add(notification.id, number)
        if not failed:
            self._reached.forget(notification.id)
            return
        of = f" ({len(failed)} of {len(self._to)} recipients)" if len(self._to) > 1 else ""
        raise DeliveryFailed(
            f"{failed[0]}{of}",
            retryable=any(error.retryable for error in failed),
            unsure=any(error.unsure for error in failed),
            retry_after=max(error.retry_after for error in failed),
        )

    async def _message(self, number: str, text: str) -> None:
        by = "MessagingServiceSid" if re.fullmatch(r"MG[0-9a-fA-F]{32}", self._sender) else "From"
        body = urlencode({"To": number, by: self._sender, "Body": text}).encode()
        headers = {
            "content-type": "application/x-www-form-urlencoded",
            "accept": "application/json",
            "authorization": f"Basic {self._login}",
        }
        answer = await _post.post("Twilio", self._url, body, headers, seconds=self._timeout)
        if answer.status == 201:
            return
        if 200 <= answer.status < 400:
            raise DeliveryFailed(
                f"Twilio's address answered {answer.status}, but not as its API does: check TWILIO_URL",
                retryable=False,
            )
        raise _post.refusal("Twilio", answer, _said(answer.body))


def _text(n: Notification) -> str:
    """Return the little that fits: title, text, the reason, and the link whole."""
    facts = dict(n.fields)
    reason = facts.get("Reason") or facts.get("사유") or ""
    parts = [" ".join(n.title.split()), n.text, reason]
    room = MAX_BODY - len(n.link) - 1
    return _post.cut("\n".join(p for p in parts if p), max(40, room)) + (f"\n{n.link}" if n.link else "")


def _said(body: bytes) -> str:
    """Return Twilio's error code and what to do; its own words may quote numbers."""
    try:
        code = json.loads(body)["code"]
    except (ValueError, LookupError, TypeError):
        return ""
    if not isinstance(code, int):
        return ""
    return f"error {code}" + (f", {_REMEDY[code]}" if code in _REMEDY else "")


def _must(variable: str, text: str, pattern: str, next_step: str) -> None:
    if not re.fullmatch(pattern, text):
        raise InvalidInput(f"{variable} is not usable.", field=variable, next_step=next_step)
