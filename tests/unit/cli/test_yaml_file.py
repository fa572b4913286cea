"""YAML of people: bounded, with the types of YAML 1.2, and every value with its line."""

from __future__ import annotations

import time

import pytest

from serinus.cli.yaml_file import Mark, Unreadable, read_yaml, write_yaml


@pytest.fixture
def read(tmp_path):
    """Return a reader of text or bytes."""

    def reader(content):
        path = tmp_path / "policy.yaml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_yaml(path)

    return reader


def test_types_are_those_of_yaml_1_2(read):
    """No key becomes true, no version a date, no time a number of base sixty."""
    numbers = "c: [0x1F, 0o17, 12:30, 2020-01-31, .inf, -.5]"
    text = f"on: off\nyes: no\na: 010\nb: 1e3\n{numbers}\nd: ~\ne: ''\nf: True"
    assert read(text).data == {
        "on": "off",
        "yes": "no",
        "a": 10,
        "b": 1000.0,
        "c": [31, 15, "12:30", "2020-01-31", float("inf"), -0.5],
        "d": None,
        "e": "",
        "f": True,
    }


def test_every_place_has_its_line(read):
    """Values and keys; what is not there is where it should be."""
    document = read("a:\n  - b: 1\n    c: [x, y]\n")
    assert document.mark("a[0].c[1]") == Mark(3, 12)
    assert document.mark("a[0].missing") == Mark(2, 5)
    assert document.key_mark("a[0].c") == Mark(3, 5)
    assert document.mark("nowhere[3].x") == document.mark("") == Mark(1, 1)


def test_aliases_are_followed(read):
    """As long as they stay small."""
    assert read("a: &x [1, 2]\nb: *x").data == {"a": [1, 2], "b": [1, 2]}


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)
)


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3", 3, "'a' is given twice; the first is on line 1"),
        ("a: [1\nb: 2", 2, "no YAML: expected ',' or ']'"),
        ("a: b\n\tc: d", 2, "no YAML"),
        ("", None, "the file is empty"),
        ("# nothing", None, "the file is empty"),
        (b"a: 1\nb: \xff", 2, "not UTF-8"),
        (b"a: \x00", None, "no YAML"),
        ("a: &a [*a]", 1, "nested too deeply"),
        (BOMB, 1, "too many values"),
        ("[" * 10_000, None, "nested too deeply"),
        ("a: " * 60 + "b", 1, "no YAML"),
        ("x" * 300_000, None, "bigger than 256 kB"),
        ("a: 1\n---\nb: 2", 2, "no YAML"),
        ("a: !!python/object/apply:os.system [x]", 1, "is not taken here"),
        ("a: !!python/name:os.system x", 1, "is not taken here"),
        ("a: !!int x", 1, "'x' is no whole number"),
        ("a: " + "9" * 5000, 1, "is no whole number"),
        ('a: "\\ud800"', 1, "is no text"),
        ("? [a]\n: b", 1, "a key must be a text"),
    ],
)
def test_what_is_not_taken_is_told(read, content, line, words):
    """With its line where there is one, and quickly."""
    began = time.process_time()
    with pytest.raises(Unreadable) as refusal:
        read(content)
    mark, told = refusal.value.problems[0]
    assert words in told
    assert (mark and mark.line) == line
    assert time.process_time() - began < 5


def test_a_missing_file_and_a_folder(tmp_path):
    """Are told, too."""
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(Unreadable):
            read_yaml(path)


def test_what_is_written_reads_the_same(read):
    """Texts that look like something else are quoted, for older readers as well."""
    data = {"on": ["off", "1", "1e3", "~", "a: b", "ü", "x\ny"], "n": [1, 1.5, True, None]}
    assert read(write_yaml(data)).data == data
