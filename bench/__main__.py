"""``python -m bench``: measures everything and writes ``bench/REPORT.md``."""

from __future__ import annotations

import gc
import json
import os
import platform
import subprocess
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter

from bench.decisions import CONTENDERS
from bench.judge import feeds, ticks
from bench.requests import RECORDS, middleware
from bench.rules import report as rulesets

ROUNDS = 7
USERS = 100_000
#: Slow contenders get fewer users per round, so that a run takes minutes.
SLOW_USERS = 10_000
PACKAGES = (
    "eppo-server-sdk",
    "statsig-python-core",
    "launchdarkly-server-sdk",
    "UnleashClient",
    "prometheus-fastapi-instrumentator",
    "prometheus-client",
    "mmh3",
    "xxhash",
    "starlette",
)


def one_round(decide: Callable[[str], object], users: list[str]) -> float:
    """Return nanoseconds per decision."""
    gc.disable()
    began = perf_counter()
    for user in users:
        decide(user)
    took = perf_counter() - began
    gc.enable()
    return took / len(users) * 1e9


def decisions(rule: bool) -> dict[str, float | str]:
    """Return the median of interleaved rounds per contender; a contender that cannot run says why."""
    users = [str(uuid.UUID(int=n * 2654435761 % 2**128)) for n in range(USERS)]
    ready: dict[str, Callable[[str], object]] = {}
    found: dict[str, float | str] = {}
    for name, make in CONTENDERS.items():
        try:
            decide = make(rule)
        except Exception as error:  # a peer that does not start offline is reported, not hidden
            found[name] = f"not measured ({type(error).__name__}: {str(error)[:60]})"
            continue
        if decide is not None:
            ready[name] = decide
    timed: dict[str, list[float]] = {name: [] for name in ready}
    for _ in range(ROUNDS):
        for name, decide in ready.items():
            slow = timed[name] and timed[name][0] > 3000
            timed[name].append(one_round(decide, users[:SLOW_USERS] if slow else users))
    return {**found, **{name: median(values) for name, values in timed.items()}}


def records() -> dict[str, tuple[float, float]]:
    """Return (hot path, folding included) per contender for flushes of 1,000 values."""
    timed: dict[str, list[tuple[float, float]]] = {name: [] for name in RECORDS}
    for _ in range(60):
        for name, measure in RECORDS.items():
            timed[name].append(measure(1000))
    return {n: (median(a for a, _ in v), median(b for _, b in v)) for n, v in timed.items()}


def imports() -> dict[str, tuple[float, float]]:
    """Return (ms, MB) that an import adds to a bare interpreter, medians of nine fresh processes."""
    code = 'import time,json;a=time.perf_counter();{};t=(time.perf_counter()-a)*1e3;kb=int(open(chr(47)+"proc/self/status").read().split("VmRSS:")[1].split()[0]);print(json.dumps([t,kb/1024]))'
    hundred = (
        "from serinus.sdk import Client;"
        "c=Client(url='',snapshot={'services':{f's{n}':{'stable':'v1','deployment':{'id':f'd{n}','version':'v2','salt':f'd{n}','weight_bp':500,'stickiness':'hash'}} for n in range(100)}});"
        "[c.service(f's{n}') for n in range(100)]"
    )
    statements = {
        "bare": "pass",
        "**serinus.sdk**": "import serinus.sdk",
        "**serinus.sdk, 100 deployments**": hundred,
        "eppo": "import eppo_client",
        "statsig core": "import statsig_python_core",
        "LaunchDarkly": "import ldclient",
        "Unleash": "import UnleashClient",
    }
    timed: dict[str, list[tuple[float, float]]] = {name: [] for name in statements}
    for _ in range(9):
        for name, statement in statements.items():
            done = subprocess.run(
                [sys.executable, "-c", code.format(statement)], capture_output=True, text=True, check=False
            )
            if done.returncode == 0:
                timed[name].append(tuple(json.loads(done.stdout.splitlines()[-1])))
    found = {n: (median(a for a, _ in v), median(b for _, b in v)) for n, v in timed.items() if v}
    base = found.pop("bare")
    return {name: (ms, mb - base[1]) for name, (ms, mb) in found.items()}


def verdict(value: float, goal: float) -> str:
    """Return whether a goal is met, in words."""
    return f"met ({value:.3g} ≤ {goal:g})" if value <= goal else f"**missed** ({value:.3g} > {goal:g})"


def report() -> str:
    """Measure everything; return the report."""
    plain, ruled = decisions(rule=False), decisions(rule=True)
    recorded, added, loaded = records(), middleware(), imports()
    floor = plain["floor: mmh3"]
    lines = [
        "# Bench",
        "",
        f"Measured {datetime.now(UTC):%Y-%m-%d} by `make bench` in one run: Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}. Absolute figures drift between machines; compare within one column.",
        "Medians of seven interleaved rounds over 100,000 distinct ids (10,000 for contenders above 3 µs). Peers run offline with local rules. Versions: "
        + ", ".join(f"{p} {version(p)}" for p in PACKAGES)
        + ".",
        "",
        "## One decision, ns",
        "",
        "| contender | plain 5 % | × mmh3 floor | with a rule |",
        "| --- | --- | --- | --- |",
    ]
    for name, value in plain.items():
        times = f"{value / floor:.2f}" if isinstance(value, float) else ""
        lines.append(f"| {name} | {_shown(value)} | {times} | {_shown(ruled.get(name, '–'))} |")
    lines += [
        "",
        "## One latency record, ns (flushes of 1,000 values)",
        "",
        "| | hot path | with folding |",
        "| --- | --- | --- |",
    ]
    lines += [f"| {name} | {hot:.0f} | {folded:.0f} |" for name, (hot, folded) in recorded.items()]
    lines += [
        "",
        "## Middleware, µs added per request (Starlette; the instrumentator on FastAPI against bare FastAPI)",
        "",
        "| | added |",
        "| --- | --- |",
    ]
    lines += [f"| {name} | {value:.2f} |" for name, value in added.items()]
    lines += ["", "## Import, beyond a bare interpreter", "", "| | ms | MB |", "| --- | --- | --- |"]
    lines += [f"| {name} | {ms:.1f} | {mb:.1f} |" for name, (ms, mb) in loaded.items()]
    judged = {**ticks(), **feeds()}
    lines += [
        "",
        "## Judge, processor ms (20 endpoints × errors, latency, and 3 metrics)",
        "",
        "| | ms |",
        "| --- | --- |",
    ]
    lines += [f"| {name} | {ms:.3f} |" for name, ms in judged.items()]
    lines += ["", "## Rulesets, one execution", "", *rulesets()]
    goals = {
        "decision ≤ 300 ns": verdict(plain["**serinus**"], 300),
        "decision ≤ 2.2 × mmh3 floor": verdict(plain["**serinus**"] / floor, 2.2),
        "decision with a rule ≤ 450 ns": verdict(ruled["**serinus**"], 450),
        "exposure recorded ≤ 600 ns": verdict(plain["**serinus, exposure recorded**"], 600),
        "latency record ≤ 150 ns, folding included": verdict(recorded["**serinus**"][1], 150),
        "middleware ≤ 3.0 µs": verdict(added["**serinus** (route, count, latency, header)"], 3.0),
        "judge ≤ 1 ms a tick, nothing closed": verdict(judged["tick, nothing closed"], 1),
        "judge ≤ 1 ms a tick, a window closed": verdict(judged["tick, a window closed"], 1),
        "import ≤ 25 ms": verdict(loaded["**serinus.sdk**"][0], 25),
        "≤ 3 MB with 100 deployments": verdict(loaded["**serinus.sdk, 100 deployments**"][1], 3),
    }
    lines += ["", "## Goals", "", "| goal | |", "| --- | --- |"]
    lines += [f"| {goal} | {said} |" for goal, said in goals.items()]
    lines += [
        "",
        "statsig core needs its network for rules, so an unknown gate is timed: less work than a rollout.",
    ]
    return "\n".join(lines) + "\n"


def _shown(value: float | str) -> str:
    return f"{value:,.0f}" if isinstance(value, float) else value


if __name__ == "__main__":
    text = report()
    Path(__file__).with_name("REPORT.md").write_text(text)
    print(text)
    os._exit(0)  # peers leave threads behind that would keep the process
