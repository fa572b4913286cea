"""WSGI middleware: the same for Flask, Django and their kin."""

from __future__ import annotations

from time import perf_counter

from serinus.sdk.paths import Templates

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from serinus.sdk.client import Client
    from serinus.sdk.routing import Choice

    Environ = dict[str, Any]
    App = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

__all__ = ["SerinusMiddleware"]


class SerinusMiddleware:
    """Wraps a WSGI application; the choice is in ``environ["serinus"]``."""

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
    ) -> None:
        """Wrap ``app``; the arguments are those of the ASGI middleware."""
        self._app = app
        self._client = client
        self._service = service
        self._router = client.service(service)
        self._templates = Templates(tuple(endpoints))
        self._wanted = tuple(
            "HTTP_" + header.upper().replace("-", "_")
            for header in (user_header, session_header, workflow_header)
        )

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Handle one request; it is measured when its body has been sent."""
        choice = self._choose(environ)
        environ["serinus"] = choice
        status = [500]

        def starting(line: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            status[0] = int(line.split(" ", 1)[0])
            return start_response(line, [*headers, ("x-serinus-version", choice.version)], *more)

        began = perf_counter()
        try:
            body = self._app(environ, starting)
        except BaseException:
            self._record(choice, environ, 500, began)
            raise
        return self._measured(body, choice, environ, status, began)

    def _measured(
        self, body: Iterable[bytes], choice: Choice, environ: Environ, status: list[int], began: float
    ) -> Iterator[bytes]:
        try:
            yield from body
        except GeneratorExit:
            raise  # the server has read enough (HEAD, a client that left): the status stands
        except BaseException:
            status[0] = 500
            raise
        finally:
            close = getattr(body, "close", None)
            if close is not None:
                close()
            self._record(choice, environ, status[0], began)

    def _choose(self, environ: Environ) -> Choice:
        try:
            user, session, workflow = (_text(environ.get(name, "")) for name in self._wanted)
            return self._router.expose(user, session, workflow)
        except Exception as error:  # noqa: BLE001 - the application never sees our errors: stable
            self._client.last_error = f"{type(error).__name__} while choosing"
            return self._router.plan.stable[None]

    def _record(self, choice: Choice, environ: Environ, status: int, began: float) -> None:
        try:
            took = (perf_counter() - began) * 1000
            asked = _text(environ.get("PATH_INFO", ""), "replace")
            path = self._templates.match(asked) if self._templates.names else ""
            self._client.record(self._service, choice, "other" if path is None else path, status, took)
        except Exception as error:  # noqa: BLE001 - the application never sees our errors
            self._client.last_error = f"{type(error).__name__} while recording"


def _text(given: str, errors: str = "strict") -> str:
    """Return what was sent: WSGI hands its bytes over as Latin-1.

    Raises:
        UnicodeError: It is no UTF-8, and ``errors`` are not to be replaced.
    """
    return given.encode("latin-1", errors).decode(errors=errors)
