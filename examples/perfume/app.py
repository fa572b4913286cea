"""The perfume service: a brief from three voting models, options that a ranker orders, and feedback.

    python app.py --port 9001 --role production --version v0.1.0
    python app.py --port 9002 --role canary --version v0.2.0 --fault errors

Nothing but Python is needed. ``--fault`` makes it a bad version, for seeing what a rollout does about it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any, TextIO

# Also runs as a script from anywhere.
sys.path.insert(0, str(Path(__file__).parent))

from brief import FIELDS, MODES, Ensemble, ensemble_from
from memory import Memory
from metrics import Metrics
from ranker import FEATURES, Pick, Ranker

#: Share of requests that `--fault errors` fails: ten times the limit, and mostly past the smoke tests.
ERROR_SHARE = 0.05
FAULTS = ("none", "errors", "slow", "schema", "loss")
#: Options that are thought of, and those that are shown.
THOUGHT_OF, SHOWN = 8, 3
MAX_BODY = 64_000

#: One of the service's calls: what was asked to a status and an answer.
Call = Callable[[dict[str, Any]], tuple[int, dict[str, Any]]]


class Refused(Exception):
    """A request that cannot be answered: a status and what is wrong."""

    def __init__(self, status: int, detail: str) -> None:
        """Keep both."""
        self.status, self.detail = status, detail
        super().__init__(detail)


@dataclass
class Perfumery:
    """Everything that the service knows."""

    version: str
    metrics: Metrics
    ensemble: Ensemble
    ranker: Ranker
    log: TextIO
    fault: str = "none"
    chance: random.Random = field(default_factory=random.Random)
    memory: Memory = field(default_factory=Memory)
    _lock: Lock = field(default_factory=Lock)

    def create(self, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """``POST /dna/create``: a wish in words becomes a brief."""
        mode, wish = mode_of(asked), asked.get("brief")
        if not isinstance(wish, str) or not 0 < len(wish) <= 2000:
            raise Refused(422, "`brief` is a text of 1 to 2000 characters")
        began = time.perf_counter()
        brief, failures = self.ensemble.write(wish, mode)
        elapsed = (time.perf_counter() - began) * 1000
        self.metrics.failed_drafts(failures)
        self._say("llm_brief", mode=mode, elapsed_ms=round(elapsed, 3), schema_failures=failures)
        if brief is None:
            raise Refused(502, "no model wrote a brief")
        identity = f"dna_{self.chance.getrandbits(48):012x}"
        self.memory.keep("dna", identity, brief)
        return 201, {"id": identity, "brief": brief, "mode": mode, "version": self.version}

    def options(self, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """``POST /evolve/options``: three variations, in the ranker's order."""
        mode_of(asked)
        if asked.get("algorithm", "PPO") != "PPO":
            raise Refused(422, "`algorithm` is PPO")
        identity = str(asked.get("dna_id"))
        brief = self.memory.find("dna", identity)
        if brief is None:
            raise Refused(404, "there is no such DNA")
        variations = [self._variation(brief, number) for number in range(THOUGHT_OF)]
        shown = []
        for index, pick in self.ranker.pick([features(v) for v in variations], SHOWN):
            option = f"opt_{self.chance.getrandbits(48):012x}"
            self.memory.keep("option", option, {"dna_id": identity, "pick": asdict(pick)})
            score = self.ranker.probabilities(pick.options)[pick.chosen]
            shown.append({"id": option, "score": round(score, 6), "notes": variations[index]})
        return 200, {"dna_id": identity, "options": shown, "version": self.version}

    def feedback(self, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """``POST /evolve/feedback``: a rating from 1 to 5 triggers an update of the ranker."""
        rating = asked.get("rating")
        if isinstance(rating, bool) or not isinstance(rating, int | float) or not 1 <= rating <= 5:
            raise Refused(422, "`rating` is a number from 1 to 5")
        known = self.memory.take("option", str(asked.get("option_id")))
        if known is None or known["dna_id"] != asked.get("dna_id"):
            raise Refused(404, "there is no such option of this DNA, or it was rated already")
        update = self.ranker.learn(picked(known["pick"]), (rating - 3) / 2)
        self.tell_loss()
        self._say(
            "rl_update",
            algo="PPO",
            loss=round(update.loss, 6),
            reward=update.reward,
            entropy=round(update.entropy, 6),
            clip_frac=round(update.clip_frac, 6),
        )
        return 200, {"updated": True, "version": self.version}

    def tell_loss(self) -> None:
        """Export the critic's error: it is never negative, so "twice production's" means something."""
        self.metrics.loss(self.ranker.value_loss * (5 if self.fault == "loss" else 1))

    def suffer(self) -> None:
        """Be as bad as ``--fault`` says."""
        if self.fault == "slow":
            time.sleep(0.25)
        if self.fault == "errors" and self.chance.random() < ERROR_SHARE:
            raise Refused(500, "a fault that --fault asked for")

    def _variation(self, brief: dict[str, str], number: int) -> dict[str, str]:
        changed = dict(brief)
        for name in self.chance.sample(list(FIELDS), k=1 + number % 2):
            changed[name] = self.chance.choice(FIELDS[name])
        return changed

    def _say(self, event: str, **values: Any) -> None:
        line = json.dumps({"event": event, "version": self.version, **values})
        with self._lock:
            print(line, file=self.log, flush=True)


def features(notes: dict[str, str]) -> tuple[float, ...]:
    """Return what the ranker sees of an option: a few fixed directions of its notes."""
    digest = hashlib.sha256(json.dumps(notes, sort_keys=True).encode()).digest()
    parts = [FIELDS[name].index(value) / (len(FIELDS[name]) - 1) for name, value in notes.items()]
    return (*parts, *(digest[n] / 255 for n in range(FEATURES - len(parts))))


def picked(kept: dict[str, Any]) -> Pick:
    """Return a decision as it was before it was remembered."""
    return Pick(tuple(map(tuple, kept["options"])), kept["chosen"], kept["log_probability"])


def mode_of(asked: dict[str, Any]) -> str:
    """Return the mode that is asked for.

    Raises:
        Refused: There is none of that name.
    """
    mode = asked.get("mode", "balanced")
    if mode not in MODES:
        raise Refused(422, f"`mode` is one of {', '.join(MODES)}")
    return str(mode)


class Handler(BaseHTTPRequestHandler):
    """Answers requests; a subclass with its ``perfumery`` is made for each server."""

    protocol_version = "HTTP/1.1"
    #: Head and body leave one after the other; the second must not wait for the first's receipt.
    disable_nagle_algorithm = True
    perfumery: Perfumery

    def do_GET(self) -> None:
        """Show metrics and health."""
        if self.path == "/metrics":
            text = self.perfumery.metrics.text()
            self._send(200, text.encode(), "text/plain; version=0.0.4; charset=utf-8")
        elif self.path == "/health":
            self._answer(200, {"status": "ok", "version": self.perfumery.version})
        else:
            self._answer(404, {"detail": "there is nothing here"})

    def do_POST(self) -> None:
        """Answer the three calls, and count whatever came of them."""
        began, mode, status = time.perf_counter(), "", 500
        body: dict[str, Any] = {"detail": "something broke"}
        try:
            asked = self._asked()
            mode = asked["mode"] if asked.get("mode") in MODES else ""
            self.perfumery.suffer()
            status, body = self._call()(asked)
        except Refused as refusal:
            status, body = refusal.status, {"detail": refusal.detail}
        finally:
            self.perfumery.metrics.request(mode, status, time.perf_counter() - began)
            self._answer(status, body)

    def _call(self) -> Call:
        calls: dict[str, Call] = {
            "/dna/create": self.perfumery.create,
            "/evolve/options": self.perfumery.options,
            "/evolve/feedback": self.perfumery.feedback,
        }
        if self.path not in calls:
            raise Refused(404, "there is nothing here")
        return calls[self.path]

    def _asked(self) -> dict[str, Any]:
        length = int(self.headers.get("content-length") or 0)
        if length > MAX_BODY:
            self.close_connection = True
            raise Refused(413, "too long")
        try:
            asked = json.loads(self.rfile.read(length))
        except ValueError:
            raise Refused(400, "that is no JSON") from None
        if not isinstance(asked, dict):
            raise Refused(400, "send a JSON object")
        return asked

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        self._send(status, json.dumps(body).encode(), "application/json")

    def _send(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.send_header("x-version", self.perfumery.version)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Stay quiet: the metrics count requests."""


class Server(ThreadingHTTPServer):
    """Takes many connections at once."""

    daemon_threads = True
    request_queue_size = 256


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9001)
    parser.add_argument("--version", default="v0.1.0")
    parser.add_argument(
        "--role", default="production", help="the `version` label of the metrics: production or canary"
    )
    parser.add_argument("--log", type=Path, help="where log lines go; standard output by default")
    parser.add_argument(
        "--memory", type=Path, help="a SQLite file for all versions: a visit survives a rollback"
    )
    parser.add_argument("--checkpoint", type=Path, default=Path(__file__).with_name("checkpoint.json"))
    parser.add_argument("--seed", type=int, help="makes ids and options the same every time")
    parser.add_argument("--fault", choices=FAULTS, default="none")
    given = parser.parse_args()
    chance = random.Random(given.seed)
    perfumery = Perfumery(
        version=given.version,
        metrics=Metrics(given.role),
        ensemble=ensemble_from(os.environ, forgets_every=5 if given.fault == "schema" else 0),
        ranker=Ranker(chance),
        log=given.log.open("a") if given.log else sys.stdout,
        fault=given.fault,
        chance=chance,
        memory=Memory(given.memory),
    )
    perfumery.ranker.load(json.loads(given.checkpoint.read_text()))
    perfumery.tell_loss()
    server = Server((given.host, given.port), type("Answers", (Handler,), {"perfumery": perfumery}))
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
