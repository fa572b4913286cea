"""Step-by-step output of the tools: one line per step with its tick, kept for ``--json`` as well."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape

__all__ = ["Steps"]

#: Only what passed has a tick; what was left out is no pass.
SIGNS = {"passed": ("✔", "green"), "failed": ("✘", "red"), "skipped": ("–", "dim"), "note": ("·", "dim")}


@dataclass(kw_only=True)
class Steps:
    """Prints steps as they happen."""

    console: Console
    width: int = 11
    taken: list[dict[str, Any]] = field(default_factory=list)

    def say(self, name: str, outcome: str, text: str, **data: Any) -> None:
        """Print a step. ``outcome`` is passed, failed, skipped or note."""
        sign, colour = SIGNS[outcome]
        self.taken.append({"step": name, "outcome": outcome, "message": text, **data})
        shown = f"[dim]{escape(text)}[/]" if outcome in ("skipped", "note") else escape(text)
        self.console.print(f"  {name:<{self.width}} [{colour}]{sign}[/] {shown}")

    def passed(self, name: str, text: str, **data: Any) -> None:
        """Print a step that went as it should."""
        self.say(name, "passed", text, **data)

    def failed(self, name: str, text: str, **data: Any) -> None:
        """Print a step that did not."""
        self.say(name, "failed", text, **data)

    @property
    def ok(self) -> bool:
        """Tell whether nothing failed."""
        return all(step["outcome"] != "failed" for step in self.taken)
