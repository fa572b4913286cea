"""Every strategy that docs/strategies.md shows is one."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from serinus.cli.strategy_files import strategy_of
from serinus.core.model import CanaryConfig
from serinus.core.policy.strategies import _StrategyInput, strategy_from

PAGE = (Path(__file__).parents[2] / "docs/strategies.md").read_text()
#: Documented where they have always been.
ELSEWHERE = {"salt", "stickiness"}


def test_every_strategy_on_the_page_is_taken(tmp_path):
    """As a file, and as the API takes it."""
    shown = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert len(shown) == 7
    for text in shown:
        (tmp_path / "strategy.yaml").write_text(text)
        strategy_from(strategy_of(tmp_path / "strategy.yaml"), CanaryConfig())


def test_every_key_is_on_the_page():
    """None is left to be found out."""
    keys = {f.name for f in fields(_StrategyInput)} - ELSEWHERE
    assert [key for key in sorted(keys) if not re.search(rf"\b{key}\b", PAGE)] == []
