"""E-mail by SMTP: text and HTML, several recipients, STARTTLS or TLS, with or without login."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from html import escape
from typing import Any

import aiosmtplib

from serinus.core.errors import InvalidInput
from serinus.ports.notify import DeliveryFailed, Level, Notification

__all__ = ["EmailNotifier"]

TIMEOUT_SECONDS = 10
#: Port on which SMTP begins with TLS; on every other one STARTTLS is used where the server offers it.
TLS_PORT = 465

_COLOUR = {
    Level.INFO: "#2e7d32",
    Level.WARNING: "#b26a00",
    Level.ERROR: "#c62828",
    Level.CRITICAL: "#7b1fa2",
}


class EmailNotifier:
    """Sends through one SMTP server. The password appears in no error and no ``repr``."""

    name = "email"

    def __init__(
        self,
        host: str,
        port: int,
        sender: str,
        to: Sequence[str],
        *,
        user: str = "",
        password: str = "",
    ) -> None:
        """Keep where and how to send."""
        self._host, self._port = host, port
        self._sender, self._to = sender, tuple(to)
        self._login = {"username": user, "password": password} if user else {}

    def __repr__(self) -> str:
        """Name the server and how many recipients."""
        return f"EmailNotifier({self._host}:{self._port}, {len(self._to)} recipients)"

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> EmailNotifier | str:
        """Build from ``SMTP_*``, ``EMAIL_FROM`` and ``ALERT_EMAIL_TO``, or say why it is off.

        Raises:
            InvalidInput: A variable is set to something unusable; the error names it.
        """
        given = {name: value.strip() for name, value in environment.items()}
        missing = [name for name in ("SMTP_HOST", "ALERT_EMAIL_TO") if not given.get(name)]
        if missing:
            return " and ".join(missing) + (" is" if len(missing) == 1 else " are") + " not set"
        to = [_address("ALERT_EMAIL_TO", one) for one in given["ALERT_EMAIL_TO"].split(",") if one.strip()]
        user = given.get("SMTP_USER", "")
        sender = given.get("EMAIL_FROM") or (user if "@" in user else "serinus@localhost")
        return cls(
            given["SMTP_HOST"],
            _port(given.get("SMTP_PORT") or "587"),
            _address("EMAIL_FROM", sender),
            to,
            user=user,
            password=environment.get("SMTP_PASSWORD", ""),
        )

    async def send(self, notification: Notification) -> None:
        """Send it once to every recipient."""
        message = self._message(notification.title, _text(notification), _html(notification), self._to)
        # Receivers drop a second copy with the same Message-ID, should we have to send twice.
        message["Message-ID"] = f"<{notification.id}@serinus>"
        message["X-Serinus-Notification"] = notification.id
        if notification.at:
            message["Date"] = format_datetime(notification.at)
        await self._deliver(message)

    async def send_mail(
        self, subject: str, body: str, html: str | None = None, to: Sequence[str] | None = None
    ) -> None:
        """Send a mail of the caller's own making.

        Raises:
            DeliveryFailed: The server refused it or could not be reached.
        """
        recipients = [_address("to", one) for one in to] if to else self._to
        await self._deliver(self._message(subject, body, html, recipients))

    def _message(self, subject: str, text: str, html: str | None, to: Sequence[str]) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self._sender
        message["To"] = ", ".join(to)
        message["Subject"] = " ".join(subject.split())  # a line break would be a second header
        message.set_content(text)
        if html:
            message.add_alternative(html, subtype="html")
        return message

    async def _deliver(self, message: EmailMessage) -> None:
        options: dict[str, Any] = {
            "timeout": TIMEOUT_SECONDS,
            "use_tls": self._port == TLS_PORT,
            **self._login,
        }
        try:
            refused, _ = await aiosmtplib.send(message, hostname=self._host, port=self._port, **options)
        except aiosmtplib.SMTPResponseException as error:
            permanent = 500 <= error.code < 600
            raise DeliveryFailed(f"SMTP answered {error.code}", retryable=not permanent) from None
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = sorted({one.code for one in error.recipients})
            said = ", ".join(map(str, codes))
            passing = any(code < 500 for code in codes)
            raise DeliveryFailed(f"SMTP refused every recipient ({said})", retryable=passing) from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise DeliveryFailed(f"SMTP could not be reached ({type(error).__name__})") from None
        if refused:
            raise DeliveryFailed(f"SMTP refused {len(refused)} of the recipients", retryable=False)


def _port(text: str) -> int:
    if text.isdigit() and 0 < int(text) < 65536:
        return int(text)
    raise InvalidInput(
        f"SMTP_PORT is {text[:20]!r}, which is no port.", field="SMTP_PORT", next_step="Usually 587 or 465."
    )


def _address(variable: str, text: str) -> str:
    plain = text.strip()
    bare = plain.partition("<")[2].rstrip(">").strip() if plain.endswith(">") else plain
    try:
        if "@" not in bare:
            raise ValueError
        Address(addr_spec=bare)
    except (ValueError, IndexError):
        raise InvalidInput(
            f"{variable} has something that is no e-mail address.",
            field=variable,
            next_step="Write addresses like ops@example.com, separated by commas.",
        ) from None
    return plain


def _text(n: Notification) -> str:
    width = max((len(name) for name, _ in n.fields), default=0)
    rows = "\n".join(f"{name + ':':<{width + 2}}{value}" for name, value in n.fields)
    return "\n\n".join(part for part in (n.text, rows, n.link, "-- \nSerinus") if part) + "\n"


def _html(n: Notification) -> str:
    """Return one self-contained page: no picture or script is fetched, readable at phone width."""
    rows = "".join(
        f'<tr><th style="text-align:left;vertical-align:top;padding:4px 16px 4px 0;font-weight:600;'
        f'white-space:nowrap">{escape(name)}</th>'
        f'<td style="padding:4px 0;word-break:break-word">{escape(value)}</td></tr>'
        for name, value in n.fields
    )
    text = escape(n.text).replace("\n", "<br>")
    link = (
        f'<p style="margin:24px 0 0"><a href="{escape(n.link, quote=True)}" style="background:#1f2933;'
        f'color:#ffffff;padding:10px 16px;border-radius:6px;text-decoration:none">Open the deployment</a></p>'
        if n.link
        else ""
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">'
        f"<title>{escape(n.title)}</title></head>"
        '<body style="margin:0;padding:24px 16px;font:16px/1.5 system-ui,-apple-system,sans-serif">'
        f'<div style="max-width:560px;margin:0 auto;border-left:4px solid {_COLOUR[n.level]};'
        'padding-left:16px">'
        f'<h1 style="font-size:19px;line-height:1.3;margin:0 0 12px">{escape(n.title)}</h1>'
        f'<p style="margin:0 0 16px">{text}</p>'
        f'<table style="border-collapse:collapse;font-size:15px">{rows}</table>{link}'
        '<p style="margin:24px 0 0;font-size:13px;opacity:.7">Serinus</p></div></body></html>'
    )
