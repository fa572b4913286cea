"""``serinus policy …``: check, show, explain and export what a new version is held to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from serinus.cli.common import err, out
from serinus.cli.policy_files import Loaded, Wrong, load, named
from serinus.cli.yaml_file import write_yaml
from serinus.core.policy.effective import Effective, effective
from serinus.core.policy.explain import explain as sentences
from serinus.core.policy.rules import rules_of
from serinus.core.policy.schema import policy_schema

__all__ = ["policies"]

policies = typer.Typer(no_args_is_help=True, help="What a new version is held to.")

#: Exit codes: something in a file is wrong; a file could not be read at all.
WRONG, UNREADABLE = 1, 2

FileOrPreset = Annotated[
    str, typer.Argument(metavar="FILE|PRESET", help="A policy file, or a preset's name.")
]


@policies.command()
def lint(files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Policy files.")]) -> None:
    """Tell everything that is wrong, by file, line and column; exit 0 when nothing is."""
    code = 0
    for path in files:
        try:
            loaded = load(path)
        except Wrong as wrong:
            code = max(code, WRONG if wrong.readable else UNREADABLE)
            print(wrong)
        else:
            err().print(f"[green]✔[/] {escape(str(path))}: {_size(loaded)}", soft_wrap=True)
    raise typer.Exit(code)


def _size(loaded: Loaded) -> str:
    file = loaded.file
    counts = {
        "steps": len(file.steps),
        "checks": len(file.policy.checks),
        "alerts": len(file.alerts),
        "slos": len(file.slos),
    }
    judge = ["the sequential judge"] if file.policy.judge else []
    return ", ".join([*judge, *(f"{count} {what}" for what, count in counts.items() if count)]) or "nothing"


@policies.command()
def show(policy: FileOrPreset) -> None:
    """Print the whole policy as YAML, with where each part comes from. It is a policy file itself."""
    loaded = _named(policy)
    print(_commented(effective(loaded.file, loaded.data)), end="")


def _commented(policy: Effective) -> str:
    """Write the policy with comments: at the end of a line where from, below it what is worth knowing."""
    lines: list[str] = []
    for key, value in policy.data.items():
        chunk = write_yaml({key: value}).splitlines()
        places = _places(key, chunk)
        for line, place in zip(chunk, places, strict=True):
            origin = policy.origins.get(place, "")
            lines.append(f"{line}  # {origin}" if origin else line)
            lines += [f"    # {note}" for note in policy.notes.get(place, ())]
    return "\n".join(lines) + "\n"


def _places(key: str, chunk: list[str]) -> list[str]:
    """Return what each line of a key's YAML begins; nothing for the rest."""
    places, count = [key], -1
    for line in chunk[1:]:
        if line.startswith("  - "):
            count += 1
            places.append(f"{key}[{count}]")
        elif line.startswith("  ") and not line.startswith("   ") and count < 0:
            places.append(f"{key}.{line.strip().partition(':')[0]}")
        else:
            places.append("")
    return places


@policies.command()
def explain(policy: FileOrPreset) -> None:
    """Say in plain sentences what happens when, for whoever is on call."""
    loaded = _named(policy)
    console = out()
    file = loaded.file
    base = "" if file.name == file.preset else f", on top of the preset {file.preset}"
    console.print(f"{file.name}{base}", style="bold", markup=False)
    for heading, lines in sentences(file).items():
        console.print(f"\n{heading}", style="bold", markup=False)
        for line in lines:
            console.print(f"  {line}", markup=False)


@policies.command()
def rules(file: Annotated[Path, typer.Argument(metavar="FILE", help="A policy file.")]) -> None:
    """Print Prometheus alerting rules: its alerts, its checks, and burn rates of its objectives."""
    try:
        loaded = load(file)
    except Wrong as wrong:
        _say(wrong)
        raise typer.Exit(WRONG if wrong.readable else UNREADABLE) from None
    made = rules_of(loaded.file)
    print(write_yaml(made.data), end="")
    for reason in made.left_out:
        err().print(f"left out: {reason}.", markup=False)


@policies.command()
def schema() -> None:
    """Print the JSON Schema of policy files, for editors."""
    print(json.dumps(policy_schema(), indent=2, ensure_ascii=False))


def _named(text: str) -> Loaded:
    try:
        return named(text)
    except Wrong as wrong:
        _say(wrong)
        raise typer.Exit(WRONG if wrong.readable else UNREADABLE) from None


def _say(wrong: Wrong) -> None:
    console = err()
    for problem in wrong.problems:
        console.print(str(problem), markup=False, soft_wrap=True)
