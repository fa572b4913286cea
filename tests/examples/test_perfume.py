"""The perfume example: its models vote, its ranker learns, and its script walks a rollout for real."""

from __future__ import annotations

import asyncio
import importlib.util
import io
import json
import math
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from fixtures_prometheus import http
from needs import program

EXAMPLE = Path(__file__).parents[2] / "examples/perfume"


def part(name: str):
    """Import a module of the example by its path."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


brief, ranker, app = part("brief"), part("ranker"), part("app")
GOOD = {"family": "citrus", "top": "mint", "heart": "iris", "base": "musk"}


class Says:
    """A model that says what it is told."""

    name = "says"

    def __init__(self, *texts: str) -> None:
        self.texts = texts

    def draft(self, wish: str, number: int) -> str:
        """Return the text of this draft."""
        if self.texts[number % len(self.texts)] == "down":
            raise OSError
        return self.texts[number % len(self.texts)]


def ensemble(*models: tuple[float, Says]):
    """Return an ensemble of these, with their weights."""
    return brief.Ensemble(tuple(brief.Voter(model, weight) for weight, model in models))


# -- the ensemble ---------------------------------------------------------------------------------


def test_the_heavier_votes_win_field_by_field():
    """Two lighter models that agree outvote a heavier one."""
    other = {**GOOD, "base": "tonka"}
    three = ensemble(
        (0.4, Says(json.dumps(GOOD))),
        (0.3, Says(json.dumps(other))),
        (0.3, Says(json.dumps({**other, "top": "neroli"}))),
    )
    written, failures = three.write("x", "fast")
    assert (written, failures) == ({**GOOD, "base": "tonka"}, 0)


@pytest.mark.parametrize("text", ["", "[]", "{}", "not JSON", json.dumps({**GOOD, "base": "petrol"})])
def test_a_draft_that_breaks_the_schema_has_no_vote_and_is_counted(text):
    """The others decide; when none is left there is no brief."""
    good = Says(json.dumps(GOOD))
    assert ensemble((0.9, Says(text)), (0.05, good), (0.05, good)).write("x", "creative") == (GOOD, 3)
    assert ensemble((1.0, Says(text))).write("x", "fast") == (None, 1)


def test_a_model_that_does_not_answer_has_no_vote_and_breaks_no_schema():
    """An endpoint that is down is no schema failure: one of those rolls a release back."""
    assert ensemble((0.9, Says("down")), (0.1, Says(json.dumps(GOOD)))).write("x", "fast") == (GOOD, 0)


def test_the_offline_models_need_nothing_and_say_the_same_again():
    """And follow the words of the wish."""
    for mode in brief.MODES:
        one, two = (brief.ensemble_from({}).write("fresh citrus by the sea", mode) for _ in range(2))
        assert one == two
        assert (one[0]["family"], one[0]["heart"], one[1]) == ("fresh", "sea salt", 0)


async def test_any_openai_compatible_endpoint_will_do(answering):
    """Each of the three models is asked by its name, with the key."""
    said = json.dumps({"choices": [{"message": {"content": json.dumps(GOOD)}}]})
    async with answering(http(said)) as peer:
        environment = {
            "PERFUME_LLM_URL": f"{peer.url()}/v1",
            "PERFUME_LLM_KEY": "sk-test",
            "PERFUME_LLM_MODELS": "a,b,c",
        }
        written = await asyncio.to_thread(brief.ensemble_from(environment).write, "x", "fast")
    assert written == (GOOD, 0)
    assert [json.loads(r.partition("\r\n\r\n")[2])["model"] for r in peer.requests] == ["a", "b", "c"]
    assert all("POST /v1/chat/completions" in r and "Bearer sk-test" in r for r in peer.requests)


# -- the ranker -----------------------------------------------------------------------------------


def test_the_ranker_learns_what_people_like():
    """Options with much of the first feature are rated high; later it shows them first."""
    chance = random.Random(1)
    learner = ranker.Ranker(chance)

    def options():
        return [tuple(chance.random() for _ in range(ranker.FEATURES)) for _ in range(8)]

    before = [learner.probabilities(tuple(options())) for _ in range(5)]
    assert all(p == pytest.approx([1 / 8] * 8) for p in before)
    for _ in range(150):
        for index, pick in learner.pick(shown := options(), 3):
            learner.learn(pick, 2 * shown[index][0] - 1)
    tested = [options() for _ in range(200)]
    best = sum(max(o) is not None and o[learner.pick(o, 1)[0][0]][0] for o in tested) / len(tested)
    assert learner.weights[0] > 2 * max(abs(w) for w in learner.weights[1:])
    assert best > 0.65  # a draw by chance has 0.5


def test_an_update_climbs_the_clipped_objective():
    """The step is the gradient of the loss it tells, measured by small differences."""
    chance = random.Random(2)
    learner = ranker.Ranker(chance, weights=[chance.uniform(-1, 1) for _ in range(ranker.FEATURES)])
    options = tuple(tuple(chance.random() for _ in range(ranker.FEATURES)) for _ in range(5))
    pick = ranker.Pick(options, 2, math.log(learner.probabilities(options)[2]) + 0.05)
    batch = [(pick, 0.8, 0.8)]
    start, rate = list(learner.weights), ranker.LEARNING_RATE
    learner._epoch(batch)
    stepped = [(after - before) / rate for after, before in zip(learner.weights, start, strict=True)]

    def loss(k: int, by: float) -> float:
        learner.weights = [w + (by if n == k else 0) for n, w in enumerate(start)]
        return learner._epoch(batch)[0]

    measured = [-(loss(k, 1e-5) - loss(k, -1e-5)) / 2e-5 for k in range(ranker.FEATURES)]
    assert stepped == pytest.approx(measured, abs=1e-6)


@pytest.mark.parametrize(("advantage", "moves"), [(1.0, False), (-1.0, True)])
def test_beyond_the_clip_nothing_is_gained(advantage, moves):
    """A choice that is far likelier than it was earns no more, but is still unlearnt."""
    learner = ranker.Ranker(random.Random(3), weights=[3.0] + [0.0] * (ranker.FEATURES - 1))
    options = (tuple([1.0] + [0.0] * 5), tuple([0.0] * 6))
    pick = ranker.Pick(options, 0, math.log(0.5))
    before = learner.weights[0]
    _, _, clipped = learner._epoch([(pick, advantage, advantage)])
    bonus = ranker.LEARNING_RATE * ranker.ENTROPY_BONUS
    assert clipped == 1.0
    assert (abs(learner.weights[0] - before) > bonus) is moves


# -- what both versions remember -----------------------------------------------------------------


def version(name: str, role: str, file: Path | None):
    """Return one version of the service, as its script makes it."""
    learner = app.Ranker(random.Random(3))
    memory = app.Memory(file)
    models = app.ensemble_from({})
    return app.Perfumery(name, app.Metrics(role), models, learner, io.StringIO(), memory=memory)


def test_a_visit_that_began_on_the_canary_goes_on_after_its_rollback(tmp_path):
    """Wish on the canary, look on stable, rate on stable: nothing of the visit is lost, nor counted twice."""
    canary = version("v0.2.0", "canary", tmp_path / "perfumes.sqlite")
    stable = version("v0.1.0", "production", tmp_path / "perfumes.sqlite")
    dna = canary.create({"brief": "a warm rose", "mode": "fast"})[1]
    status, shown = stable.options({"dna_id": dna["id"], "mode": "fast"})
    assert (status, shown["version"], len(shown["options"])) == (200, "v0.1.0", app.SHOWN)
    rating = {"dna_id": dna["id"], "option_id": shown["options"][0]["id"], "rating": 5}
    assert stable.feedback(rating)[0] == 200
    with pytest.raises(app.Refused, match="rated already"):
        canary.feedback(rating)


def test_what_was_remembered_long_ago_is_forgotten(monkeypatch):
    """The file does not grow for ever."""
    alone = version("v0.1.0", "production", None)
    first = alone.create({"brief": "the sea", "mode": "fast"})[1]
    memory = sys.modules[type(alone.memory).__module__]
    monkeypatch.setattr(memory, "KEPT", 3)
    alone.options({"dna_id": first["id"], "mode": "fast"})
    with pytest.raises(app.Refused, match="no such DNA"):
        alone.options({"dna_id": first["id"], "mode": "fast"})


# -- the walk -------------------------------------------------------------------------------------


def walk(*options: str) -> subprocess.CompletedProcess[str]:
    """Run the example's script."""
    program("prometheus", "apt-get install prometheus")
    command = [sys.executable, str(EXAMPLE / "run"), "--stages", "50,100", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, env=os.environ)


@pytest.mark.real
@pytest.mark.timeout(120)
def test_a_good_version_is_promoted():
    """Two versions, Envoy, Prometheus, Serinus, users: contract 3's four checks pass at each stage."""
    done = walk("--seconds", "4")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    for words in (
        "Smoke tests PASSED: 9 passed",
        "p95 latency (creative)",
        "✔ schema failures: canary 0 (at most 0)",
        "✔ training loss",
        "Summary  2 of 2 stages passed; promoted",
    ):
        assert words in done.stdout


@pytest.mark.real
@pytest.mark.timeout(120)
def test_a_version_whose_models_break_the_schema_is_rolled_back():
    """One failure is enough; everyone is on production, and nobody saw an error."""
    done = walk("--seconds", "60", "--fault", "schema")
    assert done.returncode != 0, done.stdout[-3000:]
    assert "Rolled back automatically from 50 % to v0.1.0: schema failures" in done.stdout
    assert ", 0 failed, " in done.stdout
