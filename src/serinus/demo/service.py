"""One version of the demo's small HTTP service. It can be told to become faulty, and keeps its own books.

``GET /`` answers; ``POST /__fault`` makes a share of the answers fail from now on; ``GET /__books`` tells
what was served and when. Run as ``python -m serinus.demo.service --version v2 --port 9002``.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

__all__ = ["build", "main"]

#: A service answers in 20 ms, give or take. In much less than that a busy machine's own delays, which hit the
#: version that has just started harder, would look like a slow release: the judge would be right to stop it.
WORK_SECONDS = (0.010, 0.030)


class _Books:
    """What this version has served; times are Unix seconds of this machine's clock."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.failing = 0.0
        self.requests = 0
        self.errors = 0
        self.first_fault_at: float | None = None
        self.last_request_at: float | None = None
        self.users: set[str] = set()
        self.chance = random.Random(version)  # the same run again gives the same faults

    def view(self) -> dict[str, Any]:
        """Return the books as JSON."""
        return {
            "version": self.version,
            "requests": self.requests,
            "errors": self.errors,
            "users": len(self.users),
            "first_fault_at": self.first_fault_at,
            "last_request_at": self.last_request_at,
        }


def build(version: str) -> Starlette:
    """Return the service as an ASGI application."""
    books = _Books(version)

    async def answer(request: Request) -> Response:
        books.requests += 1
        books.last_request_at = time.time()
        books.users.add(request.headers.get("x-user-id", ""))
        await asyncio.sleep(books.chance.uniform(*WORK_SECONDS))
        if books.chance.random() < books.failing:
            books.errors += 1
            books.first_fault_at = books.first_fault_at or time.time()
            return JSONResponse({"version": version, "error": "this version is broken"}, status_code=500)
        return JSONResponse({"version": version, "hello": "world"})

    async def fault(request: Request) -> Response:
        books.failing = float((await request.json())["share"])
        return JSONResponse({"failing": books.failing})

    async def show(_: Request) -> Response:
        return JSONResponse(books.view())

    return Starlette(
        routes=[
            Route("/__fault", fault, methods=["POST"]),
            Route("/__books", show),
            Route("/{rest:path}", answer, methods=["GET", "POST"]),
        ]
    )


def main() -> None:
    """Serve until ended."""
    import uvicorn

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--version", required=True)
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    uvicorn.run(
        build(given.version), host="127.0.0.1", port=given.port, log_level="warning", access_log=False
    )


if __name__ == "__main__":
    main()
