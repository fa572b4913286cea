"""One replica's relay as a process of its own, for tests that kill it.

python relay_process.py DATABASE FOLDER   (channels and routes come from the environment)
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from serinus.bootstrap.channels import desk_from, notifiers_from
from serinus.bootstrap.clock import SystemClock
from serinus.control.context import Context
from serinus.control.outbox import Relay
from serinus.control.telling.journal import FileJournal
from serinus.drivers.store.sql import SqlStore


async def main(database: str, folder: Path) -> None:
    """Deliver until the end."""
    channels, _ = notifiers_from(os.environ)
    context = Context(
        store=SqlStore(database),
        clock=SystemClock(),
        channels=tuple(channels),
        desk=desk_from(os.environ, channels),
        replica=f"replica-{os.getpid()}",
    )
    journal = FileJournal(folder, context.replica)
    # Short, so that what a killed process held is taken over while a test waits.
    relay = Relay(context, channels, journal, send_seconds=2.0, lease_seconds=4.0)
    while True:
        await relay.tick()
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
