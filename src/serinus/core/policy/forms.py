"""How people write shares, times and limits: ``1 %``, ``5m``, ``800ms``. And how we write them back.

A form is put on a field's type by ``Annotated``. It reads the value, writes it, and says in JSON
Schema what it takes, so that the reader, ``policy show`` and the schema cannot differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite
from typing import Annotated, Any

from serinus.core.codec import nearest, read
from serinus.core.policy.units import plain, share_text, span

__all__ = [
    "LONGEST",
    "OFF",
    "Amount",
    "AmountForm",
    "Choice",
    "Duration",
    "EnvName",
    "Exactly",
    "Name",
    "Number",
    "OrOff",
    "Percentage",
    "Seconds",
    "Tagged",
    "Text",
    "WrittenForm",
]

#: What ``errors: off`` reads as.
OFF = False
#: Longer texts are no number of anybody.
LONGEST = 40
_PERCENT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*%\s*")
_NUMBER = r"([0-9]+(?:\.[0-9]+)?)"
_SPAN_PATTERN = r"(?=.*[0-9])\s*" + "".join(
    rf"(?:{_NUMBER}\s*{unit}\s*)?" for unit in ("d", "h", "m(?!s)", "s", "ms")
)
_SPAN = re.compile(_SPAN_PATTERN)
_UNITS = (Decimal(86400), Decimal(3600), Decimal(60), Decimal(1), Decimal("0.001"))
_AMOUNTS = {"%": (Decimal("0.01"), "%"), "ms": (Decimal(1), "ms"), "s": (Decimal(1000), "ms")}
_AMOUNT = re.compile(rf"\s*{_NUMBER}\s*(%|ms|s)\s*")
#: Nobody waits longer; and a longer time overflows what clocks count in.
MOST_SECONDS = 3653 * 86400


class WrittenForm:
    """What every form of a policy can do. A form reads one value and raises ``ValueError``."""

    def read(self, data: Any, where: str, problems: dict[str, str]) -> Any:  # noqa: ARG002
        """Return the value that ``data`` means."""
        return self.value(data)

    def value(self, data: Any) -> Any:
        """Return the value that ``data`` means, for a form that needs nothing else."""
        raise NotImplementedError

    def show(self, value: Any) -> Any:
        """Return ``value`` as a person would write it."""
        return value

    def schema(self, of: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:  # noqa: ARG002
        """Return what is taken, in JSON Schema; ``of`` gives another type's."""
        return self.shape()

    def shape(self) -> dict[str, Any]:
        """Return what is taken, for a form that needs no other type's."""
        raise NotImplementedError


@dataclass(frozen=True)
class Percentage(WrittenForm):
    """A share: ``1 %``, ``1%`` or ``0.01``. Read as 0.01."""

    low: float = 0.0
    high: float | None = 1.0
    #: The bounds themselves are refused too.
    inside: bool = False
    #: No finer than this.
    step: str = ""

    def value(self, data: Any) -> float:
        """Take a text with a percent sign, or a number below 1."""
        value = self._number(data)
        low = value <= self.low if self.inside else value < self.low
        high = self.high is not None and (value >= self.high if self.inside else value > self.high)
        if low or high:
            raise ValueError(f"{share_text(value)} is outside {self._range()}")
        if self.step and Decimal(repr(value)) % Decimal(self.step):
            raise ValueError(f"{share_text(value)} is finer than {share_text(float(self.step))}")
        return value

    def _number(self, data: Any) -> float:
        if isinstance(data, str) and len(data) <= LONGEST:
            found = _PERCENT.fullmatch(data)
            if found:
                return float(Decimal(found[1]) / 100)
        number = _finite(data)
        if number is None or number < 0:
            raise ValueError("expected a share like `1 %` or 0.01")
        if number >= 1:
            raise ValueError(f"{number:g} could mean {number:g} % or {number * 100:g} %: write the % sign")
        return number

    def _range(self) -> str:
        if self.high is None:
            return f"{share_text(self.low)} and more"
        return f"{share_text(self.low)} to {share_text(self.high)}"

    def show(self, value: Any) -> Any:
        """Write it with the percent sign, unless that takes more digits than are read."""
        text = share_text(value)
        return text if len(text) <= LONGEST else value

    def shape(self) -> dict[str, Any]:
        """Take both ways."""
        text = {"type": "string", "pattern": _whole(_PERCENT.pattern)}
        number = {"type": "number", "minimum": self.low, "exclusiveMaximum": 1}
        return {"anyOf": [text, number]}


@dataclass(frozen=True)
class Duration(WrittenForm):
    """A time: ``90s``, ``5m``, ``1h30m``, ``500ms``, or seconds. Read as seconds."""

    #: Zero is refused.
    above_zero: bool = False

    def value(self, data: Any) -> float:
        """Take a text with units, or a number of seconds."""
        seconds = _finite(data)
        if isinstance(data, str) and len(data) <= LONGEST:
            found = _SPAN.fullmatch(data)
            if found:
                parts = zip(found.groups(), _UNITS, strict=True)
                seconds = float(sum((Decimal(n) * unit for n, unit in parts if n), Decimal(0)))
        if seconds is None:
            raise ValueError("expected a time like 90s, 5m or 1h30m, or a number of seconds")
        if seconds < 0 or (self.above_zero and seconds == 0):
            raise ValueError(f"a time of {seconds:g} s makes no sense here")
        if seconds > MOST_SECONDS:
            raise ValueError("that is more than ten years")
        return seconds

    def show(self, value: Any) -> Any:
        """Write it with units, unless that takes more digits than are read."""
        text = span(value)
        return text if len(text) <= LONGEST else value

    def shape(self) -> dict[str, Any]:
        """Take both ways."""
        number = {"type": "number", "exclusiveMinimum" if self.above_zero else "minimum": 0}
        return {"anyOf": [{"type": "string", "pattern": _whole(_SPAN_PATTERN)}, number]}


@dataclass(frozen=True)
class Number(WrittenForm):
    """A number within bounds."""

    low: float = 0.0
    whole: bool = False

    def value(self, data: Any) -> float:
        """Take a number."""
        value = _finite(data)
        if value is None or (self.whole and not isinstance(data, int)):
            raise ValueError(f"expected a {'whole ' if self.whole else ''}number")
        if value < self.low:
            raise ValueError(f"{value:g} is below {self.low:g}")
        return data if self.whole else value

    def show(self, value: Any) -> Any:
        """Write it without needless decimals."""
        return plain(value)

    def shape(self) -> dict[str, Any]:
        """Take a number."""
        return {"type": "integer" if self.whole else "number", "minimum": plain(self.low)}


@dataclass(frozen=True)
class Amount:
    """A limit as it was written: the number, and ``%`` (already divided), ``ms`` or nothing."""

    value: float
    unit: str = ""


class AmountForm(WrittenForm):
    """A limit: ``2500``, ``0.5 %``, ``800ms`` or ``2.5s``."""

    def value(self, data: Any) -> Amount:
        """Take a number, or a text with a unit."""
        found = _AMOUNT.fullmatch(data) if isinstance(data, str) and len(data) <= LONGEST else None
        if found:
            factor, unit = _AMOUNTS[found[2]]
            return Amount(float(Decimal(found[1]) * factor), unit)
        number = _finite(data)
        if number is None:
            raise ValueError("expected a number, or one like `0.5 %`, 800ms or 2.5s")
        return Amount(number)

    def shape(self) -> dict[str, Any]:
        """Take both ways."""
        return {"anyOf": [{"type": "number"}, {"type": "string", "pattern": _whole(_AMOUNT.pattern)}]}


@dataclass(frozen=True)
class Text(WrittenForm):
    """A text of a shape. What does not fit is not repeated: it may be a secret."""

    pattern: str
    #: What is said about one that does not fit.
    words: str
    longest: int = 200

    def value(self, data: Any) -> str:
        """Take a text."""
        if not isinstance(data, str):
            raise ValueError("expected a text")  # noqa: TRY004 (forms speak in ValueErrors)
        if len(data) > self.longest:
            raise ValueError(f"longer than {self.longest} characters")
        if not re.fullmatch(self.pattern, data, re.DOTALL):
            raise ValueError(self.words)
        return data

    def shape(self) -> dict[str, Any]:
        """Take a text."""
        return {"type": "string", "pattern": _whole(self.pattern), "maxLength": self.longest}


@dataclass(frozen=True)
class Exactly(WrittenForm):
    """One value and no other."""

    only: Any
    words: str

    def value(self, data: Any) -> Any:
        """Take it."""
        if data != self.only or isinstance(data, bool) != isinstance(self.only, bool):
            raise ValueError(self.words)
        return data

    def shape(self) -> dict[str, Any]:
        """Take it."""
        return {"const": self.only}


@dataclass(frozen=True)
class Choice(WrittenForm):
    """One of some names."""

    what: str
    names: tuple[str, ...]

    def value(self, data: Any) -> str:
        """Take a name."""
        if isinstance(data, str) and data in self.names:
            return data
        hint = nearest(data, self.names) if isinstance(data, str) else ""
        shown = repr(data[:60]) if isinstance(data, str) else "like that"
        raise ValueError(f"there is no {self.what} {shown}; use one of: {', '.join(self.names)}{hint}")

    def shape(self) -> dict[str, Any]:
        """Take a name."""
        return {"enum": list(self.names)}


@dataclass(frozen=True)
class OrOff(WrittenForm):
    """A part that may be switched off: its keys, or ``off``."""

    kind: type

    def read(self, data: Any, where: str, problems: dict[str, str]) -> Any:
        """Take the keys, ``off`` or ``false``."""
        return OFF if data is False or data == "off" else read(self.kind, data, where, problems)

    def schema(self, of: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Take all of them."""
        return {"anyOf": [of(self.kind), {"enum": ["off", False]}]}


@dataclass(frozen=True)
class Tagged(WrittenForm):
    """One of several shapes, told apart by one key."""

    key: str
    kinds: Mapping[str, type]

    def read(self, data: Any, where: str, problems: dict[str, str]) -> Any:
        """Take the shape that the key names."""
        if not isinstance(data, Mapping):
            raise ValueError("expected an object")  # noqa: TRY004
        tag = data.get(self.key)
        kind = self.kinds.get(tag) if isinstance(tag, str) else None
        if kind is None:
            known = ", ".join(self.kinds)
            hint = nearest(tag, self.kinds) if isinstance(tag, str) else ""
            raise ValueError(f"{self.key} must be one of: {known}{hint}")
        return read(kind, data, where, problems)

    def schema(self, of: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Take any of them."""
        return {"oneOf": [of(kind) for kind in self.kinds.values()]}


EnvName = Annotated[
    str,
    Text(
        r"[A-Za-z_][A-Za-z0-9_]*",
        "expected the name of an environment variable; the secret itself does not belong here",
    ),
]
Name = Annotated[str, Text(r"(?=.*\S)[^\x00-\x1f\x7f]+", "expected a name, on one line")]
Seconds = Annotated[float, Duration()]


def _finite(data: Any) -> float | None:
    if isinstance(data, bool) or not isinstance(data, int | float):
        return None
    try:
        return float(data) if isfinite(data) else None
    except OverflowError:
        return None


def _whole(pattern: str) -> str:
    return f"^(?:{pattern})$"
