"""What happens to a world over time whatever its rollout does: waves, bursts, noise, faults, lost windows."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, pi

import numpy as np
import numpy.typing as npt

from serinus.sim.grid import Floats, Ints
from serinus.sim.world import World

__all__ = ["CANARY", "SIDES", "STABLE", "WIDTH", "Weather", "spread_factor", "wandering", "weather_of"]

#: Seconds of a window.
WIDTH = 10
STABLE, CANARY = 0, 1
SIDES = 2


@dataclass(frozen=True, slots=True)
class Weather:
    """One value per window; with two rows, one per side."""

    load: Floats
    errors: Floats
    latency: Floats
    #: Standard normal values that remember: what share of its users each side happens to have.
    users: Floats
    #: How much of the fault is there, 0 to 1.
    fault: Floats
    #: Window at whose end each window is known; -1: never.
    arrives: Ints
    blind: npt.NDArray[np.bool_]


def weather_of(world: World, rng: np.random.Generator, count: int) -> Weather:
    """Draw ``count`` windows of weather."""
    at: Floats = np.arange(0.0, count * WIDTH, WIDTH)
    errors, latency = np.ones((SIDES, count)), np.ones((SIDES, count))
    load = _both(world, rng, at, errors, latency)
    _canary(world, rng, at, errors[CANARY], latency[CANARY])
    users = np.zeros((SIDES, count))
    if world.users:
        memory = exp(-WIDTH / world.users.seconds)
        users = np.stack([wandering(rng, count, memory) for _ in range(SIDES)])
    arrives, blind = _holes(world, rng, at)
    return Weather(load, errors, latency, users, _fault(world, at), arrives, blind)


def wandering(rng: np.random.Generator, count: int, memory: float) -> Floats:
    """Draw a standard normal series that keeps ``memory`` of itself from one window to the next."""
    steps = rng.normal(size=count) * (1 - memory**2) ** 0.5
    steps[0] = rng.normal()
    values, at = np.empty(count), 0.0
    for i, step in enumerate(steps.tolist()):
        at = memory * at + step
        values[i] = at
    return values


def _both(world: World, rng: np.random.Generator, at: Floats, errors: Floats, latency: Floats) -> Floats:
    """Move both sides alike; return what becomes of the load."""
    load = np.ones(len(at))
    if world.wave:
        wave = world.wave
        level = wave.size * np.sin(2 * pi * at / wave.period_seconds + rng.uniform(0, 2 * pi))
        errors *= np.exp(wave.errors * level)
        latency *= np.exp(wave.latency * level)
        load *= np.exp(wave.load * level)
    if world.noise:
        level = world.noise.size * wandering(rng, len(at), world.noise.memory)
        errors *= np.exp(level)
        latency *= np.exp(world.noise.latency * level)
    if world.bursts:
        burst = _bursts(rng, len(at), world.bursts.every_seconds, world.bursts.seconds)
        errors[:, burst] *= world.bursts.errors
        latency[:, burst] *= world.bursts.latency
    return load


def _bursts(rng: np.random.Generator, count: int, every: float, seconds: float) -> npt.NDArray[np.bool_]:
    burst = np.zeros(count, dtype=bool)
    for start in np.flatnonzero(rng.random(count) < WIDTH / every).tolist():
        burst[start : start + max(1, round(rng.exponential(seconds) / WIDTH))] = True
    return burst


def _canary(world: World, rng: np.random.Generator, at: Floats, errors: Floats, latency: Floats) -> None:
    """Move the canary alone, harmlessly."""
    errors *= world.harmless.errors
    latency *= world.harmless.latency
    if world.pod_noise:
        errors *= np.exp(world.pod_noise.errors * wandering(rng, len(at), world.pod_noise.memory))
        latency *= np.exp(world.pod_noise.latency * wandering(rng, len(at), world.pod_noise.memory))
    if world.cold_start:
        latency[at < world.cold_start.seconds] *= world.cold_start.factor


def _fault(world: World, at: Floats) -> Floats:
    fault = world.fault
    if fault is None:
        return np.zeros(len(at))
    since = at - fault.onset_seconds
    there = (since >= 0).astype(float)
    if fault.ramp_seconds:
        there *= np.clip(since / fault.ramp_seconds, 0, 1)
    if fault.on_seconds:
        there *= since % (fault.on_seconds + fault.off_seconds) < fault.on_seconds
    return there


def _holes(world: World, rng: np.random.Generator, at: Floats) -> tuple[Ints, npt.NDArray[np.bool_]]:
    holes, count = world.holes, len(at)
    arrives = np.tile(np.arange(count), (SIDES, 1))
    if holes.late_share:
        late = rng.random((SIDES, count)) < holes.late_share
        arrives += late * max(1, round(holes.late_seconds / WIDTH))
    if holes.missing:
        arrives[rng.random((SIDES, count)) < holes.missing] = -1
    if holes.gap_seconds:
        arrives[:, (at >= holes.gap_start) & (at < holes.gap_start + holes.gap_seconds)] = -1
    blind = np.zeros((SIDES, count), dtype=bool)
    if holes.no_latency:
        blind = rng.random((SIDES, count)) < holes.no_latency
    return arrives, blind


def spread_factor(spread: float, users: Floats, normal: Floats) -> Floats:
    """Return how far a side's mean is off when its ``users`` differ by ``spread``: log-normal, mean one."""
    variance = np.log1p(spread**2 / np.maximum(users, 1.0))
    factor: Floats = np.exp(np.sqrt(variance) * normal - variance / 2)
    return factor
