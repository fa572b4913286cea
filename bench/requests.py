"""What a request pays: middleware around Starlette, and one latency record."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from time import perf_counter

__all__ = ["RECORDS", "middleware"]


def _app():
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def hello(request):
        return PlainTextResponse("hello")

    return Starlette(routes=[Route("/hello/{name}", hello)])


def _serinus():
    from serinus.sdk import Client
    from serinus.sdk.asgi import SerinusMiddleware

    running = {"id": "dep", "version": "v2", "salt": "dep", "weight_bp": 500, "stickiness": "persistent"}
    client = Client(url="", snapshot={"services": {"checkout": {"stable": "v1", "deployment": running}}})
    client._transport = object()  # attached as far as recording goes, without anybody to send to
    app = SerinusMiddleware(_app(), client=client, service="checkout")
    app.client = client
    return app


def _instrumentator():
    from fastapi import FastAPI
    from prometheus_client import CollectorRegistry
    from prometheus_fastapi_instrumentator import Instrumentator

    app = FastAPI()

    @app.get("/hello/{name}")
    async def hello(name: str):
        return "hello"

    bare = FastAPI()

    @bare.get("/hello/{name}")
    async def hello2(name: str):
        return "hello"

    Instrumentator(registry=CollectorRegistry()).instrument(app)
    return app, bare


def _prometheus_client():
    from prometheus_client import CollectorRegistry, Counter, Histogram

    registry = CollectorRegistry()
    total = Counter("requests", "r", ["version", "status"], registry=registry)
    seconds = Histogram("latency", "l", ["version"], registry=registry)
    inner = _app()

    async def app(scope, receive, send):
        status = 500

        async def sending(message):
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        began = perf_counter()
        await inner(scope, receive, sending)
        seconds.labels("v1").observe(perf_counter() - began)
        total.labels("v1", status).inc()

    return app


def _http_middleware():
    from starlette.middleware.base import BaseHTTPMiddleware

    async def nothing(request, follow):
        return await follow(request)

    return BaseHTTPMiddleware(_app(), dispatch=nothing)


async def _drive(app, requests: int) -> float:
    """Return microseconds per request; the application is called as a server would call it."""
    headers = [
        (b"host", b"bench"),
        (b"user-agent", b"bench/1"),
        (b"accept", b"*/*"),
        (b"accept-encoding", b"gzip"),
        (b"x-user-id", b"user-1"),
        (b"connection", b"keep-alive"),
    ]

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        return None

    began = perf_counter()
    for _ in range(requests):
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/hello/ada",
            "raw_path": b"/hello/ada",
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        await app(scope, receive, send)
    return (perf_counter() - began) / requests * 1e6


def middleware(rounds: int = 7, requests: int = 2000) -> dict[str, float]:
    """Return added microseconds per request: the median over rounds of (wrapped − bare) side by side."""
    instrumented, bare_fastapi = _instrumentator()
    pairs = {
        "**serinus** (route, count, latency, header)": (_serinus(), _app()),
        "hand-written prometheus_client": (_prometheus_client(), _app()),
        "prometheus-fastapi-instrumentator": (instrumented, bare_fastapi),
        "BaseHTTPMiddleware doing nothing": (_http_middleware(), _app()),
    }

    async def measure() -> dict[str, list[float]]:
        added: dict[str, list[float]] = {name: [] for name in pairs}
        for _ in range(rounds):
            for name, (wrapped, bare) in pairs.items():
                without = min([await _drive(bare, requests) for _ in range(2)])
                added[name].append(min([await _drive(wrapped, requests) for _ in range(2)]) - without)
                client = getattr(wrapped, "client", None)
                if client is not None:
                    client.take_batch(last=True)
        return added

    found = asyncio.run(measure())
    return {name: sorted(values)[len(values) // 2] for name, values in found.items()}


def _values(count: int) -> list[float]:
    chance = random.Random(1)
    return [chance.lognormvariate(3, 1) for _ in range(count)]


def ours(count: int) -> tuple[float, float]:
    """Return (hot path, hot path with folding) in ns for flushes of ``count`` values."""
    from serinus.sdk.recorder import Recorder

    recorder, values = Recorder(), _values(count)
    record = recorder.record
    record(False, "/checkout", 200, 1.0)
    began = perf_counter()
    for value in values:
        record(False, "/checkout", 200, value)
    recorded = perf_counter()
    recorder.drain()
    return (recorded - began) / count * 1e9, (perf_counter() - began) / count * 1e9


def prometheus_observe(count: int) -> tuple[float, float]:
    """prometheus_client's histogram."""
    from prometheus_client import CollectorRegistry, Histogram

    observe = Histogram("latency", "l", registry=CollectorRegistry()).observe
    return _timed(observe, count)


def list_append(count: int) -> tuple[float, float]:
    """A bare list append: the floor, without any histogram."""
    return _timed([].append, count)


def _timed(call: Callable[[float], object], count: int) -> tuple[float, float]:
    values = _values(count)
    began = perf_counter()
    for value in values:
        call(value)
    took = (perf_counter() - began) / count * 1e9
    return took, took


RECORDS: dict[str, Callable[[int], tuple[float, float]]] = {
    "list append (floor, no histogram)": list_append,
    "**serinus**": ours,
    "prometheus_client observe": prometheus_observe,
}
