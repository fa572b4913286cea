"""The schemas that are published take the files that we ship, and refuse what the readers refuse."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema_rs
import pytest

from serinus.cli.yaml_file import read_yaml

ROOT = Path(__file__).parents[2]
FILES = {"smoke": "examples/smoke/perfume.yaml", "guard": "examples/guard/serinus-guard.yaml"}


@pytest.mark.parametrize("name", FILES)
def test_a_schema_takes_the_example_and_no_unknown_key(name):
    """Editors say the same as the command."""
    schema = jsonschema_rs.validator_for(json.loads((ROOT / f"spec/{name}.schema.json").read_text()))
    data = read_yaml(ROOT / FILES[name]).data
    assert [str(e) for e in schema.iter_errors(data)] == []
    assert not schema.is_valid({**data, "nonsense": 1})
    assert not schema.is_valid({k: v for k, v in data.items() if k != "version"})
