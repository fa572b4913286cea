"""A canary's worker: writes briefs for wishes that wait in a folder, by the canary's own models.

    python worker.py --folder spool --port 9003

`spool/NAME.json` holds `{"brief": "…", "mode": "creative"}`; the answer is `spool/done/NAME.json`. A wish is
taken by renaming it, so several workers may share a folder. `/metrics` is on the port, under the label
`version="canary-worker"`: work in the background must not count as traffic of the canary.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from pathlib import Path
from threading import Thread

sys.path.insert(0, str(Path(__file__).parent))

from app import Handler, Perfumery, Refused, Server
from brief import ensemble_from
from metrics import Metrics
from ranker import Ranker

PAUSE_SECONDS = 0.2


def take(perfumery: Perfumery, folder: Path) -> int:
    """Answer every wish that waits; return how many."""
    done = folder / "done"
    done.mkdir(parents=True, exist_ok=True)
    answered = 0
    for path in sorted(folder.glob("*.json")):
        mine = path.with_suffix(f".{os.getpid()}")
        try:
            path.rename(mine)
        except FileNotFoundError:
            continue  # another worker was faster
        began = time.perf_counter()
        try:
            status, answer = perfumery.create(json.loads(mine.read_text()))
        except Refused as refusal:
            status, answer = refusal.status, {"detail": refusal.detail}
        except ValueError:
            status, answer = 400, {"detail": "that is no JSON"}
        perfumery.metrics.request(str(answer.get("mode", "")), status, time.perf_counter() - began)
        (done / path.name).write_text(json.dumps({"status": status, **answer}))
        mine.unlink()
        answered += 1
    return answered


def main() -> None:
    """Work until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("spool"))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9003)
    parser.add_argument("--version", default="v0.2.0")
    given = parser.parse_args()
    chance = random.Random()
    perfumery = Perfumery(
        version=given.version,
        metrics=Metrics("canary-worker"),
        ensemble=ensemble_from(os.environ),
        ranker=Ranker(chance),
        log=sys.stdout,
        chance=chance,
    )
    server = Server((given.host, given.port), type("Answers", (Handler,), {"perfumery": perfumery}))
    Thread(target=server.serve_forever, daemon=True).start()
    while True:
        if not take(perfumery, given.folder):
            time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main()
