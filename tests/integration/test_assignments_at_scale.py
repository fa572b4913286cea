"""10 → 50 → 20 → rollback over processes that share the units: everyone on the side the contract says.

A unit is served by another process in each phase, so nothing can rest on what a process remembers.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import redis

from planes import Plane
from serinus.core.bucketing import bucket_of

PROCESS = Path(__file__).parents[1] / "assignment_process.py"


class Application:
    """A process of an application."""

    def __init__(self, plane: Plane, token: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(PROCESS), plane.url, token, "shop"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, *words: object) -> dict:
        """Say a line; return the answer."""
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert "error" not in answer, answer
        return answer

    def end(self) -> None:
        """Let it end."""
        self.process.stdin.write("quit\n")
        self.process.stdin.close()
        self.process.wait(60)


class Rollout:
    """A rollout, and the processes that follow it."""

    def __init__(
        self, plane: Plane, processes: int, folder: Path, stored: Callable[[], int] | None = None
    ) -> None:
        self.plane, self.folder = plane, folder
        #: Counts what is kept, row by row, where it is kept.
        self.stored = stored or self._rows
        plane.call("POST", "/services", json={"name": "shop", "stable_version": "v1"})
        made = plane.call("POST", "/deployments", json={"service_id": "shop", "version": "v2"})
        self.id = made["deployment_id"]
        plane.call("POST", f"/deployments/{self.id}/start-canary", json={"canary_pct": 10})
        token = plane.call("POST", "/tokens", json={"name": "app", "role": "sdk"})["token"]
        self.applications = [Application(plane, token) for _ in range(processes)]
        self.pool = ThreadPoolExecutor(processes)
        self.phase = 0

    def share(self, percent: int) -> list[dict]:
        """Change the share, and wait until every process follows."""
        self.plane.call("PUT", f"/deployments/{self.id}/traffic", json={"traffic_percentage": percent})
        return self.follow(percent * 100)

    def follow(self, bp: int) -> list[dict]:
        """Wait until every process follows a share."""
        return list(self.pool.map(lambda a: a.ask("share", bp), self.applications))

    def serve(self, units: int) -> tuple[bytearray, list[dict]]:
        """Serve units 0 to ``units``, each by another process than before; return their sides."""
        step = len(self.applications)
        self.phase += 1
        files = [self.folder / f"{self.phase}-{n}" for n in range(step)]

        def one(n: int) -> dict:
            return self.applications[(n + self.phase) % step].ask("serve", n, units, step, files[n])

        answers = list(self.pool.map(one, range(step)))
        sides = bytearray(units)
        for n, file in enumerate(files):
            sides[n::step] = file.read_bytes()
        return sides, answers

    def _rows(self) -> int:
        import sqlite3

        with sqlite3.connect(f"file:{self.plane.folder}/serinus.db?mode=ro", uri=True) as db:
            return db.execute("SELECT count(*) FROM assignments").fetchone()[0]

    def end(self) -> None:
        """End the processes."""
        for application in self.applications:
            application.end()
        self.pool.shutdown()


def wrong(sides: bytearray, salt: str, below) -> int:
    """Count units that are not where ``below`` (the bucket under which a unit is on the canary) says."""
    return sum(side != (bucket_of(salt, f"user-{n}") < below(n)) for n, side in enumerate(sides))


def run(
    plane: Plane, units: int, processes: int, folder: Path, stored: Callable[[], int] | None = None
) -> dict:
    """Walk 10 → 50 → 20 → rollback; check everybody in every phase; return what was measured."""
    plane.start()
    rollout = Rollout(plane, processes, folder, stored)
    old = units * 4 // 5  # the last fifth comes after the share has shrunk
    report: dict = {"units": units, "processes": processes}
    try:
        rollout.follow(1000)
        for percent in (10, 50):
            if percent > 10:
                rollout.share(percent)
            sides, answers = rollout.serve(old)
            assert wrong(sides, rollout.id, lambda _, bp=percent * 100: bp) == 0
            report[f"{percent} %"] = _measured(rollout, sides, answers)
        began = time.monotonic()
        kept = rollout.share(20)
        report["seconds until every process had shrunk"] = round(time.monotonic() - began, 2)
        expected = sum(bucket_of(rollout.id, f"user-{n}") in range(2000, 5000) for n in range(old))
        assert [k["kept"] for k in kept] == [expected] * processes
        sides, answers = rollout.serve(units)
        assert wrong(sides, rollout.id, lambda n: 5000 if n < old else 2000) == 0
        report["20 %"] = {**_measured(rollout, sides, answers), "kept": expected}
        report["lookup by API, p99 ms"] = _api_lookups(rollout, old)
        began = time.monotonic()
        plane.call("POST", f"/deployments/{rollout.id}/rollback", json={"reason": "the end"})
        report["seconds of the rollback call"] = round(time.monotonic() - began, 2)
        rollout.follow(0)
        sides, answers = rollout.serve(units)
        assert sum(sides) == 0
        while rollout.stored():
            time.sleep(0.2)
        assert plane.call("GET", f"/deployments/{rollout.id}/assignments")["total"] == 0
        report["rollback"] = _measured(rollout, sides, answers)
    finally:
        rollout.end()
        plane.kill()
    return report


def _measured(rollout: Rollout, sides: bytearray, answers: list[dict]) -> dict:
    listed = rollout.plane.call("GET", f"/deployments/{rollout.id}/assignments")["total"]
    rows = rollout.stored()
    assert listed == rows
    return {
        "on canary": sum(sides),
        "rows": rows,
        "p50 µs": max(a["p50_ns"] for a in answers) / 1000,
        "p99 µs": max(a["p99_ns"] for a in answers) / 1000,
    }


def _api_lookups(rollout: Rollout, units: int, times: int = 200) -> float:
    took = []
    for n in range(times):
        key = f"user-{n * 7919 % units}"
        began = time.perf_counter()
        found = rollout.plane.call("GET", f"/deployments/{rollout.id}/assignments", params={"user_id": key})
        took.append((time.perf_counter() - began) * 1000)
        on = bucket_of(rollout.id, key) < 5000
        assert (found["unit"]["side"], found["total"]) == (("canary", 1) if on else ("stable", 0))
    return round(sorted(took)[times * 99 // 100], 1)


def test_everybody_is_on_the_side_the_contract_says(tmp_path, slack, mailbox):
    """20,000 units over two processes, each served by the other one in the next phase."""
    report = run(Plane(tmp_path, slack, mailbox), 20_000, 2, tmp_path)
    assert report["20 %"]["on canary"] > report["20 %"]["kept"] > 4_000
    assert report["rollback"]["rows"] == 0


def test_a_share_that_shrinks_while_processes_race_loses_nobody(tmp_path, slack, mailbox):
    """Both serve the same new units while the share shrinks; whoever was on the canary once, stays.

    A process knows at once whom it has put there itself, and everybody else when that was reported.
    """
    plane = Plane(tmp_path, slack, mailbox)
    plane.start()
    rollout = Rollout(plane, 2, tmp_path)
    files = [tmp_path / f"race-{n}" for n in range(2)]
    each = list(zip(rollout.applications, files, strict=True))
    try:
        rollout.follow(1000)
        rollout.share(50)
        racing = [rollout.pool.submit(a.ask, "race", 2000, file) for a, file in each]
        plane.call("PUT", f"/deployments/{rollout.id}/traffic", json={"traffic_percentage": 20})
        units = max(one.result()["served"] for one in racing)
        first, second = (file.read_bytes().ljust(units, b"\0") for file in files)
        once = [bool(a or b) for a, b in zip(first, second, strict=True)]
        buckets = [bucket_of(rollout.id, f"user-{n}") for n in range(units)]
        stays = sum(on and bucket >= 2000 for on, bucket in zip(once, buckets, strict=True))
        between = sum(2000 <= bucket < 5000 for bucket in buckets)
        assert 0 < stays < between, "the share shrank in the middle of the race"
        while [a["kept"] for a in rollout.follow(2000)] != [stays, stays]:
            time.sleep(0.1)
        for application, file in each:
            application.ask("serve", 0, units, 1, file)
            expected = [on or bucket < 2000 for on, bucket in zip(once, buckets, strict=True)]
            assert [bool(side) for side in file.read_bytes()] == expected
    finally:
        rollout.end()
        plane.kill()


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kept_in", ["SQLite", "PostgreSQL", "Redis"])
def test_a_million_units_over_four_processes(kept_in, request, tmp_path, slack, mailbox):
    """The same with everybody; prints what was measured."""
    database, count = "", None
    if kept_in == "PostgreSQL":
        database = request.getfixturevalue("postgres").fresh()
        count = _rows_of_postgres(database)
    plane = Plane(tmp_path, slack, mailbox, database)
    if kept_in == "Redis":
        url = request.getfixturevalue("redis_url")
        plane.environment["SERINUS_ASSIGNMENTS_URL"] = url
        count = _fields_of_redis(url)
    report = run(plane, 1_000_000, 4, tmp_path, count)
    print(kept_in, json.dumps(report, indent=2, ensure_ascii=False))
    assert report["20 %"]["kept"] > 200_000


def _rows_of_postgres(database: str) -> Callable[[], int]:
    def count() -> int:
        with psycopg.connect(database) as connection:
            return connection.execute("SELECT count(*) FROM assignments").fetchone()[0]

    return count


def _fields_of_redis(url: str) -> Callable[[], int]:
    def count() -> int:
        with redis.Redis.from_url(url) as client:
            slices = [key for key in client.scan_iter(count=1000) if key.rpartition(b":")[2].isdigit()]
            return sum(client.hlen(key) for key in slices)

    return count
