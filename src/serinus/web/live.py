"""Pages that follow: the content again whenever it changes, as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from fastapi import Response
from fastapi.responses import StreamingResponse

from serinus.control.context import Bell

__all__ = ["stream"]

#: A page is sent again at most this often.
PAUSE_SECONDS = 0.5
LOOK_SECONDS = 1.0
HEARTBEATS = 10


def stream(bell: Bell, tenant_id: str, look: Callable[[], Awaitable[str]]) -> Response:
    """Send what ``look`` makes, at once and after each change in the tenant."""

    async def events() -> AsyncIterator[str]:
        sent, quiet = "", 0
        while True:
            rung = bell.count(tenant_id)
            html = await look()
            quiet += 1
            if html != sent:
                sent, quiet = html, 0
                lines = "\n".join(f"data: {line}" for line in html.splitlines())
                yield f"event: page\n{lines}\n\n"
            elif quiet % HEARTBEATS == 0:
                yield ": still here\n\n"
            await asyncio.sleep(PAUSE_SECONDS)
            await bell.wait(tenant_id, rung, LOOK_SECONDS)

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events(), media_type="text/event-stream", headers=headers)
