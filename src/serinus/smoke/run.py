"""Running smoke tests against an address, result by result."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

from serinus.core.errors import InvalidInput
from serinus.smoke.answers import body_problems, json_problems, log_problem, metric_found, read_metrics, short
from serinus.smoke.file import LogLine, Metric, SmokeFile, Step
from serinus.smoke.paths import MISSING, look_up
from serinus.smoke.variables import ENV, Unset, fill, names_in

__all__ = ["Result", "Run"]

#: A log file is looked into again after this long.
LOOK_SECONDS = 0.05
#: No more of a log is read than this: what a run causes is at its end.
MOST_LOG_BYTES = 16_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What became of one step, line or metric."""

    name: str
    #: ``step``, ``log`` or ``metric``.
    kind: str
    #: ``passed``, ``failed``, or ``skipped`` when what it needs did not come.
    outcome: str
    message: str
    seconds: float


@dataclass(kw_only=True)
class Run:
    """One run of a file. Secrets from the environment are in no message."""

    file: SmokeFile
    base_url: str
    environment: Mapping[str, str]
    #: Relative log files are looked for here.
    folder: Path
    _known: dict[str, Any] = field(default_factory=dict)
    _bodies: dict[str, str] = field(default_factory=dict)
    _marks: dict[str, tuple[int, int]] = field(default_factory=dict)

    def results(self) -> Iterator[Result]:
        """Yield results as they come.

        Raises:
            InvalidInput: Headers for all requests need a variable that is not set.
        """
        self._known = dict(self.file.variables or {})
        self._marks = {line.file: _mark(self.folder / line.file) for line in self.file.logs if line.file}
        try:
            headers = fill(self.file.headers or {}, self._known, self.environment)
        except Unset as why:
            raise InvalidInput(f"headers: {why}.", field="headers", next_step="Set it.") from None
        options: dict[str, Any] = {"timeout": self.file.timeout, "trust_env": False, "headers": headers}
        with httpx.Client(base_url=self.base_url, **options) as client:
            for step in self.file.steps:
                yield self._hidden(self._step(client, step))
            for line in self.file.logs:
                yield self._hidden(self._log(line))
            if self.file.metrics:
                yield from self._metrics(client)

    def _step(self, client: httpx.Client, step: Step) -> Result:
        began = time.perf_counter()

        def result(outcome: str, message: str) -> Result:
            took = time.perf_counter() - began
            return Result(name=step.name, kind="step", outcome=outcome, message=message, seconds=took)

        try:
            request = self._request(client, step)
            expect = self._filled_expect(step)
        except Unset as why:
            return result("skipped", str(why))
        try:
            answer = client.send(request)
            answer.read()
        except httpx.TimeoutException:
            return result("failed", f"no answer within {self.file.timeout:g} s")
        except httpx.HTTPError as error:
            return result(
                "failed", f"no answer from {client.base_url.netloc.decode()} ({type(error).__name__})"
            )
        took = time.perf_counter() - began
        self._bodies[step.name] = answer.text
        problems = body_problems(expect, answer.status_code, answer.headers, answer.text, took)
        problems += self._taken(step, expect.json, answer)
        if problems:
            return result("failed", "; ".join(problems))
        return result("passed", f"{step.method} {request.url.raw_path.decode()} → {answer.status_code}")

    def _request(self, client: httpx.Client, step: Step) -> httpx.Request:
        options: dict[str, Any] = {"headers": fill(step.headers or {}, self._known, self.environment)}
        if step.json is not None:
            options["json"] = fill(step.json, self._known, self.environment)
        elif step.body:
            options["content"] = fill(step.body, self._known, self.environment)
        path = fill(step.path, self._known, self.environment, in_path=True)
        return client.build_request(step.method, path, **options)

    def _filled_expect(self, step: Step) -> Any:
        """Fill what is expected in; what the step itself captures is not known yet."""
        expect = step.expect
        known, env = self._known, self.environment
        json = tuple(replace(one, equals=fill(one.equals, known, env)) for one in expect.json)
        headers = fill(expect.headers, known, env) if expect.headers else None
        return replace(expect, json=json, headers=headers, contains=str(fill(expect.contains, known, env)))

    def _taken(self, step: Step, expected: Any, answer: httpx.Response) -> list[str]:
        """Hold the JSON against what is expected, and capture variables from it."""
        if not expected and not step.capture:
            return []
        try:
            data = answer.json()
        except ValueError:
            return [f"its body is no JSON: {short(answer.text[:60])}"]
        problems = json_problems(expected, data)
        for name, path in (step.capture or {}).items():
            value = look_up(data, path)
            if value is MISSING:
                problems.append(f"{path} is missing, so there is no ${{{name}}}")
            else:
                self._known[name] = value
        return problems

    def _log(self, line: LogLine) -> Result:
        began = time.perf_counter()

        def result(outcome: str, message: str) -> Result:
            took = time.perf_counter() - began
            return Result(name=line.name, kind="log", outcome=outcome, message=message, seconds=took)

        if line.step:
            if line.step not in self._bodies:
                return result("skipped", f"the step {line.step} had no answer")
            why = log_problem(line, self._bodies[line.step].splitlines())
            return result("failed", why) if why else result("passed", _fields_words(line))
        while True:
            try:
                why = log_problem(line, self._new_lines(line.file))
            except OSError as error:
                why = f"{line.file} cannot be read ({error.strerror})"
            if not why:
                return result("passed", _fields_words(line))
            if time.perf_counter() - began > line.within:
                return result("failed", f"{why} (within {line.within:g} s)")
            time.sleep(LOOK_SECONDS)

    def _new_lines(self, name: str) -> list[str]:
        """Return what was written to a log since this run began; a log that was turned over counts whole."""
        path = self.folder / name
        inode, size = self._marks[name]
        now = path.stat()
        begin = size if now.st_ino == inode and now.st_size >= size else 0
        with path.open("rb") as file:
            file.seek(max(begin, now.st_size - MOST_LOG_BYTES))
            return file.read(MOST_LOG_BYTES).decode("utf-8", "replace").splitlines()

    def _metrics(self, client: httpx.Client) -> Iterator[Result]:
        began = time.perf_counter()
        try:
            answer = client.get(self.file.metrics_path)
            why = "" if answer.status_code == 200 else f"{self.file.metrics_path} → {answer.status_code}"
        except httpx.HTTPError as error:
            why = f"no answer from {self.file.metrics_path} ({type(error).__name__})"
        samples = [] if why else read_metrics(answer.text)
        for metric in self.file.metrics:
            yield self._hidden(_metric(metric, samples, why, time.perf_counter() - began))

    def _hidden(self, result: Result) -> Result:
        """Return a result without secrets that came from the environment."""
        message = result.message
        used = {n.removeprefix(ENV) for n in names_in(_data(self.file)) if n.startswith(ENV)}
        for secret in filter(None, (self.environment.get(name) for name in used)):
            message = message.replace(secret, "…")
        return replace(result, message=message)


def _data(file: SmokeFile) -> list[Any]:
    """Return everything of a file that may name variables."""
    steps = [[s.path, s.headers, s.json, s.body, s.expect.headers, s.expect.contains] for s in file.steps]
    return [file.headers, steps, [[one.equals for one in s.expect.json] for s in file.steps]]


def _mark(path: Path) -> tuple[int, int]:
    """Return which file it is, and how long it was when the run began."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_ino, found.st_size


def _fields_words(line: LogLine) -> str:
    return f"{line.name}{{{', '.join(line.fields)}}}" if line.fields else line.name


def _metric(metric: Metric, samples: Any, why: str, seconds: float) -> Result:
    ok, words = (False, why) if why else metric_found(metric, samples)
    return Result(
        name=metric.name,
        kind="metric",
        outcome="passed" if ok else "failed",
        message=words,
        seconds=seconds,
    )
