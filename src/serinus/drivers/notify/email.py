"""E-mail by SMTP: text and HTML, several recipients, STARTTLS or TLS, with or without login."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from enum import StrEnum
from hashlib import sha256
from ipaddress import ip_address
from typing import Any

import aiosmtplib

from serinus.core.errors import InvalidInput
from serinus.drivers import _mail_page
from serinus.ports.notify import DeliveryFailed, Notification, Traits

__all__ = ["EmailNotifier", "Security"]

#: Limit of each exchange with the server; a whole delivery may take three times as long.
TIMEOUT_SECONDS = 10.0
#: Port on which SMTP begins with TLS.
TLS_PORT = 465


class Security(StrEnum):
    """How the connection is protected (``SMTP_SECURITY``)."""

    #: TLS on port 465, elsewhere STARTTLS: demanded before a password, else where the server offers it.
    AUTO = "auto"
    #: STARTTLS or nothing is sent.
    STARTTLS = "starttls"
    #: TLS from the first byte.
    TLS = "tls"
    #: Plain text, also for the password: only inside a network you trust.
    NONE = "none"


class EmailNotifier:
    """Sends through one SMTP server. The password appears in no error, log or ``repr``."""

    name = "email"
    #: Receivers drop a second copy by its Message-ID.
    traits = Traits(idempotent=True)

    def __init__(
        self,
        host: str,
        port: int,
        sender: str,
        to: Sequence[str],
        *,
        user: str = "",
        password: str = "",
        security: Security = Security.AUTO,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        """Keep where and how to send."""
        self._host, self._port = host, port
        self._sender, self._to = sender, tuple(to)
        self._login = {"username": user, "password": password} if user else {}
        self._timeout = timeout
        self._tls: dict[str, bool | None] = _tls(security, port, demanded=bool(user) and not _is_local(host))

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
        user, password = given.get("SMTP_USER", ""), environment.get("SMTP_PASSWORD", "")
        if user and not password:
            raise InvalidInput(
                "SMTP_USER is set, SMTP_PASSWORD is not.",
                field="SMTP_PASSWORD",
                next_step="Set both for a login, or neither.",
            )
        sender = given.get("EMAIL_FROM") or (user if "@" in user else "serinus@localhost")
        return cls(
            _host(given["SMTP_HOST"]),
            _port(given.get("SMTP_PORT") or "587"),
            _address("EMAIL_FROM", sender),
            _addresses("ALERT_EMAIL_TO", given["ALERT_EMAIL_TO"].split(",")),
            user=user,
            password=password,
            security=_security(given.get("SMTP_SECURITY") or Security.AUTO),
        )

    async def send(self, notification: Notification) -> None:
        """Send it once to every recipient."""
        message = self._message(
            notification.title, _mail_page.text(notification), _mail_page.html(notification), self._to
        )
        # Receivers drop a second copy with the same Message-ID, should we have to send twice.
        message["Message-ID"] = f"<{_token(notification.id)}@serinus>"
        message["X-Serinus-Notification"] = _token(notification.id)
        message["Date"] = format_datetime(notification.at or datetime.now(UTC))
        await self._deliver(message, self._to)

    async def send_mail(
        self, subject: str, body: str, html: str | None = None, to: Sequence[str] | None = None
    ) -> None:
        """Send a mail of the caller's own making.

        Raises:
            DeliveryFailed: The server refused it or could not be reached.
            InvalidInput: A recipient is no e-mail address.
        """
        recipients = self._to if to is None else _addresses("to", to)
        message = self._message(subject, body, html, recipients)
        message["Message-ID"] = make_msgid(domain="serinus")
        message["Date"] = format_datetime(datetime.now(UTC))
        await self._deliver(message, recipients)

    def _message(self, subject: str, text: str, html: str | None, to: Sequence[str]) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self._sender
        message["To"] = ", ".join(to)
        message["Subject"] = _printable(" ".join(subject.split()))  # a line break would be a second header
        message["Auto-Submitted"] = "auto-generated"  # no out-of-office answers
        message.set_content(_printable(text))
        if html:
            message.add_alternative(_printable(html), subtype="html")
        return message

    async def _deliver(self, message: EmailMessage, to: Sequence[str]) -> None:
        options: dict[str, Any] = {"timeout": self._timeout, **self._tls, **self._login}
        try:
            async with asyncio.timeout(self._timeout * 3):
                refused, _ = await aiosmtplib.send(
                    message,
                    hostname=self._host,
                    port=self._port,
                    recipients=[_bare(a) for a in to],
                    **options,
                )
        # ValueError: a character that this server's protocol cannot carry.
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise _failure(error, self._timeout) from None
        if refused:
            raise _refusal([answer.code for answer in refused.values()], len(to))


def _failure(error: Exception, timeout: float) -> DeliveryFailed:
    """Say what went wrong without the server's words: they quote addresses and user names."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        codes = [one.code for one in error.recipients]
        return _refusal(codes, len(codes))
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        why = "the login was refused; check SMTP_USER and SMTP_PASSWORD"
        return DeliveryFailed(f"SMTP answered {error.code}: {why}", retryable=error.code < 500)
    if isinstance(error, aiosmtplib.SMTPResponseException):
        # Codes outside 4xx and 5xx are the library's sign of a broken answer: that can pass.
        return DeliveryFailed(f"SMTP answered {error.code}", retryable=not 500 <= error.code < 600)
    if isinstance(error, TimeoutError):
        return DeliveryFailed(f"SMTP did not answer in {timeout:g} s", unsure=True)
    if isinstance(error.__cause__ or error, ssl.SSLCertVerificationError):
        return DeliveryFailed("SMTP could not be reached: the server's certificate is not trusted")
    if isinstance(error, OSError):
        return DeliveryFailed(f"SMTP could not be reached ({type(error.__cause__ or error).__name__})")
    # The library's advice on a missing AUTH names STARTTLS too, so AUTH is looked for first.
    if "AUTH" in str(error) or "authentication" in str(error):
        why = "the server offers no login that we know; check SMTP_PORT, or leave SMTP_USER out"
    elif "STARTTLS" in str(error):
        why = "the server offers no STARTTLS, and a password is not sent in the open; see SMTP_SECURITY"
    else:
        why = f"the server cannot carry this message ({type(error).__name__})"
    return DeliveryFailed(f"SMTP failed: {why}", retryable=False)


def _refusal(codes: Sequence[int], asked: int) -> DeliveryFailed:
    """Return the failure that some or all recipients were refused.

    One 4xx is enough to try again. Whoever has it already drops the copy by its Message-ID; on-call going
    without it would be worse.
    """
    said = ", ".join(str(code) for code in sorted(set(codes)))
    return DeliveryFailed(
        f"SMTP refused {len(codes)} of {asked} recipients ({said})",
        retryable=any(code < 500 for code in codes),
    )


def _tls(security: Security, port: int, *, demanded: bool) -> dict[str, bool | None]:
    """Return the library's switches; ``None`` means STARTTLS where the server offers it."""
    if security is Security.AUTO:
        security = Security.TLS if port == TLS_PORT else Security.AUTO
    start = {Security.STARTTLS: True, Security.NONE: False, Security.TLS: False}
    return {"use_tls": security is Security.TLS, "start_tls": start.get(security, True if demanded else None)}


def _is_local(host: str) -> bool:
    """Tell whether a password to this host does not leave the machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _security(text: str) -> Security:
    try:
        return Security(text.lower())
    except ValueError:
        raise InvalidInput(
            f"SMTP_SECURITY is {text[:20]!r}, which is not known.",
            field="SMTP_SECURITY",
            next_step=f"Use one of: {', '.join(Security)}.",
        ) from None


def _host(text: str) -> str:
    if re.fullmatch(r"[\w.:-]+", text) and "//" not in text:
        return text
    raise InvalidInput(
        "SMTP_HOST is no host name.",
        field="SMTP_HOST",
        next_step="Write it like mail.example.com, no smtp://.",
    )


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and 0 < int(text) < 65536:
        return int(text)
    raise InvalidInput(
        f"SMTP_PORT is {text[:20]!r}, which is no port.", field="SMTP_PORT", next_step="Usually 587 or 465."
    )


def _addresses(variable: str, texts: Sequence[str]) -> list[str]:
    found = [_address(variable, one) for one in texts if one.strip()]
    if not found:
        raise InvalidInput(
            f"{variable} has no address.", field=variable, next_step="Write addresses like ops@example.com."
        )
    return found


def _address(variable: str, text: str) -> str:
    plain = text.strip()
    try:
        bare = _bare(plain)
        if "@" not in bare or not plain.isprintable():  # a line break would be a second header
            raise ValueError
        Address(addr_spec=bare)
        EmailMessage()["To"] = plain
    except (ValueError, IndexError):
        raise InvalidInput(
            f"{variable} has something that is no e-mail address.",
            field=variable,
            next_step="Write addresses like ops@example.com, separated by commas.",
        ) from None
    return plain


def _bare(address: str) -> str:
    """Return ``ops@example.com`` of ``On call <ops@example.com>``."""
    return address.rpartition("<")[2].rstrip(">").strip() if address.endswith(">") else address


def _token(text: str) -> str:
    """Return an id that may stand in a header: itself, or its digest where it has other characters."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}", text) and ".." not in text and text[-1] != ".":
        return text
    return sha256(text.encode(errors="replace")).hexdigest()[:32]


def _printable(text: str) -> str:
    """Return the text without what no mail can carry: half characters and control characters."""
    whole = text.encode(errors="replace").decode()
    return "".join(c for c in whole if c in "\n\t" or c.isprintable() or ord(c) > 127)
