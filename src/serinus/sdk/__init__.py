"""The SDK: decides in process, records what happened, and never gets into the application's way.

>>> from serinus.sdk import Client
>>> client = Client(snapshot={"services": {"checkout": {"stable": "v1", "deployment": None}}})
>>> client.service("checkout").decide(user_id="ada").version
'v1'
"""

from __future__ import annotations

from serinus.sdk.client import Client
from serinus.sdk.routing import Choice, Router

__all__ = ["Choice", "Client", "Router"]
