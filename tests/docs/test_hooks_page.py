"""What docs/hooks.md and docs/infrastructure.md show is so."""

from __future__ import annotations

import json
import re
import subprocess
import time
from dataclasses import fields
from pathlib import Path

from typer.testing import CliRunner

from fixtures_hooks import SECRET
from serinus.bootstrap.build import build
from serinus.cli.app import app
from serinus.cli.planning import hooks_of
from serinus.control.hooks import hook_item
from serinus.core.decision import Intent, IntentKind
from serinus.core.hooks import Hook, OnNo, OnTimeout, Phase
from serinus.core.model import CanaryConfig, Strategy
from serinus.core.policy.parse import strategy_from
from serinus.drivers.hooks.command import PASSED, Command
from serinus.drivers.hooks.webhook import key_of, signed
from serinus.ports.hooks import HookCall
from serinus.settings import Settings
from stories import draft

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/hooks.md").read_text()


def block(kind: str) -> str:
    """Return the page's block of a kind."""
    return re.search(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)[1]


def test_the_hooks_of_the_page_are_read(tmp_path):
    """By the option that the page names."""
    path = tmp_path / "hooks.yaml"
    path.write_text(block("yaml"))
    made = strategy_from({"hooks": hooks_of(path)}, CanaryConfig()).hooks
    assert [(h.name, h.phase) for h in made] == [
        ("warm-up", Phase.CONFIRM_ROLLOUT),
        ("qa", Phase.CONFIRM_PROMOTION),
        ("ticket", Phase.POST_ROLLBACK),
    ]
    assert (made[1].on_no, made[1].on_timeout) == (OnNo.HOLD, OnTimeout.ROLLBACK)
    assert "--hooks" in CliRunner().invoke(app, ["rollout", "run", "--help"], env={"COLUMNS": "200"}).output


def test_a_file_without_hooks_is_refused_with_words(tmp_path):
    """Before anything is sent."""
    path = tmp_path / "hooks.yaml"
    for text in ("[]", "hooks: qa", "{"):
        path.write_text(text)
        command = ["rollout", "run", "--service", "x", "--version", "v2", "--hooks", str(path)]
        environment = {"SERINUS_URL": "http://127.0.0.1:1", "SERINUS_TOKEN": "t"}
        done = CliRunner().invoke(app, command, env=environment)
        assert done.exit_code == 2, done.output
        assert str(path) in done.output.replace("\n", "")


def test_the_receiver_of_the_page_knows_our_messages_from_forged_ones():
    """And old ones from fresh ones."""
    space: dict = {}
    exec(compile(block("python"), "docs/hooks.md", "exec"), space)
    body, now = block("json").encode(), time.time()
    headers = signed(key_of(SECRET), "dep_1.7.qa", int(now), body)
    assert space["is_ours"](SECRET, headers, body, now)
    assert not space["is_ours"](SECRET, headers, body + b" ", now)
    assert not space["is_ours"](SECRET, headers, body, now + 301)
    assert not space["is_ours"](SECRET, {**headers, "webhook-id": "other"}, body, now)


def test_the_message_of_the_page_has_the_keys_of_a_real_one(tmp_path):
    """No more and no less."""
    hook = Hook(name="qa", phase=Phase.CONFIRM_PROMOTION, command="qa")
    intent = Intent(kind=IntentKind.HOOK, topic=hook.phase.value, data={"hook": "qa"})
    context = build(Settings(data_dir=tmp_path)).plane.context
    real = hook_item(context, draft(strategy=Strategy(hooks=(hook,))), intent, "x").payload["body"]
    shown = json.loads(block("json"))
    assert (set(real), set(real["data"])) == (set(shown), set(shown["data"]))
    assert real["type"] == shown["type"]


async def test_the_command_of_the_page_runs_with_the_variables_of_the_page(tmp_path):
    """It says what it does in its first line."""
    script = tmp_path / "warm-up"
    script.write_text(block("sh"))
    script.chmod(0o755)
    body = json.loads(block("json"))
    hook = Hook(name="warm-up", phase=Phase.CONFIRM_ROLLOUT, command="warm-up")
    call = HookCall(id="x", hook=hook, at=0, body=body)
    reply = await Command([str(script)], seconds=10, environment={}).call(call)
    assert (reply.said.value, reply.words) == ("yes", "warming checkout v2 before 100.0 %")
    shown = tmp_path / "shown"
    shown.write_text("#!/bin/sh\nenv | grep ^SERINUS_ | cut -d= -f1 | sort | tr '\\n' ' '\n")
    shown.chmod(0o755)
    reply = await Command([str(shown)], seconds=10, environment={}).call(call)
    assert set(reply.words.split()) == {
        n
        for n in re.findall(r"SERINUS_[A-Z_]+[A-Z]", PAGE.partition("## Commands")[2])
        if "COMMANDS" not in n
    }


def test_every_setting_and_phase_is_documented():
    """And none that does not exist any more."""
    settings = PAGE[PAGE.index("| `name` |") :].partition("\n\n")[0]
    named = set(re.findall(r"`(\w+)`", "\n".join(row.split("|")[1] for row in settings.splitlines())))
    assert named == {f.name for f in fields(Hook)}
    phases = PAGE[PAGE.index("| `confirm-rollout` |") :].partition("\n\n")[0]
    assert set(re.findall(r"^\| `([\w-]+)`", phases, re.MULTILINE)) == {p.value for p in Phase}
    for name in PASSED:
        assert f"`{name}`" in PAGE


def test_the_page_on_infrastructure_names_what_is_there():
    """Every service of the compose file, and every option of the script."""
    page = (ROOT / "docs/infrastructure.md").read_text()
    compose = (ROOT / "deploy/compose/compose.yaml").read_text().partition("services:")[2]
    for service in re.findall(r"^  ([\w-]+):$", compose.partition("\nvolumes:")[0], re.MULTILINE):
        assert f"`{service}`" in page, service
    done = subprocess.run(
        [ROOT / "examples/perfume/run", "--help"], capture_output=True, text=True, check=True
    )
    for option in re.findall(r"--(?:fault|stages|seconds)", page):
        assert option in done.stdout
