"""``serinus backtest``: what a policy would have done, told from recorded series."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serinus.cli.common import JsonFlag, err, failed, out, print_json
from serinus.cli.planning import STAGES
from serinus.cli.render import problem_lines
from serinus.core.errors import SerinusError, Unavailable

if TYPE_CHECKING:
    from serinus.sim.backtest import Backtest, Plan
    from serinus.sim.reading import Question
    from serinus.sim.recorded import Record
    from serinus.sim.replay import Course

__all__ = ["backtest"]

#: One chunk of a big service takes the server longer than a live look may.
TIMEOUT_SECONDS = 60.0
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def backtest(
    prometheus: Annotated[
        str,
        typer.Option("--prometheus", metavar="URL", help="Where the series are.", envvar="PROMETHEUS_URL"),
    ],
    policy: Annotated[str, typer.Argument(help="A preset's name, or a policy file.")] = "sequential",
    since: Annotated[
        str,
        typer.Option("--from", metavar="T", help="Start: 2026-03-02, 2026-03-02T14:00Z, or 7d ago as `7d`."),
    ] = "7d",
    until: Annotated[str, typer.Option("--to", metavar="T", help="End, like --from; `0d` is now.")] = "0d",
    requests: Annotated[
        str, typer.Option(help="Counter of requests, with matchers.")
    ] = "http_requests_total",
    errors: Annotated[
        str | None, typer.Option(help="Counter of failed requests; by default those with status 5xx.")
    ] = None,
    latency: Annotated[
        str | None, typer.Option(help="Latency buckets; http_request_duration_seconds_bucket by default.")
    ] = None,
    latency_unit: Annotated[str, typer.Option(help="Unit of `le`: s or ms.")] = "s",
    instance_label: Annotated[str, typer.Option(help="Label that names the instance.")] = "instance",
    version_label: Annotated[str, typer.Option(help="Label that names the version.")] = "version",
    endpoint_label: Annotated[str, typer.Option(help="Label that names the endpoint.")] = "path",
    status_label: Annotated[str, typer.Option(help="Label that holds the status.")] = "status",
    window: Annotated[str, typer.Option(help="Window; at least two scrape intervals.")] = "60s",
    steps: Annotated[
        str | None,
        typer.Option(help="Shares of the replayed rollouts; by default the file's, or 1,5,25,100."),
    ] = None,
    hold: Annotated[str, typer.Option(help="How long each of these shares is held.")] = "15m",
    every: Annotated[
        str | None, typer.Option(help="Time between quiet starts; by default one rollout after the other.")
    ] = None,
    splits: Annotated[int, typer.Option(help="Ways to halve the instances.", min=1, max=100)] = 4,
    fault_rollouts: Annotated[int, typer.Option(help="Rollouts for each fault.", min=1, max=10_000)] = 40,
    exclude: Annotated[
        list[str] | None, typer.Option(help="FROM/TO that is not quiet: a known incident. Repeatable.")
    ] = None,
    compare: Annotated[str, typer.Option(help="Further policies to set beside it: a,b.")] = "",
    budget: Annotated[
        float | None, typer.Option(help="False rollbacks allowed, in percent; by default the policy's.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of splits, thinning and faults.", min=0)] = 1,
    jobs: Annotated[int | None, typer.Option(help="Processes; one per core by default.", min=1)] = None,
    as_json: JsonFlag = False,
    html: Annotated[Path | None, typer.Option(help="Write the report as one page to this file.")] = None,
) -> None:
    """Replay recorded series: what would this policy have done last week?

    Quiet hours become healthy rollouts (half of the instances plays the canary), faults are laid over
    them, and past releases are looked at as they were. Ends with 0 when the budget is not shown to be
    broken and every injected outage was found, with 1 when not, 2 for a wrong option, and 3 when
    Prometheus cannot be asked. A token for Prometheus comes from SERINUS_PROMETHEUS_TOKEN.
    """
    with _told():
        from serinus.cli.policies import load_policy
        from serinus.sim.backtest import Plan
        from serinus.sim.reading import Question

        policies = [load_policy(name.strip()) for name in (policy, *filter(None, compare.split(",")))]
        now = datetime.now(UTC)
        period = _moment(since, "--from", now), _moment(until, "--to", now)
        question = Question(
            requests=requests,
            errors=errors or _with(requests, f'{status_label}=~"5.."'),
            latency=_beside(requests) if latency is None else latency,
            latency_ms=1000.0 if latency_unit == "s" else 1.0,
            instance_label=instance_label,
            version_label=version_label,
            endpoint_label=endpoint_label,
            width=round(_seconds(window, "--window")),
        )
        plan = Plan(
            course=_course(policy, steps, _seconds(hold, "--hold")),
            every_seconds=_seconds(every, "--every") if every else 0.0,
            splits=splits,
            fault_rollouts=fault_rollouts,
            seed=seed,
            excluded=tuple(_stretch(one, now) for one in exclude or ()),
            budget=None if budget is None else budget / 100,
            jobs=jobs or os.cpu_count() or 1,
        )
        if latency_unit not in ("s", "ms"):
            raise typer.BadParameter("Give s or ms.", param_hint="--latency-unit")
        found = _found(prometheus, question, period, policies, plan)
        _show(found, as_json=as_json, html=html)
    raise typer.Exit(0 if found.findings[0].good else 1)


def _found(
    url: str, question: Question, period: tuple[float, float], policies: list[Any], plan: Plan
) -> Backtest:
    """Read and replay, with bars on stderr."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from serinus.sim.backtest import run

    columns = (TextColumn("{task.description:<36}"), BarColumn(bar_width=32), TaskProgressColumn())
    console = err()
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as bars:
        tasks: dict[str, Any] = {}

        def progress(what: str, done: float) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=1.0)
                if not console.is_terminal:
                    console.print(f"· {what}", markup=False)
            bars.update(tasks[what], completed=done)

        record = asyncio.run(_read(url, question, period, progress))
        return run(record, policies, plan, progress)


async def _read(url: str, question: Question, period: tuple[float, float], progress: Any) -> Record:
    from serinus.bootstrap.metrics import open_metrics
    from serinus.sim.reading import read

    token = os.environ.get("SERINUS_PROMETHEUS_TOKEN", "")
    source = open_metrics("prometheus", url=url, bearer_token=token, timeout_seconds=TIMEOUT_SECONDS)
    try:
        alive = await source.instant("vector(1)", period[1])
        if alive[0].problem:
            raise Unavailable(
                f"Prometheus cannot be asked: {alive[0].problem}.",
                next_step=f"Open {_bare(url)} in a browser of this machine, and check --prometheus.",
            )
        return await read(source, question, *period, lambda done: progress("reading the record", done))
    finally:
        await source.close()


def _show(found: Backtest, *, as_json: bool, html: Path | None) -> None:
    from serinus.sim.backtest_text import lines
    from serinus.sim.backtest_view import view

    shown = view(found)
    if html is not None:
        from serinus.sim.backtest_page import page

        html.write_text(page(found, shown), encoding="utf-8")
        err().print(f"[green]✔[/] report  {html}")
    if as_json:
        print_json(shown)
        return
    for at, line in enumerate(lines(shown)):
        out().print(line, markup=False, style="bold" if at < len(shown["answer"]) else None)


@contextmanager
def _told() -> Iterator[None]:
    """Turn what can go wrong into words and an exit code: 2 for the caller's, 3 for the source's."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "numpy":
            raise
        raise failed("The backtest needs its extra: pip install 'serinus[sim]'") from None
    except SerinusError as error:
        for line in problem_lines({"detail": error.detail, "next_step": error.next_step}):
            err().print(line)
        raise typer.Exit(3 if isinstance(error, Unavailable) else 2) from None
    except OSError as error:
        raise failed(f"The report could not be written: {error}") from None
    except KeyboardInterrupt:
        err().print("\n[yellow]Interrupted.[/]")
        raise typer.Exit(5) from None


def _with(selector: str, matcher: str) -> str:
    """Return the selector with one more matcher."""
    name, _, matchers = selector.partition("{")
    inner = matchers.rstrip().removesuffix("}").rstrip().removesuffix(",")
    return f"{name}{{{inner + ',' if inner else ''}{matcher}}}"


def _beside(requests: str) -> str:
    """Return the default latency buckets, with the matchers of the requests."""
    _, brace, matchers = requests.partition("{")
    return "http_request_duration_seconds_bucket" + brace + matchers


def _bare(url: str) -> str:
    """Return the URL without a user and password."""
    return re.sub(r"//[^/@]*@", "//", url)


def _moment(text: str, option: str, now: datetime) -> float:
    """Return Unix seconds of ``2026-03-02``, ``2026-03-02T14:00Z`` (UTC) or ``7d`` (ago)."""
    if re.fullmatch(r"-?\d+(\.\d+)?[smhd]", text):
        return (now - timedelta(seconds=_seconds(text.lstrip("-"), option))).timestamp()
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no time; give 2026-03-02, 2026-03-02T14:00Z, or 7d for seven days ago.",
            param_hint=option,
        ) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _stretch(text: str, now: datetime) -> tuple[float, float]:
    first, slash, last = text.partition("/")
    if not slash:
        raise typer.BadParameter(f"{text!r} is no FROM/TO.", param_hint="--exclude")
    return _moment(first, "--exclude", now), _moment(last, "--exclude", now)


def _seconds(text: str, option: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    if not match or float(match[1]) * _UNITS[match[2]] < 1:
        if match and float(match[1]) == 0 and option in ("--from", "--to", "--exclude"):
            return 0.0
        raise typer.BadParameter(f"{text!r} is no duration; give 30s, 15m, 1h or 7d.", param_hint=option)
    return float(match[1]) * _UNITS[match[2]]


def _course(policy: str, steps: str | None, hold: float) -> Course:
    """Return the steps that were asked for, else those of the policy file."""
    from serinus.cli.policy_files import named
    from serinus.sim.replay import Course

    own = named(policy).file.steps
    if own and steps is None:
        return Course(steps=own)
    return Course.even(_shares(steps or STAGES), hold)


def _shares(text: str) -> tuple[int, ...]:
    from serinus.core.model import parse_percentage

    try:
        shares = tuple(parse_percentage(float(part), "--steps") for part in text.split(","))
    except ValueError:
        shares = ()
    if not shares or shares[0] == 0 or list(shares) != sorted(set(shares)):
        raise typer.BadParameter(f"{text!r} is no rising list such as 1,5,25,100.", param_hint="--steps")
    return shares
