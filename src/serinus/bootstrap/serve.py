"""Serving the control plane over HTTP."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from serinus.bootstrap.build import Running, build, create_app
from serinus.bootstrap.logs import set_up_logging
from serinus.core.errors import Unavailable
from serinus.settings import Settings

__all__ = ["serve"]

#: Open streams get this long to end on shutdown.
GRACE_SECONDS = 2


def serve(settings: Settings, on_ready: Callable[[Running, str], None] | None = None) -> None:
    """Run the control plane until it is interrupted.

    Args:
        settings: How it runs.
        on_ready: Called with the running plane and its address as soon as it answers.

    Raises:
        Unavailable: The port is taken, or the database cannot be opened.
    """
    set_up_logging(settings.log_level)
    listener = _listen(settings.host, settings.port)
    port = listener.getsockname()[1]
    running = build(settings)
    if not settings.public_url:
        running.plane.context.public_url = f"http://{settings.host}:{port}"
    config = uvicorn.Config(
        create_app(settings, running),
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = _Server(config, lambda: on_ready and on_ready(running, running.plane.context.public_url))
    server.run(sockets=[listener])
    if not server.started:
        raise Unavailable("The control plane could not start.", next_step="The lines above say why.")


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise Unavailable(
            f"Cannot listen on {host}:{port}: {error.strerror}.",
            next_step="Choose another with --port, or end what listens there.",
        ) from error
    return listener


class _Server(uvicorn.Server):
    """Tells when it has started."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], object]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        if self.started:
            self._on_started()
