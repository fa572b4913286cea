"""A FastAPI application that is guarded by the SDK: two ways of one endpoint, no proxy.

    serinus up
    serinus service create checkout --stable v1 --kind feature
    SERINUS_URL=http://127.0.0.1:8600 SERINUS_TOKEN=… uvicorn app:app --port 9000
    serinus rollout run --service checkout --version v2

Without the two variables everyone gets v1: the application never waits for Serinus.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, Request
from pydantic import BaseModel, Field

from serinus.sdk import Client
from serinus.sdk.asgi import SerinusMiddleware

__all__ = ["app", "create_app"]

#: What everyone gets until a control plane says otherwise.
ALONE: dict[str, Any] = {"services": {"checkout": {"stable": "v1", "deployment": None}}}


class Basket(BaseModel):
    """What is bought, in cents."""

    prices: Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=1000)]


def total_v1(prices: list[int]) -> int:
    """Return the sum."""
    return sum(prices)


def total_v2(prices: list[int]) -> int:
    """Return the sum, with every third of the cheapest for nothing: the new rule."""
    return sum(prices) - sum(sorted(prices)[: len(prices) // 3])


def create_app(client: Client) -> FastAPI:
    """Return the application; ``client`` decides who gets which version, and measures both."""
    made = FastAPI()

    @made.post("/total")
    def total(basket: Basket, request: Request) -> dict[str, object]:
        choice = request.scope["serinus"]
        way = total_v2 if choice.version == "v2" else total_v1
        return {"total": way(basket.prices), "version": choice.version}

    made.add_middleware(SerinusMiddleware, client=client, service="checkout")
    return made


app = create_app(Client(snapshot=ALONE))
