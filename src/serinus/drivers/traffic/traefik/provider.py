"""Traefik's other way to its configuration: it polls us (``providers.http``)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

__all__ = ["ProviderEndpoint"]

_Message = MutableMapping[str, Any]


class ProviderEndpoint:
    """An ASGI application that answers the configuration in force; to be mounted at ``provider_url``."""

    def __init__(self) -> None:
        """There is no configuration yet: until the first split is applied, the answer is 503."""
        self.document = ""

    async def __call__(
        self,
        scope: _Message,
        receive: Callable[[], Awaitable[_Message]],  # noqa: ARG002
        send: Callable[[_Message], Awaitable[None]],
    ) -> None:
        """Answer one request; Traefik keeps what it has while the answer is not 200."""
        if scope["type"] != "http":
            raise RuntimeError(f"only http is answered here, not {scope['type']}")
        status = 200 if self.document else 503
        if scope["method"] not in ("GET", "HEAD"):
            status = 405
        body = self.document.encode() if status == 200 else b""
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
