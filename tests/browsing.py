"""Signing in to the pages: as a browser without scripts, and in Chromium."""

from __future__ import annotations

import httpx

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


async def browser_for(world, token: str | None = None) -> httpx.AsyncClient:
    """Return a client that has signed in, as a browser without scripts would."""
    client = httpx.AsyncClient(
        transport=httpx.ASGITransport(world.app, raise_app_exceptions=False),
        base_url="http://serinus",
        headers={"origin": "http://serinus"},
    )
    answer = await client.post("/login", data={"token": token or world.token, "next": "/"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "httponly" in answer.headers["set-cookie"].lower()
    return client
