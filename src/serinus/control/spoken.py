"""What is said in English, said in the reader's language: chosen where it is read, never where it is kept.

The core, and what is stored, speak English; each sentence is made from a template and values. Here the
template is known by its sentence, and its values are put into the reader's one. What no template fits,
such as a reason that a person gave, stays as it is: so does every sentence of an older version.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from serinus.control.spoken_korean import SENTENCES, TIMES, WORDS

__all__ = ["spoken", "times"]

#: How a value of a template looks; what kind it is, is written behind its name: ``{why:said}``.
_LOOKS = {
    "": r"(?:(?!\. |; ).)+?",  # within one clause
    "free": ".+?",
    "said": ".+?",
    "word": "[^;:()]+?",
    "n": r"[\d,.]+",
    "value": r"[-+\d,.e]+",
    "share": r"[\d,.]+ %",
    "time": r"[\d,.]+ (?:ms|s|min|h|d)(?: \d+ (?:s|min|h))?",
    "versions": r"[^;:]+?",
}
_VALUE = re.compile(r"{(\w+)(?::(\w+))?}")
#: Between what is said together, from the outside in: sentences, and clauses.
_BETWEEN = (re.compile(r"(?<=\.) (?=\S)"), re.compile("; "))


def spoken(text: str, language: str) -> str:
    """Return a sentence of the core in a language; what is not known in it stays English.

    >>> spoken("Paused at 10 %. Automatic rollback stays on.", "ko")
    '10 %에서 일시 중지되었습니다. 자동 롤백은 켜져 있습니다.'
    >>> spoken("Rolled back from 25 % to v1: orders are lost", "ko")
    '25 %에서 v1(으)로 롤백: orders are lost'
    """
    return _korean(text) if language == "ko" else text


def times(text: str) -> str:
    """Return a text with its durations in Korean.

    >>> times("1 h 30 min")
    '1시간 30분'
    """
    return re.sub(r"([\d.,]+)[ \u00a0](min|s|h|d)\b", lambda m: f"{m[1]}{TIMES[m[2]]}", text)


@lru_cache(maxsize=4096)
def _korean(text: str) -> str:
    body = text.removesuffix(".")
    for english, kinds, korean, anchor in _templates():
        if anchor not in body:
            continue
        if found := english.fullmatch(body):
            values = {name: _value(kinds[name], value) for name, value in found.groupdict().items()}
            return korean.format(**values) + text[len(body) :]
    for between in _BETWEEN:
        parts = between.split(text)
        if len(parts) > 1:
            return (" " if between is _BETWEEN[0] else "; ").join(_korean(part) for part in parts)
    return text


def _value(kind: str, value: str) -> str:
    if kind == "said":
        return _korean(value)
    if kind == "word":
        return WORDS.get(value, value)
    if kind == "versions":
        return value.replace(" and ", ", ")
    return times(value) if kind == "time" else value


@lru_cache(maxsize=1)
def _templates() -> tuple[tuple[re.Pattern[str], dict[str, str], str, str], ...]:
    """Return each template as a pattern, its values' kinds, its Korean, and a text that is surely in it."""
    return tuple(_compiled(SENTENCES.items()))


def _compiled(
    sentences: Iterable[tuple[str, str]],
) -> Iterable[tuple[re.Pattern[str], dict[str, str], str, str]]:
    for english, korean in sentences:
        kinds = {name: kind or "" for name, kind in _VALUE.findall(english)}
        literals = _VALUE.split(english)[::3]
        pattern = re.escape(literals[0])
        for (name, kind), literal in zip(kinds.items(), literals[1:], strict=True):
            pattern += f"(?P<{name}>{_LOOKS[kind]}){re.escape(literal)}"
        yield re.compile(pattern, re.DOTALL), kinds, korean, max(literals, key=len)
