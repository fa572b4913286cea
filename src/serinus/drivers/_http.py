"""One bounded question by HTTP, and plain words for whatever can go wrong with it.

Built on httpx's transport, not on its client: a client logs every URL, follows proxies from the
environment and can follow redirects. Here nothing is logged, and nothing goes anywhere else.
"""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from socket import gaierror
from urllib.parse import SplitResult, unquote, urlsplit

import httpx

from serinus.core.errors import InvalidInput

__all__ = [
    "Trouble",
    "Unreachable",
    "Wire",
    "basic",
    "bearer",
    "headers_of",
    "split_url",
    "status_words",
    "tls",
]

#: What a status most often means to whoever set the source up.
_STATUS = {
    400: "the question was refused",
    401: "check the token",
    403: "the token may not read this",
    404: "check the URL's path",
    407: "a proxy asks for a password",
    429: "asked too often",
    502: "the server behind the proxy does not answer",
    503: "not ready",
    504: "the server behind the proxy is too slow",
}


class Trouble(Exception):
    """The source has no answer; the message says why, in plain words and without secrets."""


class Unreachable(Trouble):
    """Nothing was sent: another address of the same host may do."""


class Wire:
    """Asks one peer, within a time and a size."""

    def __init__(self, *, seconds: float, max_bytes: int, context: ssl.SSLContext | None = None) -> None:
        """Connect on first use."""
        self.seconds = seconds
        self._max_bytes = max_bytes
        self._transport = httpx.AsyncHTTPTransport(verify=context or False, trust_env=False)
        self._limits = httpx.Timeout(seconds).as_dict()

    async def close(self) -> None:
        """Release connections."""
        await self._transport.aclose()

    @asynccontextmanager
    async def in_time(self) -> AsyncIterator[None]:
        """Bound everything inside, however slowly it trickles.

        Raises:
            Trouble: The time is over.
        """
        try:
            async with asyncio.timeout(self.seconds):
                yield
        except TimeoutError:
            raise Trouble(f"timed out after {self.seconds:g} s") from None

    async def ask(self, request: httpx.Request) -> tuple[int, bytes]:
        """Return the status and the body.

        Raises:
            Trouble: No whole answer came, or it was too big.
        """
        request.extensions["timeout"] = self._limits
        request.headers["accept-encoding"] = "identity"
        try:
            async with self.in_time():
                response = await self._transport.handle_async_request(request)
                try:
                    return response.status_code, await self._body(response)
                finally:
                    await response.aclose()
        except httpx.TimeoutException:
            raise Trouble(f"timed out after {self.seconds:g} s") from None
        except httpx.ConnectError as error:
            raise Unreachable(_why_not_connected(error)) from None
        except (httpx.ReadError, httpx.RemoteProtocolError):
            raise Trouble("half an answer: the connection broke off") from None
        except (httpx.HTTPError, OSError, ValueError) as error:
            raise Trouble(f"could not ask ({type(error).__name__})") from None

    async def _body(self, response: httpx.Response) -> bytes:
        # We ask for plain bytes: a small compressed answer could become a huge one.
        if response.headers.get("content-encoding", "identity") != "identity":
            raise Trouble("the answer is compressed, though plain was asked for")
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self._max_bytes:
                raise Trouble(f"the answer is over {_size(self._max_bytes)}: ask for less")
        return bytes(body)


def status_words(status: int) -> str:
    """Return what a status other than 200 means.

    >>> status_words(401)
    'HTTP 401: check the token'
    """
    if status in _STATUS:
        return f"HTTP {status}: {_STATUS[status]}"
    if 300 <= status < 400:
        return f"HTTP {status}: a redirect, which is not followed; give the final URL"
    return f"HTTP {status}: " + ("the server failed" if status >= 500 else "not an answer")


def split_url(url: str, field: str) -> tuple[SplitResult, str]:
    """Return an http(s) URL without its user and password, and the header that those make.

    Raises:
        InvalidInput: It is none.
    """
    try:
        httpx.URL(url)
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except (ValueError, httpx.InvalidURL):
        parts, host = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not host or not re.fullmatch(r"[!-~]+", url):
        raise InvalidInput(
            f"{field} is no http or https URL.",
            field=field,
            next_step="Give it as https://metrics.example/…",
        )
    user, _, place = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    header = basic(unquote(name), unquote(password)) if user else ""
    return parts._replace(netloc=place, fragment=""), header


def headers_of(given: Mapping[str, str] | None, sign_in: str) -> dict[str, str]:
    """Return the headers to send, with what signs in.

    Raises:
        InvalidInput: One would break the request: a token pasted with a line end, a typographic dash.
    """
    made = {**(given or {}), **({"Authorization": sign_in} if sign_in else {})}
    for name, value in made.items():
        if not name.isascii() or not value.isascii() or not value.isprintable():
            raise InvalidInput(
                f"The header {name!r} has characters that no header may have.",
                field="headers",
                next_step="Look for line ends and typographic signs in it.",
            )
    return made


def basic(user: str, password: str) -> str:
    """Return the header value for a user and a password."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def bearer(token: str) -> str:
    """Return the header value for a token."""
    return f"Bearer {token.strip()}"


def tls(
    ca_file: str | Path | None = None,
    client_cert: tuple[str | Path, str | Path] | str | Path | None = None,
    *,
    verify: bool = True,
) -> ssl.SSLContext:
    """Return how TLS is spoken: by the system's authorities, or by those of ``ca_file``.

    Raises:
        InvalidInput: A file is missing or holds no certificate.
    """
    field = "ca_file"
    try:
        context = ssl.create_default_context(cafile=ca_file)
        if client_cert:
            field = "client_cert"
            chain, key = client_cert if isinstance(client_cert, tuple) else (client_cert, None)
            context.load_cert_chain(chain, key)
    except OSError as error:  # an SSLError is one
        raise InvalidInput(
            f"{field} could not be read ({type(error).__name__}).",
            field=field,
            next_step="Name a PEM file that this process may read.",
        ) from None
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _why_not_connected(error: BaseException) -> str:
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the TLS certificate is not trusted: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed ({cause.reason or 'no reason given'})"
        if isinstance(cause, ConnectionRefusedError):
            return "connection refused: is it running?"
        if isinstance(cause, gaierror):
            return "the host name is not known"
    return "could not connect"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Return an error, what it came from, and what that came from."""
    seen: list[BaseException | None] = [error]
    while seen:
        one = seen.pop()
        if one is None:
            continue
        yield one
        seen += [one.__cause__, one.__context__ if one.__context__ is not one.__cause__ else None]
        seen += one.exceptions if isinstance(one, BaseExceptionGroup) else ()


def _size(count: int) -> str:
    return f"{count // 1_000_000} MB" if count >= 1_000_000 else f"{count} bytes"
