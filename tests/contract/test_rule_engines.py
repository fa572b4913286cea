"""What every rule engine and the sandbox must do: right answers, and no harm from hostile rules."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from rulebook import PRICING, expression, table
from serinus.core.errors import InvalidInput
from serinus.core.rules import digest_of
from serinus.drivers.catalog import RULES, rule_engines
from serinus.drivers.rules.sandbox.pool import WorkerPool
from serinus.ports.rules import MAX_SOURCE_BYTES, RuleRejected

SOURCES = {"zen": json.dumps(table()), "starlark": PRICING}


@pytest.fixture
async def pool():
    """Return a pool that is empty until it is used."""
    made = WorkerPool(engines=rule_engines(), size=2)
    yield made
    await made.close()


async def run(pool, engine, source, given=None):
    """Run once."""
    return await pool.run(engine, digest_of(engine, source), source, json.dumps(given or {}).encode())


def test_every_engine_of_the_catalogue_is_in_this_suite():
    """And installed with the extra ``rules``."""
    assert set(SOURCES) == set(RULES) <= set(rule_engines())


@pytest.mark.parametrize("engine", SOURCES)
async def test_the_same_input_gives_the_same_output(pool, engine):
    """In JSON, with the time that it took."""
    await pool.check(engine, SOURCES[engine])
    for amount, discount in ((200, 0.1), (100, 0), (200, 0.1)):
        outcome = await run(pool, engine, SOURCES[engine], {"amount": amount})
        assert (json.loads(outcome.output), outcome.error) == ({"discount": discount}, "")
        assert outcome.latency_ms > 0


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("x = 1 +", "Parse error"),
        ("def other(input):\n    return 1\n", "has no function decide"),
        ('load("x", "y")\ndef decide(input):\n    return 1\n', "No imports are available"),
        ("for i in range(3):\n    pass\n", "line 1"),
        ("#" * (MAX_SOURCE_BYTES + 1), "larger than 512 KiB"),
        ("def decide(input):\n    return open('/etc/passwd')\n", "`open` not found"),
    ],
)
async def test_scripts_that_cannot_be_taken_are_told_why(pool, source, says):
    """With the line where there is one."""
    with pytest.raises(RuleRejected, match=says):
        await pool.check("starlark", source)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ([], "lists `nodes` and `edges`"),
        (table(rows=[("> > 1", "0")]), "row 1: '> > 1' does not parse"),
        (table(rows=[("", "rand(6)")]), r"calls rand\(\), which is not allowed"),
        (expression("d()"), r"calls d\(\)"),
        (expression("date('now')"), r"calls date\(\)"),
        (expression("`today is ${d()}`"), r"calls d\(\)"),
        (expression("'it\\'s ' + rand(6) + 'x'"), r"calls rand\(\)"),
        (expression("(" * 5000 + "1" + ")" * 5000), "more than 100 brackets"),
        ({"nodes": [{"id": "f", "type": "functionNode"}], "edges": []}, "is a 'functionNode'"),
        (table(rows=[("> 1", '"' + "x" * 100 + '"')] * 10_000), "larger than 512 KiB"),
    ],
)
async def test_models_that_cannot_be_taken_are_told_why(pool, model, says):
    """No clock, no chance, no JavaScript, nothing that the engine would quietly ignore."""
    with pytest.raises(RuleRejected, match=says):
        await pool.check("zen", json.dumps(model))


async def test_words_in_quotes_are_no_calls(pool):
    """A text for customers may speak of dates (and times)."""
    outcome = await run(pool, "zen", json.dumps(expression('"see d (or call rand(1))"')))
    assert json.loads(outcome.output) == {"r": "see d (or call rand(1))"}


def script(*lines: str) -> tuple[str, str]:
    """Return a script whose ``decide`` has these lines."""
    return "starlark", "def decide(input):\n" + "".join(f"    {line}\n" for line in lines)


HOSTILE = {
    "an endless loop": (script("for i in range(1000000000):", "    pass"), {"time"}, "CPU"),
    "a loop in an expression": (
        ("zen", json.dumps(expression("sum(map([1..3000], sum(map([1..3000], #))))"))),
        {"time"},
        "40 ms of CPU",
    ),
    "deep recursion": (script("return decide(input)"), {"error"}, "64 levels deep"),
    "a memory bomb": (
        script("l = [0]", "for i in range(100):", "    l = l + l"),
        {"memory", "crash", "time"},
        "stopped",
    ),
    "a range for a memory": (
        ("zen", json.dumps(expression("map([1..1000000000], #)"))),
        {"memory", "crash", "time"},
        "stopped",
    ),
    "a huge output": (script("return 'x' * 1000000"), {"output"}, "at most 262144 are taken"),
    "a deep output": (
        script("l = []", "for i in range(200):", "    l = [l]", "return l"),
        {"output"},
        "nested deeper than 64",
    ),
    "a very deep output": (
        script("l = []", "for i in range(100000):", "    l = [l]", "return l"),
        {"crash", "output", "time"},
        "",
    ),
    "NaN": (script("return {'rate': float('nan')}"), {"output"}, "output.rate is nan, which JSON cannot say"),
    "infinity": (script("return [1, float('inf')]"), {"output"}, "which JSON cannot say"),
    "a function for an output": (script("return decide"), {"output"}, "no JSON value"),
    "a value within itself": (script("l = []", "l.append(l)", "return l"), {"output"}, "no JSON value"),
    "an integer without end": (script("return 1 << 70"), {"output"}, "beyond 64 bits"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_rules_are_stopped_and_others_go_on(pool, name):
    """Each is told what it did; a good rule beside it gets its answer, then and after."""
    (engine, source), kinds, says = HOSTILE[name]
    good = [run(pool, "starlark", PRICING, {"amount": 200}) for _ in range(6)]
    hostile, *others = await asyncio.gather(run(pool, engine, source), *good)
    assert hostile.kind in kinds, hostile
    assert says in hostile.error
    assert hostile.output == b""
    after = await run(pool, "starlark", PRICING, {"amount": 200})
    assert [json.loads(o.output) for o in (*others, after)] == [{"discount": 0.1}] * 7


async def test_rules_that_end_workers_again_and_again_are_not_run_any_more(pool):
    """Three times are enough; another ruleset does not wait for new workers."""
    (engine, source), *_ = HOSTILE["a loop in an expression"]
    for _ in range(3):
        assert (await run(pool, engine, source)).kind == "time"
    ended = pool.replaced
    outcome = await run(pool, engine, source)
    assert "stopped 3 times" in outcome.error
    assert pool.replaced == ended == 3


async def test_a_worker_that_is_killed_is_replaced(pool):
    """By whatever it was killed."""
    assert (await run(pool, "starlark", PRICING, {"amount": 1})).ok
    for worker in list(pool._workers):
        worker.process.kill()
        await worker.process.wait()
    for _ in range(3):
        assert (await run(pool, "starlark", PRICING, {"amount": 1})).ok


async def test_rules_that_do_not_compile_any_more_are_told_so_once(pool):
    """Stored by an older Serinus, whose engine took them: each run is refused, and nothing goes on behind."""
    outcomes = await asyncio.gather(*(run(pool, "starlark", "x = 1 +") for _ in range(5)))
    assert [o.kind for o in outcomes] == ["rejected"] * 5
    async with asyncio.timeout(5):
        while any(w.waiting for w in pool._workers):
            await asyncio.sleep(0.01)
    assert (await run(pool, "starlark", PRICING, {"amount": 1})).ok


async def test_workers_can_open_nothing_and_have_none_of_our_secrets(pool, monkeypatch):
    """Neither by an environment variable, nor by a file, nor by a socket."""
    monkeypatch.setenv("SLACK_WEBHOOK_URL", "https://hooks.example/secret")
    await pool.check("starlark", PRICING)
    for worker in pool._workers:
        process = Path(f"/proc/{worker.process.pid}")
        assert b"secret" not in (process / "environ").read_bytes()
        lines = (process / "limits").read_text().splitlines()
        limits = {line[:26].strip(): line[26:].split()[1] for line in lines if line.startswith("Max")}
        assert (limits["Max open files"], limits["Max file size"], limits["Max core file size"]) == (
            "0",
            "0",
            "0",
        )


async def test_an_unknown_engine_is_refused_with_those_that_there_are(pool):
    """By name."""
    with pytest.raises(InvalidInput, match="starlark, zen"):
        await pool.check("rhai", "")


async def test_a_thousand_programs_do_not_push_each_other_out_for_good(pool):
    """A worker forgets the oldest and is given it again when it is needed."""
    sources = [PRICING + f"# {n}\n" for n in range(140)]
    for source in (*sources, *sources[:5]):
        assert (await run(pool, "starlark", source, {"amount": 200})).ok
