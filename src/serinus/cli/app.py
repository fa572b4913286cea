"""The command tree; a command that is named is all that is loaded of it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any

import typer

__all__ = ["run", "tree", "typed"]

#: Where each command and each group of commands is, in the order of the help.
PLACES = {
    "up": "operate:up",
    "demo": "operate:demo",
    "watch": "operate:watch",
    "doctor": "operate:doctor",
    "simulate": "simulate:simulate",
    "login": "manage:login",
    "dashboard": "manage:dashboard",
    "judge": "judge:judge",
    "backtest": "backtest:backtest",
    "drill": "drill:drill",
    "drivers": "drivers:drivers",
    "agent": "fleet:agent",
    "version": "operate:version",
    "rollout": "rollout:app",
    "assignment": "assignment:assignments",
    "compensation": "compensation:compensation",
    "guard": "guard:guard",
    "slo": "slo:slo",
    "release": "release:release",
    "release-set": "release_set:app",
    "freeze": "freeze:app",
    "smoke": "smoke:smoke",
    "pipeline": "pipeline:pipeline",
    "weights": "weights:weights",
    "service": "manage:services",
    "ruleset": "ruleset:rulesets",
    "member": "access:members",
    "service-account": "access:accounts",
    "token": "access:tokens",
    "audit": "audit:audit",
    "secret": "vault:secrets",
    "keys": "vault:keys",
    "fleet": "fleet:fleet",
    "policy": "policy:policies",
    "notify": "notify:notify",
    "proxy": "proxy:proxy",
}


def serinus() -> None:
    """Progressive delivery for anything that has a version: a new version goes to a few users first, is
    compared with the stable one while real traffic flows, and is rolled back within seconds when it is
    worse.
    """


def tree(named: Iterable[str] = tuple(PLACES)) -> typer.Typer:
    """Return the command line with the commands that are named; all by default."""
    made = typer.Typer(
        no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False, rich_markup_mode="rich"
    )
    made.callback()(serinus)
    for name in named:
        module, _, attribute = PLACES[name].partition(":")
        part = getattr(import_module(f"serinus.cli.{module}"), attribute)
        if isinstance(part, typer.Typer):
            made.add_typer(part, name=name)
        else:
            made.command(name)(part)
    return made


def typed(words: Sequence[str]) -> typer.Typer:
    """Return what these words need. Help, completion and a slip of the pen need the whole tree."""
    return tree(words[:1] if words and words[0] in PLACES else PLACES)


def run() -> None:
    """Run the command that was typed."""
    typed(sys.argv[1:])()


def __getattr__(name: str) -> Any:
    """Give the whole tree to who asks for ``app``."""
    if name == "app":
        return tree()
    raise AttributeError(name)
