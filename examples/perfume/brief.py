"""A perfume's brief, written by an ensemble of three language models that vote on each part.

Any OpenAI-compatible endpoint will do. Without one three small offline models answer, each with a taste
of its own: no network, the same brief for the same words.
"""

from __future__ import annotations

import hashlib
import json
import urllib.request
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["FIELDS", "MODES", "Ensemble", "Model", "Offline", "OpenAI", "Voter", "ensemble_from", "valid"]

#: What a brief has, and what each part may be.
FIELDS = {
    "family": ("citrus", "floral", "woody", "amber", "fresh", "gourmand"),
    "top": ("bergamot", "pink pepper", "grapefruit", "mandarin", "mint", "neroli"),
    "heart": ("rose", "jasmine", "iris", "fig leaf", "sea salt", "tea"),
    "base": ("cedar", "vetiver", "vanilla", "musk", "tonka", "sandalwood"),
}
#: Mode → drafts that each model writes: more drafts are more even votes, and take longer.
MODES = {"fast": 1, "balanced": 2, "creative": 3}
#: Words of a wish that point somewhere, whatever else is asked.
_HINTS = {
    "citrus": ("family", "citrus"),
    "summer": ("top", "grapefruit"),
    "fresh": ("family", "fresh"),
    "rose": ("heart", "rose"),
    "sea": ("heart", "sea salt"),
    "wood": ("base", "cedar"),
    "sweet": ("base", "vanilla"),
    "warm": ("family", "amber"),
}


class Model(Protocol):
    """Something that writes a brief as JSON text."""

    name: str

    def draft(self, wish: str, number: int) -> str:
        """Return the text of one draft."""
        ...


@dataclass(frozen=True)
class Offline:
    """A small model without a network: hints in the words first, then its own taste."""

    name: str
    #: Every so many drafts it forgets a field, as models do; 0: never.
    forgets_every: int = 0

    def draft(self, wish: str, number: int) -> str:
        """Return a draft; the same for the same wish and number."""
        brief = {}
        for field, values in FIELDS.items():
            digest = hashlib.sha256(f"{self.name}/{number}/{field}/{wish}".encode()).digest()
            brief[field] = values[digest[0] % len(values)]
        for word, (field, value) in _HINTS.items():
            if word in wish.lower():
                brief[field] = value
        if (
            self.forgets_every
            and hashlib.sha256(f"{wish}/{number}".encode()).digest()[1] % self.forgets_every == 0
        ):
            del brief["base"]
        return json.dumps(brief)


@dataclass(frozen=True)
class OpenAI:
    """A model behind an OpenAI-compatible endpoint."""

    name: str
    base_url: str
    key: str = ""
    timeout_seconds: float = 20.0

    def draft(self, wish: str, number: int) -> str:
        """Ask for one draft.

        Raises:
            OSError: The endpoint refused or did not answer.
        """
        choices = "; ".join(f"{field}: one of {', '.join(values)}" for field, values in FIELDS.items())
        body = {
            "model": self.name,
            "temperature": 0.2 + 0.3 * number,
            "response_format": {"type": "json_object"},
            "messages": [
                {"role": "system", "content": f"You write perfume briefs as one JSON object. {choices}."},
                {"role": "user", "content": wish},
            ],
        }
        headers = {"Content-Type": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        url = f"{self.base_url.rstrip('/')}/chat/completions"
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=self.timeout_seconds) as answer:  # noqa: S310
            said = json.load(answer)
        try:
            return str(said["choices"][0]["message"]["content"])
        except (KeyError, IndexError, TypeError):
            return ""  # an answer, and no brief


@dataclass(frozen=True)
class Voter:
    """A model and the weight of its vote."""

    model: Model
    weight: float


@dataclass(frozen=True)
class Ensemble:
    """Models that vote on each part of a brief."""

    voters: tuple[Voter, ...]

    def write(self, wish: str, mode: str) -> tuple[dict[str, str] | None, int]:
        """Return the brief and how many drafts broke the schema; no brief when every draft did."""
        votes: dict[str, dict[str, float]] = {field: defaultdict(float) for field in FIELDS}
        failures = 0
        for voter in self.voters:
            for number in range(MODES[mode]):
                try:
                    text = voter.model.draft(wish, number)
                except (OSError, ValueError):
                    continue  # it does not answer: the others vote
                draft = valid(text)
                if draft is None:
                    failures += 1
                    continue
                for field, value in draft.items():
                    votes[field][value] += voter.weight / MODES[mode]
        if not all(votes.values()):
            return None, failures
        # Of equal votes the one that was cast first wins: the same brief every time.
        return {field: max(cast, key=cast.__getitem__) for field, cast in votes.items()}, failures


def valid(text: str) -> dict[str, str] | None:
    """Return a draft that fits the schema, or ``None``."""
    try:
        draft: Any = json.loads(text)
    except ValueError:
        return None
    if not isinstance(draft, dict) or any(draft.get(field) not in values for field, values in FIELDS.items()):
        return None
    return {field: draft[field] for field in FIELDS}


def ensemble_from(environment: Mapping[str, str], *, forgets_every: int = 0) -> Ensemble:
    """Return the ensemble: ``PERFUME_LLM_URL`` with ``PERFUME_LLM_MODELS`` (three), or the offline ones.

    Raises:
        ValueError: Not three models, or not three weights.
    """
    weights = [float(w) for w in environment.get("PERFUME_LLM_WEIGHTS", "0.5,0.3,0.2").split(",")]
    names = environment.get("PERFUME_LLM_MODELS", "classic,modern,playful").split(",")
    if len(weights) != 3 or len(names) != 3:
        raise ValueError("PERFUME_LLM_MODELS and PERFUME_LLM_WEIGHTS have three entries each")
    url, key = environment.get("PERFUME_LLM_URL", ""), environment.get("PERFUME_LLM_KEY", "")
    models: list[Model] = [
        OpenAI(name.strip(), url, key) if url else Offline(name.strip(), forgets_every) for name in names
    ]
    return Ensemble(tuple(Voter(m, w) for m, w in zip(models, weights, strict=True)))
