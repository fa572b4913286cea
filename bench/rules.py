"""``python -m bench.rules``: rulesets in process and over HTTP against the bare engines, in one run.

In process, rounds are interleaved and the median is told. Over HTTP, ``wrk`` asks a control plane that this
starts for a few seconds; its requests are divided by the CPU time that the control plane took, so that the
figure is "per core" on a machine that has other work.
"""

from __future__ import annotations

import gc
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import httpx
import starlark
import zen

from bench.load import free_port
from serinus.sdk import Client

ROUNDS, CALLS = 15, 2000
SECONDS = 5
TIERS = [(10_000, 0.2), (5_000, 0.15), (1_000, 0.1), (500, 0.07), (100, 0.05)]
ORDER = {"amount": 700, "country": "KR", "plan": "pro", "items": [{"sku": "a", "qty": 2}], "coupon": None}


def script() -> str:
    """Return discounts by tiers as a Starlark script."""
    lines = [f"    if input['amount'] > {above}:\n        rate = {rate}\n" for above, rate in reversed(TIERS)]
    extra = "    if input['plan'] == 'pro' and input['country'] in ('KR', 'JP'):\n        rate += 0.01\n"
    return f"def decide(input):\n    rate = 0.0\n{''.join(lines)}{extra}    return {{'discount': rate}}\n"


def table() -> dict:
    """Return discounts by tiers as a decision table."""
    rows = [
        {"_id": f"{above}{plan}", "a": f"> {above}", "p": plan, "d": str(rate + (0.01 if plan else 0))}
        for above, rate in TIERS
        for plan in ('"pro"', "")
    ]
    content = {
        "hitPolicy": "first",
        "inputs": [{"id": "a", "name": "a", "field": "amount"}, {"id": "p", "name": "p", "field": "plan"}],
        "outputs": [{"id": "d", "name": "d", "field": "discount"}],
        "rules": [*rows, {"_id": "else", "a": "", "p": "", "d": "0"}],
    }
    return {
        "nodes": [
            {"id": "i", "type": "inputNode", "name": "in"},
            {"id": "t", "type": "decisionTableNode", "name": "t", "content": content},
            {"id": "o", "type": "outputNode", "name": "out"},
        ],
        "edges": [
            {"id": "1", "sourceId": "i", "targetId": "t"},
            {"id": "2", "sourceId": "t", "targetId": "o"},
        ],
    }


def in_process(engine: str, source: str) -> Callable[[], object]:
    """Return an execution through an attached SDK: routed, measured, nobody answers at its URL."""
    rules = {"v1": {"engine": engine, "digest": engine, "source": source}}
    running = {"id": "dep_1", "version": "v1", "salt": "s", "weight_bp": 1000, "stickiness": "persistent"}
    snapshot = {"services": {"r": {"stable": "v1", "deployment": running, "rules": rules}}}
    client = Client(url="http://127.0.0.1:9", snapshot=snapshot)
    ruleset = client.ruleset("r")
    assert ruleset.execute(ORDER, user_id="ada").output["discount"] > 0
    return lambda: ruleset.execute(ORDER, user_id="ada")


def contenders() -> dict[str, Callable[[], object]]:
    """Return everything that is timed in process."""
    module = starlark.Module()
    starlark.eval(
        module, starlark.parse("r", script(), starlark.Dialect.standard()), starlark.Globals.standard()
    )
    frozen = module.freeze()
    decision = zen.ZenEngine().create_decision(json.dumps(table()))
    held = zen.ZenEngine({"loader": {"type": "static", "content": {"r": table()}}})
    return {
        "starlark, bare call": lambda: frozen.call("decide", ORDER),
        "starlark, in process": in_process("starlark", script()),
        "zen, bare evaluate": lambda: decision.evaluate(ORDER),
        "zen, bare batch of one": lambda: held.evaluate_batch([{"key": "r", "context": ORDER}]),
        "zen, in process": in_process("zen", json.dumps(table())),
    }


def timed() -> dict[str, float]:
    """Return the median microseconds per call of interleaved rounds."""
    ready = contenders()
    found: dict[str, list[float]] = {name: [] for name in ready}
    for _ in range(ROUNDS):
        for name, call in ready.items():
            calls = CALLS // 10 if name == "zen, bare evaluate" else CALLS
            gc.disable()
            began = time.perf_counter()
            for _ in range(calls):
                call()
            found[name].append((time.perf_counter() - began) / calls * 1e6)
            gc.enable()
    return {name: median(values) for name, values in found.items()}


def _cpu(pids: list[int]) -> float:
    ticks = [Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13] for pid in pids]
    return sum(int(u) + int(s) for u, s in ticks) / os.sysconf("SC_CLK_TCK")


def _family(pid: int) -> list[int]:
    """Return a process and its workers."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(int(c) for c in children)]


def over_http(engine: str, content: object) -> tuple[float, float, float]:
    """Return requests a second, and those per second of CPU: of the control plane, and with its workers."""
    folder = Path(tempfile.mkdtemp())
    environment = {k: v for k, v in os.environ.items() if k != "DATABASE_URL"}
    port = free_port()
    environment |= {"SERINUS_DATA_DIR": str(folder), "SERINUS_PORT": str(port)}
    plane = subprocess.Popen(
        [sys.executable, "-m", "serinus", "up"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(300):
            try:
                httpx.get(f"{url}/healthz", trust_env=False)
                break
            except httpx.HTTPError:
                time.sleep(0.05)
        token = json.loads((folder / "profile.json").read_text())["token"]
        headers = {"Authorization": f"Bearer {token}"}
        body = {"name": "r", "version": "v1", "engine": engine, "content": content}
        made = httpx.post(f"{url}/api/v1/rulesets", json=body, headers=headers, trust_env=False)
        made.raise_for_status()
        return _asked(plane.pid, f"{url}/api/v1/rulesets/r/execute", token, folder)
    finally:
        plane.terminate()
        plane.wait(10)


def _asked(pid: int, url: str, token: str, folder: Path) -> tuple[float, float, float]:
    body = json.dumps({"input": ORDER})[:-1]
    lua = folder / "execute.lua"
    lua.write_text(
        'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
        f'wrk.headers["Authorization"] = "Bearer {token}"\nlocal n = 0\n'
        "request = function() n = n + 1\n"
        f'  return wrk.format(nil, nil, nil, [[{body}, "user_id": "u]] .. n % 5000 .. \'"}}\') end\n'
    )
    family = _family(pid)
    before = [_cpu([pid]), _cpu(family)]
    command = ["wrk", "-t1", "-c16", f"-d{SECONDS}s", "-s", str(lua), url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    spent = [now - then for now, then in zip([_cpu([pid]), _cpu(family)], before, strict=True)]
    assert "Non-2xx" not in said, said
    requests = int(re.search(r"(\d+) requests in", said)[1])
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])
    return rate, requests / spent[0], requests / spent[1]


def report() -> list[str]:
    """Measure; return the lines of both tables."""
    found = timed()
    bare = {"starlark": "starlark, bare call", "zen": "zen, bare evaluate"}
    lines = ["| | µs | × bare |", "| --- | --- | --- |"]
    for name, value in found.items():
        lines.append(f"| {name} | {value:.1f} | {value / found[bare[name.split(',')[0]]]:.2f} |")
    lines += [
        "",
        "| over HTTP | requests/s | per second of CPU: of the control plane | with its workers |",
        "| --- | --- | --- | --- |",
    ]
    for engine, content in (("starlark", script()), ("zen", table())):
        rate, core, whole = over_http(engine, content)
        lines.append(f"| {engine} | {rate:.0f} | {core:.0f} | {whole:.0f} |")
    return lines


if __name__ == "__main__":
    print("\n".join(report()))
