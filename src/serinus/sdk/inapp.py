"""Contract 2's middleware: routes by user, measures, and answers ``/api/v2/admin/canary/metrics``."""

from __future__ import annotations

import json
from asyncio import CancelledError
from collections.abc import Awaitable, Callable, MutableMapping
from time import perf_counter
from typing import Any

from serinus.sdk.client import CLIENT_LEFT
from serinus.sdk.router import CanaryRouter, DeploymentVersion, MetricsCollector

__all__ = ["ADMIN_PATH", "CanaryMiddleware"]

ADMIN_PATH = "/api/v2/admin/canary/metrics"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class CanaryMiddleware:
    """Wraps an ASGI application; ``scope["canary_version"]`` says which version serves the request."""

    def __init__(
        self,
        app: App,
        *,
        router: CanaryRouter,
        collector: MetricsCollector,
        user_header: str = "x-user-id",
        admin: Callable[[Scope], bool] | None = None,
    ) -> None:
        """Wrap ``app``.

        Args:
            app: The application.
            router: Who goes where.
            collector: What is counted.
            user_header: Header with the user's id.
            admin: Tells whether a request may read the metrics; by default only loopback may.
        """
        self._app, self._router, self._collector = app, router, collector
        self._header = user_header.lower().encode()
        self._admin = admin or _from_loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"] == ADMIN_PATH:
            await self._show(scope, send)
            return
        user = next((v.decode("utf-8", "replace") for k, v in scope["headers"] if k == self._header), "")
        canary = self._router.routes_endpoint(scope["path"]) and self._router.is_canary_user(user)
        version = DeploymentVersion.CANARY if canary else DeploymentVersion.LEGACY
        scope["canary_version"] = version
        status = 0

        async def sending(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        began = perf_counter()
        try:
            await self._app(scope, receive, sending)
        except CancelledError:
            status = status or CLIENT_LEFT
            raise
        except BaseException:
            status = 500  # also where the answer had begun well
            raise
        finally:
            took = (perf_counter() - began) * 1000
            endpoint = getattr(scope.get("route"), "path", None) or "other"
            self._collector.record_request(endpoint, scope["method"], user, version, status or 500, took)

    async def _show(self, scope: Scope, send: Send) -> None:
        allowed = self._admin(scope)
        body = self._collector.admin_view() if allowed else {"detail": "Only an administrator may read this."}
        content = json.dumps(body).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": 200 if allowed else 403, "headers": headers})
        await send({"type": "http.response.body", "body": content})


def _from_loopback(scope: Scope) -> bool:
    client = scope.get("client")
    return client is not None and client[0] in ("127.0.0.1", "::1", "testclient")
