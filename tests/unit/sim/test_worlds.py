"""World files: what ships, and what happens to a typo."""

from __future__ import annotations

import pytest

from serinus.core.codec import to_json
from serinus.core.errors import InvalidInput, NotFound
from serinus.sim.library import Set, find_worlds, shipped, worlds_from
from serinus.sim.world import Kind


def test_the_tuned_set_has_nineteen_healthy_and_twenty_nine_faulty_worlds():
    """As decided; and no two worlds of any set share a name."""
    kinds = [world.kind for world in shipped(Set.TUNED)]
    assert (kinds.count(Kind.HEALTHY), kinds.count(Kind.FAULTY)) == (19, 29)
    names = [world.name for world in shipped(Set.ALL)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("world", shipped(Set.ALL), ids=lambda w: w.name)
def test_a_shipped_world_survives_writing_and_reading(world):
    """What `--list --json` prints can be edited and given back."""
    assert worlds_from(to_json(world), "here") == (world,)
    assert world.title.endswith(".")


def test_a_world_file_with_a_typo_names_the_nearest_key(tmp_path):
    """Instead of ignoring what the user meant."""
    file = tmp_path / "mine.yaml"
    file.write_text("{name: mine, title: Mine., holes: {mising: 0.2}}")
    with pytest.raises(InvalidInput) as caught:
        find_worlds([str(file)])
    assert "holes.mising" in caught.value.detail
    assert "did you mean 'missing'?" in caught.value.detail


def test_worlds_come_from_json_files_too(tmp_path):
    """One world, or a list."""
    file = tmp_path / "mine.json"
    file.write_text('[{"name": "mine", "title": "Mine.", "rate": 7}]')
    assert [world.rate for world in find_worlds([str(file), "drift"])] == [7, 200]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"steps": [[5, 900], [1, 900]]}, "must rise"),
        ({"steps": [[5]]}, "[percent, seconds]"),
        ({"steps": [[5, 1]]}, "at least 10 seconds"),
        ({"rate": 0}, "rate must be above 0"),
        ({"latency": {"sigma": 0}}, "latency.sigma"),
        ({"buckets_ms": [10, 5]}, "buckets_ms must rise"),
        ({"kind": "faulty"}, "needs a fault"),
        ({"kind": "faulty", "fault": {"outage": True, "endpoint": "/x"}}, "fault.endpoint is '/x'"),
        ({"endpoints": [{"name": "a", "share": 1}, {"name": "a", "share": 1}]}, "different names"),
    ],
)
def test_a_senseless_world_is_refused(wrong, says):
    """With what is wrong about it."""
    with pytest.raises(InvalidInput) as caught:
        worlds_from({"name": "mine", "title": "Mine.", **wrong}, "here")
    assert says in caught.value.detail


def test_an_unknown_world_offers_the_nearest():
    """Neither a shipped one nor a file."""
    with pytest.raises(NotFound) as caught:
        find_worlds(["errors-x22"])
    assert caught.value.next_step == "Did you mean 'errors-x2'?"
