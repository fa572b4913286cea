"""Every file that docs/release-sets.md shows is one, every key is on it, and its commands run."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from pathlib import Path

import yaml

from serinus.core.policy.release_sets import _MemberInput, _SetInput, _WaveInput, release_set_from

PAGE = (Path(__file__).parents[2] / "docs/release-sets.md").read_text()


def commands(verb: str) -> list[list[str]]:
    """Return the page's commands of one verb, as words."""
    shown = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL))
    return [shlex.split(line)[1:] for line in shown.splitlines() if line.startswith(f"serinus {verb} ")]


def test_every_file_on_the_page_is_taken():
    """A set of two stages, and waves over four regions."""
    shown = [
        release_set_from(yaml.safe_load(text)) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    ]
    assert [[len(stage.members) for stage in one.stages] for one in shown] == [[2, 1], [1, 2, 1]]
    assert shown[1].stages[1].name == "Europe and America"
    assert shown[1].members[0].addresses == ("10.1.0.7:8080",)


def test_every_key_is_on_the_page():
    """None is left to be found out."""
    keys = {f.name for kind in (_SetInput, _MemberInput, _WaveInput) for f in fields(kind)}
    assert [key for key in sorted(keys) if not re.search(rf"\b{key}\b", PAGE)] == []


def test_the_commands_on_the_page_exist(tools):
    """Those of freezes run; those of a set are known with their options."""
    for words in commands("freeze"):
        tools(*words)
    for name in ("weekend", "nights"):
        tools("freeze", "remove", name)
    asked = commands("release-set")
    assert len(asked) == 7
    for words in asked:
        said = tools(*words[:2], "--help")
        assert all(word in said for word in words if word.startswith("--"))
