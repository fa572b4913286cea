"""What the judge pays for not knowing: its requests over the oracle's, told one thing after another.

``python -m bench.price [--runs 200] [--seed 20261121] [WORLD …]`` prints the table of decision 33: the judge as it is, then with
one part of it after another taken away, by changing its constants in worker processes of their own. It takes minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from math import inf
from statistics import geometric_mean

from serinus.core.analysis.checks import Policy
from serinus.core.analysis.sequential import blame, group, judge, ledger, plan
from serinus.core.analysis.sequential.dispersion import Dispersion
from serinus.core.analysis.sequential.latency import Harm
from serinus.core.policy.presets import SEQUENTIAL
from serinus.sim.library import Set, find_worlds
from serinus.sim.oracle import limit
from serinus.sim.run import End, Options, rollout
from serinus.sim.world import World

STEPS = (
    "errors-x2",
    "errors-x3",
    "errors-half-point",
    "errors-5-points",
    "errors-x3-drift",
    "latency-10",
    "latency-20",
    "latency-x2",
)
#: Told one after another, each on top of those before it.
TOLD = ("time", "check", "caution", "size")
ROWS = (
    "the judge",
    "knows that it is there from the start",
    "… and which check",
    "… and is not cautious",
    "… and the size",
)
CHUNK = 10


def _knows_time() -> None:
    group.EARLY = 1.0 - 1e-12


def _knows_check(policy: Policy, world: World) -> Policy:
    ledger.ALONE = 0.0
    told = policy.judge
    assert told is not None
    return replace(
        policy, judge=replace(told, latency=None) if _in_errors(world) else replace(told, errors=None)
    )


def _is_not_cautious() -> None:
    judge.LATENCY_CAP = judge.ERROR_CAP = 300.0
    blame.EVENTS = 0
    blame.MARGIN = {"errors": (-inf, -inf), "latency": (-inf, -inf)}
    for name in ("factor", "worst", "likely"):
        setattr(Dispersion, name, property(lambda _: 1.0))


def _knows_size(policy: Policy, world: World) -> None:
    assert policy.judge is not None
    assert world.fault is not None
    bets, fault = plan.bets_of(policy.judge), world.fault
    if _in_errors(world):
        size = (
            fault.error_ratio if fault.error_ratio != 1 else 1 + fault.error_points / 100 / world.error_rate
        )
        many = len(bets.ratios)
        bets = replace(
            bets, ratios=(size,) * many, ratio_weights=(1 / many,) * many, ratio_late=(1 / many,) * many
        )
        bets = replace(bets, temper=(1.0,) * many)
    else:
        many = len(bets.harms)
        harms = (Harm(fault.latency_ratio),) * many
        bets = replace(bets, harms=harms, harm_weights=(1 / many,) * many, harm_late=(1 / many,) * many)
    judge.bets_of = lambda _: bets


def _in_errors(world: World) -> bool:
    return world.fault is not None and (world.fault.error_ratio != 1 or bool(world.fault.error_points))


_told: tuple[World, Policy, int]


def _tell(name: str, what: Sequence[str], seed: int) -> None:
    """Make this process' judge one that knows ``what``."""
    global _told
    (world,) = find_worlds((name,), Set.ALL)
    policy = SEQUENTIAL
    if "time" in what:
        _knows_time()
    if "check" in what:
        policy = _knows_check(policy, world)
    if "caution" in what:
        _is_not_cautious()
    if "size" in what:
        _knows_size(policy, world)
    _told = world, policy, seed


def _judged(run: int) -> float:
    world, policy, seed = _told
    found = rollout(world, policy, run, Options(seed=seed))
    return found.requests if found.end is End.ROLLED_BACK and not found.early else inf


def _best(run: int) -> float:
    world, _, seed = _told
    found = limit(world, seed, run)
    return found.requests if found else inf


def _median(values: list[float]) -> float:
    return sorted(values)[(len(values) - 1) // 2]


def ratio(name: str, what: Sequence[str], runs: int, seed: int) -> float:
    """Return the median of the canary's requests over the oracle's median, in one world."""
    with ProcessPoolExecutor(initializer=_tell, initargs=(name, what, seed)) as pool:
        judged = _median(list(pool.map(_judged, range(runs), chunksize=CHUNK)))
        return judged / _median(list(pool.map(_best, range(runs), chunksize=CHUNK)))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("worlds", nargs="*", default=STEPS)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=20261121)
    given = parser.parse_args()
    print("| |", " | ".join(given.worlds), "| geometric mean |")
    print("| --- |", " | ".join("--:" for _ in given.worlds), "| --: |")
    for known, row in enumerate(ROWS):
        found = [ratio(name, TOLD[:known], given.runs, given.seed) for name in given.worlds]
        print(
            f"| {row} |",
            " | ".join(f"{r:.2f}" for r in found),
            f"| {geometric_mean(found):.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
