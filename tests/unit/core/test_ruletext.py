"""What people read of rules, and what of them changed: nothing that differs is called the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rulebook import GENEROUS, PRICING, expression, model, table
from serinus.core.ruletext import CONTEXT, MOST_MATCHED, Line, changed_lines, readable, rule_changes


def test_a_decision_table_is_read_row_by_row():
    """Conditions, results, what is left open, and where it leads."""
    assert readable("zen", table()) == [
        "rules (decision table)",
        "    column Amount reads amount",
        "    column Discount reads discount",
        "    Amount > 100 → Discount = 0.1",
        "    otherwise → Discount = 0",
        "    hitPolicy: first",
        "in → rules",
        "rules → out",
    ]


def test_expressions_switches_and_functions_are_read_too():
    """Each kind of node in its own words; one that is not known as its fields."""
    assert "    r = a + 1" in readable("zen", expression("a + 1"))
    statements = [{"id": "s1", "condition": "amount > 5"}, {"id": "s2", "condition": ""}]
    switch = readable("zen", model({"type": "switchNode", "content": {"statements": statements}}))
    assert switch[1:3] == ["    [s1] when amount > 5", "    [s2] when nothing else holds"]
    function = readable("zen", model({"type": "functionNode", "content": {"source": "a\nb"}}))
    assert function[:3] == ["rules (function)", "    a", "    b"]
    strange = readable("zen", model({"type": "graphNode", "content": {"key": "other"}}))
    assert strange[:2] == ["rules (graph)", "    key: other"]


def test_a_change_is_shown_with_its_surroundings():
    """One row changed: gone and new, with line numbers of both versions."""
    changed, said = rule_changes(("starlark", PRICING), ("starlark", GENEROUS))
    assert said
    assert changed == [
        Line(kind="same", text="def decide(input):", before=1, after=1),
        Line(kind="gone", text='    return {"discount": 0.1 if input["amount"] > 100 else 0}', before=2),
        Line(kind="new", text='    return {"discount": 0.2 if input["amount"] > 100 else 0}', after=2),
    ]


def test_a_moved_node_is_a_drawing_and_still_a_difference():
    """Nothing that people read changed: the JSON says what did."""
    moved = table()
    moved["nodes"][1]["position"] = {"x": 5, "y": 7}
    changed, said = rule_changes(("zen", table()), ("zen", moved))
    assert not said
    assert any('"x": 5' in line.text for line in changed if line.kind == "new")


def test_another_engine_is_a_change():
    """The same text in another engine is not the same rules."""
    changed, _ = rule_changes(("starlark", "x"), ("other", "x"))
    assert [(c.kind, c.text) for c in changed[:2]] == [("gone", "engine: starlark"), ("new", "engine: other")]


def test_long_stretches_are_left_out_and_very_long_changes_are_not_searched():
    """A page stays short, and nobody waits for the best match."""
    before = [str(n) for n in range(50)]
    changed = changed_lines(before, [*before[:25], "x", *before[26:]])
    assert [c.kind for c in changed] == [
        "left_out",
        *["same"] * CONTEXT,
        "gone",
        "new",
        *["same"] * CONTEXT,
        "left_out",
    ]
    many = [f"a{n}" for n in range(MOST_MATCHED + 1)]
    kinds = [c.kind for c in changed_lines(many, [f"b{n}" for n in range(5)])]
    assert kinds == ["gone"] * len(many) + ["new"] * 5


lines = st.lists(st.sampled_from("abcd"), max_size=30)


@given(lines, lines)
def test_both_versions_can_be_told_from_what_is_shown(before, after):
    """Following the lines from the one version gives the other."""
    changed = changed_lines(before, after)
    assert bool(changed) == (before != after)
    rebuilt, at = [], 0
    for line in changed:
        if line.kind == "left_out":
            rebuilt += before[at : at + int(line.text)]
            at += int(line.text)
        if line.kind in ("same", "gone"):
            assert before[line.before - 1] == line.text
            at += 1
        if line.kind in ("same", "new"):
            assert after[line.after - 1] == line.text
            rebuilt.append(line.text)
    assert changed == [] or rebuilt == after


json_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(json_data, json_data)
def test_rules_that_differ_never_look_the_same(before, after):
    """Whatever an engine of somebody else keeps as its rules."""
    from serinus.core.rules import canonical

    changed, _ = rule_changes(("zen", before), ("zen", after))
    if canonical(before) != canonical(after):
        assert changed or before == after, "only a JSON text and its value may read alike"
    else:
        assert not changed
