"""A ranker of options, trained by PPO from people's ratings. Plain Python: it is small.

Options are shown one after the other, each drawn from those that are left (Plackett-Luce). What is
learnt is a linear score of an option's features; the critic is a running mean of the reward.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

__all__ = ["FEATURES", "Pick", "Ranker", "Update"]

FEATURES = 6
CLIP = 0.2
EPOCHS = 4
LEARNING_RATE = 0.15
ENTROPY_BONUS = 0.01
#: How fast the critic follows the rewards.
CRITIC_RATE = 0.2
#: How fast its error is smoothed.
SMOOTHING = 0.1
#: Ratings that one update learns from.
BATCH = 16


@dataclass(frozen=True)
class Pick:
    """One decision: which of the options that were left was shown, and how likely that was."""

    options: tuple[tuple[float, ...], ...]
    chosen: int
    log_probability: float


@dataclass(frozen=True)
class Update:
    """What an update came to; the log line ``rl_update`` has these fields."""

    loss: float
    reward: float
    entropy: float
    clip_frac: float


@dataclass
class Ranker:
    """The policy, its critic, and the ratings that it learns from."""

    chance: random.Random
    weights: list[float] = field(default_factory=lambda: [0.0] * FEATURES)
    #: The critic: the reward that it expects.
    value: float = 0.0
    #: Its mean squared error of late.
    value_loss: float = 1.0
    _memory: deque[tuple[Pick, float]] = field(default_factory=lambda: deque(maxlen=BATCH))
    _lock: Lock = field(default_factory=Lock)

    def pick(self, options: list[tuple[float, ...]], count: int) -> list[tuple[int, Pick]]:
        """Draw ``count`` options without putting any back; return their indexes with the decisions."""
        left, drawn = list(range(len(options))), []
        for _ in range(count):
            shown = tuple(options[i] for i in left)
            probabilities = self.probabilities(shown)
            at = self.chance.choices(range(len(left)), probabilities)[0]
            drawn.append((left.pop(at), Pick(shown, at, math.log(probabilities[at]))))
        return drawn

    def probabilities(self, options: tuple[tuple[float, ...], ...]) -> list[float]:
        """Return the softmax of the scores."""
        scores = [sum(w * x for w, x in zip(self.weights, o, strict=True)) for o in options]
        highest = max(scores)
        grown = [math.exp(s - highest) for s in scores]
        return [g / sum(grown) for g in grown]

    def learn(self, pick: Pick, reward: float) -> Update:
        """Remember a rating (reward -1 to 1), and improve the policy by it and the newest others."""
        with self._lock:
            self._memory.append((pick, reward))
            batch = [(p, r, r - self.value) for p, r in self._memory]
            value_loss = sum(a * a for _, _, a in batch) / len(batch)
            loss = entropy = clipped = 0.0
            for _ in range(EPOCHS):
                loss, entropy, clipped = self._epoch(batch)
            mean = sum(r for _, r, _ in batch) / len(batch)
            self.value += CRITIC_RATE * (mean - self.value)
            self.value_loss += SMOOTHING * (value_loss - self.value_loss)
            return Update(loss + 0.5 * value_loss, reward, entropy, clipped)

    def load(self, checkpoint: Mapping[str, Any]) -> None:
        """Go on from a checkpoint: a release brings its model along.

        Raises:
            ValueError: It is of another shape.
        """
        weights = [float(w) for w in checkpoint["weights"]]
        if len(weights) != FEATURES:
            raise ValueError(f"the checkpoint has {len(weights)} weights, not {FEATURES}")
        self.weights = weights
        self.value, self.value_loss = float(checkpoint["value"]), float(checkpoint["value_loss"])

    def _epoch(self, batch: list[tuple[Pick, float, float]]) -> tuple[float, float, float]:
        """Take one step up the clipped objective; return its loss, entropy and clipped share."""
        gradient = [0.0] * FEATURES
        loss = entropy = clipped = 0.0
        for pick, _, advantage in batch:
            probabilities = self.probabilities(pick.options)
            ratio = math.exp(math.log(probabilities[pick.chosen]) - pick.log_probability)
            bounded = min(max(ratio, 1 - CLIP), 1 + CLIP)
            here = -sum(p * math.log(p) for p in probabilities if p > 0)
            loss -= min(ratio * advantage, bounded * advantage) + ENTROPY_BONUS * here
            entropy += here
            clipped += abs(ratio - 1) > CLIP
            # Where the bound is the smaller one, the objective is flat: nothing to climb.
            slope = ratio * advantage if ratio * advantage <= bounded * advantage else 0.0
            mean = [
                sum(p * o[k] for p, o in zip(probabilities, pick.options, strict=True))
                for k in range(FEATURES)
            ]
            for k in range(FEATURES):
                gradient[k] += slope * (pick.options[pick.chosen][k] - mean[k])
                gradient[k] -= ENTROPY_BONUS * sum(
                    p * (math.log(p) + here) * (o[k] - mean[k])
                    for p, o in zip(probabilities, pick.options, strict=True)
                    if p > 0
                )
        size = len(batch)
        self.weights = [w + LEARNING_RATE * g / size for w, g in zip(self.weights, gradient, strict=True)]
        return loss / size, entropy / size, clipped / size
