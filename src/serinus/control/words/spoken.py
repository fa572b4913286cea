"""What is said in English, said in the reader's language: chosen where it is read, never where it is kept.

The core, and what is stored, speak English; each sentence is made from a template and values. Here the
template is known by its sentence, and its values are put into the reader's one. What no template fits,
such as a reason that a person gave, stays as it is: so does every sentence of an older version.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from serinus.control.words.korean import SENTENCES, TIMES, WORDS

__all__ = ["spoken", "times"]

#: Longer texts, and deeper ones, are no sentences of ours; nor is one whose parts fit in so many ways.
LONGEST, DEEPEST, TRIES = 2500, 8, 60
#: What stands for a version in sentences about a whole A/B/n test.
CONTEST = "the A/B/n test of "
_VERSION = r"[^\s;:,]+"
_VERSIONS = rf"{_VERSION}(?:(?:, | and ){_VERSION})*"
#: How a value of a template looks; what kind it is, is written behind its name: ``{why:said}``.
_LOOKS = {
    "": re.compile(r"(?:(?!\. |; ).)+", re.DOTALL),  # within one clause
    "free": re.compile(r".+", re.DOTALL),
    "said": re.compile(r".+", re.DOTALL),
    "word": re.compile(r"[^;:]+"),
    "hooks": re.compile(r"hooks? [^;:]+"),
    "n": re.compile(r"[\d,.]+"),
    "value": re.compile(r"[-+\d,.e]+"),
    "share": re.compile(r"[\d,.]+ %"),
    "time": re.compile(r"[\d,.]+ (?:ms|s|min|h|d)(?: \d+ (?:s|min|h))?"),
    "versions": re.compile(_VERSIONS),
}
_VALUE = re.compile(r"{(\w+)(?::(\w+))?}")
#: A clause about one of several candidates.
_OF = re.compile(rf"({_VERSIONS}): (.+)", re.DOTALL)
#: Between what is said together, from the outside in: sentences, and clauses.
_BETWEEN = ((re.compile(r"(?<=\.) (?=\S)"), " "), (re.compile("; "), "; "))


def spoken(text: str, language: str) -> str:
    """Return a sentence of the core in a language; what is not known in it stays English.

    >>> spoken("Paused at 10 %. Automatic rollback stays on.", "ko")
    '10 %에서 일시 중지되었습니다. 자동 롤백은 켜져 있습니다.'
    >>> spoken("Rolled back from 25 % to v1: orders are lost", "ko")
    '25 %에서 v1(으)로 롤백: orders are lost'
    """
    return _korean(text) if language == "ko" and len(text) <= LONGEST else text


def times(text: str) -> str:
    """Return a text with its durations in Korean.

    >>> times("1 h 30 min")
    '1시간 30분'
    """
    return re.sub(r"([\d.,]+)[ \u00a0](min|s|h|d)\b", lambda m: f"{m[1]}{TIMES[m[2]]}", text)


@lru_cache(maxsize=4096)
def _korean(text: str) -> str:
    return _said(text, 0)


def _said(text: str, depth: int) -> str:
    if depth > DEEPEST:
        return text
    body = text.removesuffix(".")
    for template in _templates():
        values = template.values_of(body)
        if values is not None:
            korean = {n: _value(template.kinds[n], v, depth + 1) for n, v in values.items()}
            return template.korean.format(**korean) + text[len(body) :]
    for between, joint in _BETWEEN:
        parts = between.split(text)
        if len(parts) > 1:
            return joint.join(_said(part, depth + 1) for part in parts)
    of = _OF.fullmatch(text)
    return f"{of[1]}: {_said(of[2], depth + 1)}" if of else text


def _value(kind: str, value: str, depth: int) -> str:
    if kind == "said":
        return _said(value, depth)
    if kind == "word":
        return WORDS.get(value, value)
    if kind == "versions":
        return value.replace(" and ", ", ")
    if kind == "hooks":
        return "훅 " + value.partition(" ")[2].replace(" and ", ", ")
    if value.startswith(CONTEST):
        return f"A/B/n 테스트({value.removeprefix(CONTEST).replace(' and ', ', ')})"
    return times(value) if kind == "time" else value


@dataclass(frozen=True, slots=True)
class _Template:
    """A sentence with places for values: what stands before, between and after them, and their kinds."""

    english: str
    korean: str
    kinds: dict[str, str] = field(init=False)
    literals: list[str] = field(init=False)
    longest: str = field(init=False)

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "kinds", dict(_VALUE.findall(self.english)))
        put(self, "literals", _VALUE.split(self.english)[::3])
        put(self, "longest", max(self.literals, key=len))

    def values_of(self, text: str) -> dict[str, str] | None:
        """Return the values with which this is the text; ``None``: it is another sentence."""
        first, last = self.literals[0], self.literals[-1]
        if self.longest not in text or not (text.startswith(first) and text.endswith(last)):
            return None
        if not self.kinds:
            return {} if text == first else None
        return self._fit(text, len(first), list(self.kinds.items()), self.literals[1:], [TRIES])

    def _fit(
        self, text: str, at: int, kinds: list[tuple[str, str]], literals: list[str], tries: list[int]
    ) -> dict[str, str] | None:
        (name, kind), literal = kinds[0], literals[0]
        for end in _ends(text, at, literal, last=len(literals) == 1):
            tries[0] -= 1
            if tries[0] < 0:
                return None
            value = text[at:end]
            if not _LOOKS[kind].fullmatch(value):
                continue
            if len(literals) == 1:
                return {name: value}
            rest = self._fit(text, end + len(literal), kinds[1:], literals[1:], tries)
            if rest is not None:
                return {name: value, **rest}
        return None


def _ends(text: str, at: int, literal: str, *, last: bool) -> Iterator[int]:
    """Yield where a value that begins at ``at`` may end, the nearest first."""
    if last:
        if len(text) - len(literal) > at:
            yield len(text) - len(literal)
        return
    end = text.find(literal, at + 1)
    while end != -1:
        yield end
        end = text.find(literal, end + 1)


@lru_cache(maxsize=1)
def _templates() -> tuple[_Template, ...]:
    return tuple(_Template(english, korean) for english, korean in SENTENCES.items())
