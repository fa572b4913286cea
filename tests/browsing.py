"""Signing in to the pages: as a browser without scripts, and in Chromium."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import uvicorn
from playwright.async_api import Page, async_playwright

from needs import program

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


@asynccontextmanager
async def served(world) -> AsyncIterator[str]:
    """Let the world's pages and API be reached; give the address."""
    config = uvicorn.Config(world.app, host="127.0.0.1", port=0, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await serving


@asynccontextmanager
async def in_chromium(world, **context) -> AsyncIterator[tuple[Page, list[str]]]:
    """Serve the world on a port and sign in; give a page at its address and what the browser complains of."""
    async with world.client() as api:
        path = (await api.post("/login-code")).json()["path"]
    async with served(world) as url, async_playwright() as p:
        chromium = program("chromium", "apt-get install chromium")
        browser = await p.chromium.launch(executable_path=chromium, args=FLAGS)
        page = await browser.new_page(base_url=url, **context)
        said: list[str] = []
        page.on("console", lambda m: said.append(m.text))
        page.on("pageerror", lambda e: said.append(str(e)))
        await page.goto(path)
        yield page, said
        await browser.close()
