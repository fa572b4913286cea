"""``serinus drill``: rehearse the rollback of a real canary, and record how long it took."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from serinus.cli.client import Api, Refused, data_dir
from serinus.cli.common import (
    JsonFlag,
    ServiceOption,
    api,
    err,
    failed,
    handled,
    lines,
    out,
    print_json,
    terminable,
)
from serinus.cli.edge import Witness, edge_url, read_back, verify
from serinus.cli.planning import ShareOption
from serinus.cli.steps import Steps
from serinus.core.policy.forms import Duration
from serinus.core.policy.units import span

__all__ = ["drill"]

HISTORY = "drills.jsonl"
#: Requests that prove that the canary is served before it is taken back, and stable afterwards.
PROOF = 20
#: Seconds that a drill waits for proxies before it says that they do not follow.
PATIENCE = 60.0


def drill(
    service: ServiceOption = "",
    version: Annotated[
        str, typer.Option("--version", help="The canary; by default stable's own addresses, as a rehearsal.")
    ] = "",
    address: Annotated[
        list[str] | None, typer.Option("--address", help="host:port of the version; may be repeated.")
    ] = None,
    percentage: ShareOption = 1.0,
    max_seconds: Annotated[
        float, typer.Option("--max-seconds", min=0, help="A rollback that takes longer fails the drill.")
    ] = 10.0,
    every: Annotated[
        str, typer.Option("--every", help="Again and again, so long after the last: 24h, 1h30m.")
    ] = "",
    count: Annotated[
        int, typer.Option("--count", min=0, help="With --every: end after so many (0: never).")
    ] = 0,
    url: Annotated[
        str, typer.Option("--url", help="Where the proxy answers; by default where its driver listens.")
    ] = "",
    tell: Annotated[bool, typer.Option("--tell", help="Let the rollback notify people, too.")] = False,
    history: Annotated[
        Path | None, typer.Option("--history", help=f"JSON lines; {HISTORY} in the data folder by default.")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Show the history; rehearse nothing.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Roll a real canary back, and record how long it took until every proxy was read back.

    Exit code 1 when it took longer than --max-seconds, or was not read back at all.
    """
    path = history or data_dir() / HISTORY
    with handled(), terminable():
        if show:
            _show(path, service, as_json)
            return
        pause = _pause(every)
        control = api()
        name = service or control.only_service()
        wanted = Wanted(
            service=name,
            version=version,
            addresses=tuple(address or ()),
            percentage=percentage,
            max_seconds=max_seconds,
            url=url,
            tell=tell,
        )
        held = 0
        while True:
            record = _one(control, wanted, path, err() if as_json else out(), again=pause is not None)
            if as_json and record:
                print_json(record)
            held += 1
            if record and not record["ok"]:
                raise typer.Exit(1)
            if pause is None or held == count:
                return
            time.sleep(pause)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What is rehearsed."""

    service: str
    version: str
    addresses: tuple[str, ...]
    percentage: float
    max_seconds: float
    url: str
    tell: bool


def _pause(text: str) -> float | None:
    if not text:
        return None
    try:
        return Duration(above_zero=True).value(text)
    except ValueError as error:
        raise failed(f"--every {text[:40]!r}: {error}.") from None


def _one(control: Api, wanted: Wanted, path: Path, console: Console, *, again: bool) -> dict[str, Any] | None:
    """Hold one drill and record it; on a schedule one that cannot be held now is left out."""
    try:
        record = _hold(control, wanted, console)
    except Refused as why:
        if not again:
            raise
        console.print(f"  [dim]– left out: {why}[/]")
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record, ensure_ascii=False) + "\n")
    return record


def _hold(control: Api, wanted: Wanted, console: Console) -> dict[str, Any]:
    """Start a canary, roll it back, and measure."""
    service = control.get(f"/services/{wanted.service}")
    body = _canary(control, service, wanted)
    steps = Steps(console=console)
    console.print(f"[bold]Drill[/] {service['name']}  [dim]{body['version']} at {wanted.percentage:g} %[/]")
    began = datetime.now(UTC)
    since = _looked_at(control, wanted.service)
    control.post("/deployments/plan", body)
    made = control.post("/deployments", body, key=uuid.uuid4().hex)
    view = control.post(
        f"/deployments/{made['deployment_id']}/start-canary", {"canary_pct": wanted.percentage}
    )
    try:
        measured = _measure(control, wanted, service, view, steps, since)
    except BaseException:
        # Whatever ended the drill, its canary does not stay; refused means that it is gone already.
        with contextlib.suppress(Refused):
            control.post(f"/deployments/{view['deployment_id']}/rollback", {"reason": "drill: it was ended"})
        raise
    if view["version"] not in service["upstreams"]:
        control.patch(f"/services/{service['name']}", {"upstreams": service["upstreams"]})
    record = {
        "at": began.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "service": service["name"],
        "deployment_id": view["deployment_id"],
        "version": view["version"],
        "percentage": wanted.percentage,
        "max_seconds": wanted.max_seconds,
        **asdict(measured),
        "ok": steps.ok,
    }
    note = {"kind": "drill", "message": _sentence(record), "data": record}
    control.post(f"/deployments/{view['deployment_id']}/notes", note)
    word = "[bold green]PASSED[/]" if steps.ok else "[bold red]FAILED[/]"
    console.print(f"Drill {word}: {_sentence(record)}", markup=True)
    return record


def _canary(control: Api, service: dict[str, Any], wanted: Wanted) -> dict[str, Any]:
    """Return the deployment that is rehearsed with.

    Raises:
        Refused: Something rolls out, or no version can be rehearsed with.
    """
    name, stable = service["name"], service["stable_version"]
    running = control.get(f"/services/{name}/health")["rollout"]
    if running:
        detail = f"{name} is rolling out {running['version']} ({running['deployment_id']})."
        raise Refused({"detail": detail, "next_step": "Rehearse when it has ended."})
    version, addresses = wanted.version, list(wanted.addresses)
    if not version:
        addresses = addresses or list(service["upstreams"].get(stable, []))
        if not addresses:
            detail = f"No address is known for {name} {stable}, and no version is named."
            raise Refused({"detail": detail, "next_step": "Give --version V, and --address behind a proxy."})
        version = f"{stable}-drill"
    notifications: dict[str, Any] = {} if wanted.tell else {"notifications": {"on": []}}
    return {
        "service_id": name,
        "version": version,
        "addresses": addresses,
        "changelog": "A drill: it is rolled back at once.",
        "analysis": {"preset": "slo", "only": True, **notifications},
        "strategy": {"mode": "manual", "stickiness": "hash"},
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """How long a rollback took, in seconds from the moment it was asked for."""

    #: Until every proxy was read back; ``None``: it was not.
    read_back_seconds: float | None
    #: Until the canary answered for the last time; ``None``: nobody watched.
    last_canary_seconds: float | None
    #: Requests that watched.
    requests: int


def _measure(
    control: Api, wanted: Wanted, service: dict[str, Any], view: dict[str, Any], steps: Steps, since: str
) -> Measured:
    edge, bp = edge_url(service, wanted.url), round(wanted.percentage * 100)

    def carries(share: float, seen: str) -> Any:
        return read_back(control, wanted.service, share, since=seen, timeout=PATIENCE, clock=time.monotonic)

    up = carries(wanted.percentage, since)
    (steps.passed if up.ok else steps.failed)("canary", f"{up.words}, after {up.seconds:.2f} s")
    if up.ok and edge and _alike(control, wanted, view):
        steps.say("served", "skipped", "not by requests: weights cannot tell versions of one address apart")
    elif up.ok and edge:
        seen = verify(edge, service, view, bp, PROOF)
        (steps.passed if seen.ok else steps.failed)("served", seen.words)
    witness = Witness(edge, service, view, bp) if edge and up.ok else None
    since = _looked_at(control, wanted.service)
    with witness or contextlib.nullcontext():
        asked = time.monotonic()
        control.post(f"/deployments/{view['deployment_id']}/rollback", {"reason": "drill"})
        down = carries(0, since)
        took = time.monotonic() - asked if down.ok else None
    last = max(0.0, witness.last - asked) if witness else None
    _tell_rollback(steps, wanted, down.words, took, last)
    if down.ok and edge:
        seen = verify(edge, service, view, 0, PROOF)
        (steps.passed if seen.ok else steps.failed)("stable", seen.words)
    return Measured(
        read_back_seconds=None if took is None else round(took, 3),
        last_canary_seconds=None if last is None else round(last, 3),
        requests=witness.asked if witness else 0,
    )


def _alike(control: Api, wanted: Wanted, view: dict[str, Any]) -> bool:
    """Tell whether the proxy names versions by their addresses, and both have the same."""
    from serinus.bootstrap.proxies import splits_by_our_hash

    service = control.get(f"/services/{wanted.service}")
    if splits_by_our_hash(service["driver"], service["driver_config"]):
        return False
    known = service["upstreams"]
    return bool({*known.get(view["version"], [])} & {*known.get(view["stable_version"], [])})


def _tell_rollback(steps: Steps, wanted: Wanted, words: str, took: float | None, last: float | None) -> None:
    if took is None:
        steps.failed("rollback", words)
        return
    good = took <= wanted.max_seconds and (last or 0.0) <= wanted.max_seconds
    said = f"{words}, {took:.2f} s after it was asked for (at most {wanted.max_seconds:g} s)"
    (steps.passed if good else steps.failed)("rollback", said)
    if last is not None:
        steps.say("last answer", "note", f"of the canary {last:.2f} s after the rollback was asked for")


def _looked_at(control: Api, service: str) -> str:
    proxy = control.get(f"/services/{service}/health")["proxy"] or {}
    return str(proxy.get("at", ""))


def _sentence(record: dict[str, Any]) -> str:
    took = record["read_back_seconds"]
    if took is None:
        return f"{record['service']}: the rollback was not read back."
    return f"{record['service']}: rolled back in {took:.2f} s (at most {record['max_seconds']:g} s)."


def _show(path: Path, service: str, as_json: bool) -> None:
    """Print the history of drills, newest last, with the slowest."""
    try:
        text = path.read_text("utf-8")
    except OSError:
        text = ""
    records = [json.loads(line) for line in text.splitlines() if line.strip()]
    records = [r for r in records if service in ("", r["service"])]
    if as_json:
        print_json({"drills": records})
        return
    if not records:
        lines(["No drill yet. Hold one: serinus drill --service S"])
        return
    for r in records:
        sign = "[green]✔[/]" if r["ok"] else "[red]✘[/]"
        took = "not read back" if r["read_back_seconds"] is None else f"{r['read_back_seconds']:.2f} s"
        lines([f"{sign} {r['at']}  {r['service']:<20} {took:>13}  [dim]{r['deployment_id']}[/]"])
    known = [r["read_back_seconds"] for r in records if r["read_back_seconds"] is not None]
    passed = sum(r["ok"] for r in records)
    slowest = f", slowest {max(known):.2f} s" if known else ""
    first = datetime.fromisoformat(records[0]["at"])
    over = span(round((datetime.fromisoformat(records[-1]["at"]) - first).total_seconds()))
    lines([f"{passed} of {len(records)} drills passed over {over}{slowest}"])
