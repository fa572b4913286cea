"""ASGI middleware: route, name the version, measure. A few microseconds per request."""

from __future__ import annotations

from asyncio import CancelledError
from time import perf_counter

from serinus.sdk.client import CLIENT_LEFT
from serinus.sdk.paths import Templates

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping
    from typing import Any

    from serinus.sdk.client import Client
    from serinus.sdk.routing import Choice

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Any]]
    Send = Callable[[Any], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]

__all__ = ["SerinusMiddleware"]

#: Different endpoints that are told apart; the rest is counted under ``other``.
MAX_ENDPOINTS = 200


class SerinusMiddleware:
    """Wraps an ASGI application.

    The choice is in ``scope["serinus"]`` for the application, the version in the answer's
    ``x-serinus-version`` header, and every answer is measured per version and endpoint: the
    framework's route template where it has one, else the matching template of ``endpoints``.

    Example::

        app = SerinusMiddleware(app, client=Client(), service="checkout")
    """

    def __init__(
        self,
        app: App,
        *,
        client: Client,
        service: str,
        endpoints: tuple[str, ...] = (),
        workflow_header: str = "x-workflow-id",
        session_header: str = "x-session-id",
        user_header: str = "x-user-id",
        keys: Callable[[Scope], tuple[str, str, str]] | None = None,
    ) -> None:
        """Wrap ``app``.

        Args:
            app: The application.
            client: Where snapshots come from and measurements go to.
            service: Which service this is.
            endpoints: Path templates by which requests are told apart.
            workflow_header: Header with the workflow's id.
            session_header: Header with the session's id.
            user_header: Header with the user's id.
            keys: Returns ``(user, session, workflow)`` of a scope, instead of the headers.

        Raises:
            BadTemplate: An endpoint is no path template.
        """
        self._app = app
        self._client = client
        self._service = service
        self._router = client.service(service)
        self._templates = Templates(tuple(endpoints))
        # Servers write them in lower case.
        self._wanted = tuple(h.lower().encode() for h in (user_header, session_header, workflow_header))
        self._keys = keys
        self._known: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; anything but HTTP passes untouched."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        choice = self._choose(scope)
        scope["serinus"] = choice
        header = (b"x-serinus-version", choice.version.encode("latin-1", "replace"))
        status = 0

        async def sending(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        began = perf_counter()
        try:
            await self._app(scope, receive, sending)
        except CancelledError:
            # The client left, or the server stops: no failure of the version, and proxies count it alike.
            self._record(choice, scope, status or CLIENT_LEFT, began)
            raise
        except BaseException:
            # The application's own error is its own; we only count it.
            self._record(choice, scope, 500, began)
            raise
        self._record(choice, scope, status or 500, began)

    def _choose(self, scope: Scope) -> Choice:
        try:
            if self._keys is not None:
                user, session, workflow = self._keys(scope)
                return self._router.expose(user, session, workflow)
            user_header, session_header, workflow_header = self._wanted
            user = session = workflow = ""
            for name, value in scope["headers"]:
                if name == user_header:
                    user = value.decode()
                elif name == session_header:
                    session = value.decode()
                elif name == workflow_header:
                    workflow = value.decode()
            return self._router.expose(user, session, workflow)
        except Exception as error:  # noqa: BLE001 - the application never sees our errors: stable
            self._client.last_error = f"{type(error).__name__} while choosing"
            return self._router.plan.stable[None]

    def _record(self, choice: Choice, scope: Scope, status: int, began: float) -> None:
        try:
            took = (perf_counter() - began) * 1000
            self._client.record(self._service, choice, self._endpoint(scope), status, took)
        except Exception as error:  # noqa: BLE001 - the application never sees our errors
            self._client.last_error = f"{type(error).__name__} while recording"

    def _endpoint(self, scope: Scope) -> str:
        """Name the endpoint, never by a concrete path with ids in it."""
        route = scope.get("route")
        path = getattr(route, "path", None) if route is not None else None
        if path is None:
            path = self._templates.match(scope["path"]) if self._templates.names else ""
        if path is None or path in self._known:
            return path or "other"
        if len(self._known) >= MAX_ENDPOINTS:
            return "other"
        self._known.add(path)
        return str(path)
