"""An application's process that serves units: which were on the canary goes into a file, byte by byte.

Run with the control plane's URL and token; takes ``share BP``, ``serve FIRST LAST STEP FILE``,
``race BP FILE`` and ``quit`` line by line, and answers each with a line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from array import array
from pathlib import Path

from serinus.sdk import Client


def main(url: str, token: str, service: str) -> None:
    """Serve until told to quit."""
    client = Client(url, token, flush_seconds=0.2)
    router = client.service(service)
    for line in sys.stdin:
        what, *given = line.split()
        if what == "quit":
            break
        if what == "share":
            answer = share(router, int(given[0]))
        elif what == "race":
            answer = race(client, router, int(given[0]), given[1])
        else:
            answer = serve(client, router, *given)
        print(json.dumps(answer), flush=True)
    client.close()


def share(router, bp: int) -> dict:
    """Wait until the share is followed here."""
    began = time.monotonic()
    while router.plan.weight != bp:
        if time.monotonic() - began > 60:
            return {"error": f"still at {router.plan.weight}"}
        time.sleep(0.005)
    return {"kept": sum(len(units) for units in router.plan.sticky.values())}


def serve(client, router, first: str, last: str, step: str, path: str) -> dict:
    """Serve every ``step``th unit; tell how long lookups took, after all were told of."""
    sides, took, clock = bytearray(), array("q"), time.perf_counter_ns
    for n in range(int(first), int(last), int(step)):
        key = f"user-{n}"
        began = clock()
        choice = router.expose(key)
        took.append(clock() - began)
        sides.append(choice.is_canary)
    Path(path).write_bytes(sides)
    tell(client, router)
    ordered = sorted(took)
    return {"p50_ns": ordered[len(ordered) // 2], "p99_ns": ordered[len(ordered) * 99 // 100]}


def race(client, router, bp: int, path: str) -> dict:
    """Serve new units while the share changes, and some more after it has."""
    sides, left = bytearray(), 3_000
    while left:
        sides.append(router.expose(f"user-{len(sides)}").is_canary)
        left -= router.plan.weight == bp
        if len(sides) % 100 == 0:
            time.sleep(0.001)
    Path(path).write_bytes(sides)
    tell(client, router)
    return {"served": len(sides)}


def tell(client, router) -> None:
    """Wait until everybody who was put on the canary was told of."""
    while router._state.fresh or client._transport._backlog or client._transport._units:
        client.flush()
        time.sleep(0.02)


if __name__ == "__main__":
    main(*sys.argv[1:])
