"""Questions to a Prometheus server: numbers now, exact growth by window, and history."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from math import ceil, floor
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import httpx

from serinus.core.analysis import counters
from serinus.core.errors import InvalidInput
from serinus.drivers._http import Trouble, Wire, basic, bearer, headers_of, split_url, tls
from serinus.drivers.metrics.prometheus.answers import data_of, raw_series, readings, series
from serinus.drivers.metrics.prometheus.selectors import quoted, selectors_of
from serinus.ports.metrics import Increases, Reading, Series

__all__ = ["PrometheusSource"]

#: A number from older samples is no number of now. Common scrape intervals are 15 to 60 s.
MAX_AGE_SECONDS = 120.0
#: Prometheus refuses to answer more points than this for one series (web/api/v1: "exceeded maximum
#: resolution of 11,000 points per timeseries").
MAX_POINTS = 11_000
#: One backtest asks at most this often; a longer one wants a larger step.
MAX_CALLS = 100
MAX_BYTES = 32_000_000
#: Bigger answers are parsed beside the event loop.
PARSED_ASIDE_BYTES = 250_000
#: Counters are read this many windows beyond both ends, so that the first and last are closed.
WINDOWS_BEFORE, WINDOWS_AFTER = 2, 1
#: How many steps an outdated selector is looked back for, and how many a fresh one may be old.
LOOK_BACK_STEPS, FRESH_STEPS = 360, 24
#: An expression of more selectors has the first ones' age checked; of more targets, no target's birth.
MAX_SELECTORS, MAX_TARGETS = 8, 200

_T = TypeVar("_T")


class PrometheusSource:
    """One server by its base URL. Secrets are in no error, no ``repr`` and no log."""

    name = "prometheus"

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        bearer_token: str = "",
        basic_auth: tuple[str, str] | None = None,
        ca_file: str | Path | None = None,
        client_cert: tuple[str | Path, str | Path] | str | Path | None = None,
        verify: bool = True,
        timeout_seconds: float = 5.0,
        max_age_seconds: float | None = MAX_AGE_SECONDS,
    ) -> None:
        """Keep where and how to ask; nothing is connected yet.

        Args:
            url: Base URL, with a path where there is one (``https://metrics.example/prometheus``).
            headers: Sent with every question, such as ``X-Scope-OrgID``.
            bearer_token: A token, or ``basic_auth`` a user and a password.
            basic_auth: See above.
            ca_file: PEM file of the authorities to trust instead of the system's.
            client_cert: PEM file, or certificate and key files.
            verify: Check the server's certificate.
            timeout_seconds: An answer comes within this, if only to say that there is none.
            max_age_seconds: A number made of older samples is stale; ``None`` takes any age.

        Raises:
            InvalidInput: The URL, a file or a combination is unusable.
        """
        parts, from_url = split_url(url, "url")
        if bool(bearer_token) + bool(basic_auth) + bool(from_url) > 1:
            raise InvalidInput(
                "Two ways to sign in are given.",
                field="bearer_token",
                next_step="Keep one of bearer_token, basic_auth and the URL's own user.",
            )
        sign_in = bearer(bearer_token) if bearer_token else basic(*basic_auth) if basic_auth else from_url
        self._url = parts._replace(path=parts.path.rstrip("/"), query="").geturl()
        self._headers = headers_of(headers, sign_in)
        passwords = [basic_auth[1]] if basic_auth else []
        self._secrets = [s for v in (*self._headers.values(), *passwords) for s in (v, v.split(" ")[-1]) if s]
        context = tls(ca_file, client_cert, verify=verify) if parts.scheme == "https" else None
        self._wire = Wire(seconds=timeout_seconds, max_bytes=MAX_BYTES, context=context)
        self._max_age = max_age_seconds

    def __repr__(self) -> str:
        """Name the server, and no secret."""
        return f"PrometheusSource({self._url!r})"

    async def close(self) -> None:
        """Release connections."""
        await self._wire.close()

    async def instant(self, expression: str, at: float) -> tuple[Reading, ...]:
        """Return what ``expression`` was at ``at``, one reading per series; at least one."""

        async def ask() -> tuple[Reading, ...]:
            got = readings(await self._query(expression, at), at)
            stale = await self._stale(expression, at)
            if stale:
                return (Reading(value=None, problem=stale, at=at),)
            return got or (Reading(value=None, problem="no series matched", at=at),)

        return await self._answered(ask, lambda why: (Reading(value=None, problem=why, at=at),))

    async def increases(
        self, selector: str, start: float, end: float, width: int, by: tuple[str, ...] = ()
    ) -> Increases:
        """Return the growth of the selected counters by window, from their raw samples.

        ``rate`` and ``increase`` extrapolate to the edges of their range, give fractions of
        requests, and miss the first sample of a new series; see :mod:`serinus.core.analysis.counters`.
        """

        async def ask() -> Increases:
            found = await self._raw(selector, start, end, width)
            if not found:
                return Increases(problem="no series matched")
            born = [s for s in found if s.target and s.samples and s.samples[0][0] > start]
            seen = await self._seen(born, start, end, width) if born else {}
            told = counters.increases(found, start=start, end=end, width=width, by=by, seen=seen)
            return told if told.windows else replace(told, problem=self._why_none(told, end, width))

        return await self._answered(ask, lambda why: Increases(problem=why))

    async def range(self, expression: str, start: float, end: float, step: float) -> tuple[Series, ...]:
        """Return the history of ``expression``; or one series without points that says what is wrong.

        Questions of more than 11,000 points are split; each part has the whole time limit.
        """
        points = floor((end - start) / step) + 1
        if points > MAX_POINTS * MAX_CALLS:
            need = ceil((end - start) / (MAX_POINTS * MAX_CALLS - 1))
            return (Series(problem=f"too many points: take steps of {need} s or more"),)
        merged: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
        for first in range(0, points, MAX_POINTS):
            last = min(first + MAX_POINTS, points) - 1
            form = {
                "start": _seconds(start + first * step),
                "end": _seconds(start + last * step),
                "step": str(step),
            }
            try:
                data = await self._ask("query_range", {"query": expression, **form})
                for one in series(data):
                    merged.setdefault(tuple(sorted(one.labels.items())), []).extend(one.points)
            except Trouble as trouble:
                return (Series(problem=str(trouble)),)
        made = tuple(Series(labels=dict(labels), points=tuple(p)) for labels, p in sorted(merged.items()))
        return made or (Series(problem="no series matched"),)

    async def _answered(self, ask: Callable[[], Awaitable[_T]], failed: Callable[[str], _T]) -> _T:
        """Return the answer, or the trouble in its place; all questions of one call share its time."""
        try:
            async with self._wire.in_time():
                return await ask()
        except Trouble as trouble:
            return failed(str(trouble))

    async def _query(self, expression: str, at: float) -> Mapping[str, Any]:
        return await self._ask("query", {"query": expression, "time": _seconds(at)})

    async def _ask(self, path: str, form: Mapping[str, str]) -> Mapping[str, Any]:
        # Posted: an expression may be longer than a URL may be.
        headers = {**self._headers, "Content-Type": "application/x-www-form-urlencoded"}
        url = f"{self._url}/api/v1/{path}"
        request = httpx.Request("POST", url, headers=headers, content=urlencode(form).encode())
        status, body = await self._wire.ask(request)
        if len(body) > PARSED_ASIDE_BYTES:
            return await asyncio.to_thread(data_of, status, body, self._secrets)
        return data_of(status, body, self._secrets)

    async def _raw(self, selector: str, start: float, end: float, width: int) -> list[counters.RawSeries]:
        """Read raw samples from before the first window to after the last."""
        since, until = start - WINDOWS_BEFORE * width, end + WINDOWS_AFTER * width
        return raw_series(await self._query(f"{selector}[{ceil((until - since) * 1000)}ms]", until))

    async def _seen(
        self, born: Sequence[counters.RawSeries], start: float, end: float, width: int
    ) -> dict[tuple[str, ...], list[float]]:
        """Return when the targets of new series were scraped: without the series, it was zero then."""
        instances = sorted({one.target[-1] for one in born})
        if len(instances) > MAX_TARGETS:
            return {}
        pattern = quoted("|".join(re.escape(name) for name in instances))
        ups = await self._raw(f"up{{instance=~{pattern}}}", start, end, width)
        return {one.target: [at for at, value in one.samples if value == 1] for one in ups if one.target}

    async def _stale(self, expression: str, at: float) -> str:
        """Say so when what the expression reads has stopped coming in.

        A range such as ``[5m]`` goes on giving numbers for five minutes after a target died.
        A selector that has matched nothing for long is taken for one that matches nothing.
        """
        if self._max_age is None:
            return ""
        asked = [self._age(selector, at) for selector in selectors_of(expression)[:MAX_SELECTORS]]
        ages = [age for age in await asyncio.gather(*asked) if age is not None]
        old = max(ages, default=0.0)
        return f"stale: newest sample is {old:.0f} s old" if old > self._max_age else ""

    async def _age(self, selector: str, at: float) -> float | None:
        """Return how old the newest sample is; a dead target's is known to a step."""
        assert self._max_age is not None
        newest = _newest(await self._query(f"max(timestamp({selector}))", at))
        if newest is None:
            step = max(1, round(self._max_age / FRESH_STEPS))
            span = f"[{LOOK_BACK_STEPS * step}s:{step}s]"
            newest = _newest(await self._query(f"max(max_over_time(timestamp({selector}){span}))", at))
        return None if newest is None else at - newest

    def _why_none(self, told: Increases, end: float, width: int) -> str:
        newest = told.newest_sample_at
        if newest is None:
            return "the answer is NaN"
        if newest < end - width:
            return f"stale: newest sample is {end - newest:.0f} s old"
        return f"too few samples for windows of {width} s: nothing to compare yet, or scraped too rarely"


def _newest(data: Mapping[str, Any]) -> float | None:
    return next((reading.value for reading in readings(data, 0.0)), None)


def _seconds(at: float) -> str:
    """Return a time as the API takes it, to the millisecond."""
    return f"{at:.3f}"
