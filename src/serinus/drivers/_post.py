"""Posting one message by HTTP to a service that tells people, and what its answers mean.

Every message has a connection of its own: messages are few, and callers may come from another event
loop each time. Nothing is logged; neither URL, header nor body appears in an error.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from serinus.core.errors import InvalidInput
from serinus.ports.notify import DeliveryFailed

__all__ = ["TIMEOUT_SECONDS", "Answer", "Reached", "cut", "post", "refusal", "url_from"]

#: Limit of a whole exchange.
TIMEOUT_SECONDS = 10.0
#: More of an answer is not read: all of them are short.
MAX_ANSWER = 65_536


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def retry_after(self) -> float:
        """Return the seconds that the service asks us to wait; 0 where it does not say."""
        said = self.headers.get("retry-after", "")
        return min(3600.0, float(said)) if said.isascii() and said.isdigit() else 0.0


async def post(
    name: str, url: str, content: bytes, headers: Mapping[str, str], *, seconds: float = TIMEOUT_SECONDS
) -> Answer:
    """Post once and return the answer, whatever its status.

    Raises:
        DeliveryFailed: No answer came; ``unsure`` where the request may have arrived all the same.
    """
    request = httpx.Request("POST", url, content=content, headers=dict(headers))
    request.extensions["timeout"] = httpx.Timeout(seconds).as_dict()
    try:
        async with asyncio.timeout(seconds), _transport(url) as transport:
            response = await transport.handle_async_request(request)
            try:
                body = await _body(response)
            finally:
                await response.aclose()
            return Answer(status=response.status_code, headers=response.headers, body=body)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
        raise DeliveryFailed(f"{name} could not be reached ({_why(error)})") from None
    except (TimeoutError, httpx.TimeoutException):
        raise DeliveryFailed(f"{name} did not answer in {seconds:g} s", unsure=True) from None
    except (httpx.HTTPError, OSError, ValueError) as error:
        raise DeliveryFailed(f"{name} broke off ({type(error).__name__})", unsure=True) from None


def refusal(name: str, answer: Answer, said: str = "") -> DeliveryFailed:
    """Return the failure that this answer means: 408, 429 and 5xx pass by themselves, the rest stays.

    ``said``: a remedy, or a word of the service, that holds no secret.
    """
    passing = answer.status in (408, 425, 429) or answer.status >= 500
    detail = f"{name} answered {answer.status}" + (f": {said}" if said else "")
    return DeliveryFailed(detail, retryable=passing, retry_after=answer.retry_after)


def url_from(variable: str, text: str) -> str:
    """Return an http(s) URL as it is.

    Raises:
        InvalidInput: It is none; the error names the variable, not its value.
    """
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        httpx.URL(text)
    except (ValueError, httpx.InvalidURL):
        good = False
    if not good or not text.isascii() or not text.isprintable() or " " in text:
        raise InvalidInput(
            f"{variable} is no http or https URL.", field=variable, next_step="Write it like https://…"
        )
    return text


def cut(text: str, limit: int) -> str:
    """Return at most so many characters, without half or control characters."""
    whole = text.encode(errors="replace").decode()
    clean = "".join(c for c in whole if c in "\n\t" or c.isprintable() or ord(c) > 159)
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


class Reached:
    """Who of several recipients has a message already, so that a second try only asks the others.

    In memory: after a restart the others' copies are sent to everybody again.
    """

    #: Messages remembered.
    KEPT = 1000

    def __init__(self) -> None:
        """Start with nobody."""
        self._by_message: OrderedDict[str, set[str]] = OrderedDict()

    def has(self, message: str, recipient: str) -> bool:
        """Tell whether the recipient has it."""
        return recipient in self._by_message.get(message, ())

    def add(self, message: str, recipient: str) -> None:
        """Remember that the recipient has it."""
        self._by_message.setdefault(message, set()).add(recipient)
        while len(self._by_message) > self.KEPT:
            self._by_message.popitem(last=False)

    def forget(self, message: str) -> None:
        """Everybody has it."""
        self._by_message.pop(message, None)


def _transport(url: str) -> httpx.AsyncHTTPTransport:
    secure = urlsplit(url).scheme == "https"
    proxy = _proxy(url)
    return httpx.AsyncHTTPTransport(
        verify=_context() if secure or proxy else False,
        trust_env=False,
        proxy=httpx.Proxy(proxy) if proxy else None,
    )


def _proxy(url: str) -> str:
    """Return the proxy that ``HTTPS_PROXY`` and its like name for this URL, unless ``NO_PROXY`` does."""
    parts = urlsplit(url)
    if proxy_bypass(parts.netloc.rpartition("@")[2]):
        return ""
    return getproxies().get(parts.scheme, "")


@cache
def _context() -> ssl.SSLContext:
    return ssl.create_default_context()


async def _body(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_ANSWER:
            break
    return bytes(body)


def _why(error: BaseException) -> str:
    """Return the kind of the innermost reason that says something."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return "its certificate is not trusted"
        if isinstance(seen, ConnectionRefusedError):
            return "connection refused"
        seen = seen.__cause__ or seen.__context__
    return type(error).__name__
