"""What a hook's answer means, for webhooks and commands; and what keeps either from doing harm."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest
import uvloop

from fixtures_hooks import SECRET, webhook
from fixtures_prometheus import http
from serinus.bootstrap.hooks import Hooks
from serinus.core.errors import InvalidInput
from serinus.core.hooks import Hook, Phase, Said
from serinus.drivers.hooks.command import Command
from serinus.drivers.hooks.webhook import Webhook, key_of, signed
from serinus.ports.hooks import HookCall
from serinus.settings import Settings

BODY = {
    "type": "serinus.confirm-promotion",
    "timestamp": "2026-01-31T12:00:00.000Z",
    "data": {
        "hook": "qa",
        "phase": "confirm-promotion",
        "deployment_id": "dep_1",
        "service": "checkout",
        "version": "v2",
        "stable_version": "v1",
        "traffic_percentage": 50.0,
        "to_percentage": 100.0,
        "sentence": "ü",
    },
}


def call(**more) -> HookCall:
    """Return a call of a hook."""
    hook = Hook(name="qa", phase=Phase.CONFIRM_PROMOTION, **more)
    return HookCall(id="dep_1.7.qa", hook=hook, at=1614265330, body=BODY)


def python(code: str) -> list[str]:
    """Return a command that runs this."""
    return [sys.executable, "-c", code]


def run(code: str, seconds: float = 20, environment=os.environ):
    """Run a command hook once."""
    return asyncio.run(Command(python(code), seconds=seconds, environment=environment).call(call()))


# -- webhooks -------------------------------------------------------------------------------------


def test_the_signature_is_the_one_of_the_specification():
    """Its own example: computed by others, not by us."""
    headers = signed(key_of(SECRET), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("answer", "said", "words"),
    [
        (http(""), Said.YES, ""),
        (http("\n\n  all 12 checks pass  \nmore"), Said.YES, "all 12 checks pass"),
        (http('{"message": "no decision"}'), Said.YES, '{"message": "no decision"}'),
        (http('{"decision": "yes", "message": "fine"}'), Said.YES, "fine"),
        (http('{"decision": "no", "message": "3 orders\\nwere lost"}'), Said.NO, "3 orders"),
        (http('{"decision": "wait"}'), Said.NOTHING, ""),
        (
            http('{"decision": "maybe"}'),
            Said.NOTHING,
            "its decision is 'maybe', which is none of yes, no, wait",
        ),
        (http("not open yet", "403 Forbidden"), Said.NOTHING, "HTTP 403 not open yet"),
        (http("", "302 Found", more="location: http://127.0.0.1:1/\r\n"), Said.NOTHING, "HTTP 302"),
        (http("oh", "500 Internal Server Error"), Said.NOTHING, "HTTP 500 oh"),
        (http("x" * 100_000), Said.NOTHING, "the answer is over 64000 bytes: ask for less"),
        (http("half", length=100), Said.NOTHING, "half an answer: the connection broke off"),
        (http(f"your secret is {SECRET}"), Said.YES, "your secret is …"),
    ],
)
async def test_what_an_answer_means(answering, answer, said, words):
    """2xx says yes unless its JSON decides otherwise; everything else is no answer, never a no."""
    async with answering(answer) as peer:
        hook = Webhook(f"{peer.url()}/gate?x=1", SECRET, allow_hosts=["127.0.0.1"])
        reply = await hook.call(call())
        await hook.close()
    assert (reply.said, reply.words.strip()) == (said, words)
    assert len(peer.requests) == 1


async def test_nobody_answers_and_nothing_is_forever():
    """Refused, unknown and hanging hosts are no answer, within the time of a try."""

    async def hang(*_):
        await asyncio.sleep(30)

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    hook = Webhook(f"http://127.0.0.1:{port}", SECRET, allow_hosts=["127.0.0.1"], timeout_seconds=0.2)
    assert (await hook.call(call())).words == "timed out after 0.2 s"
    server.close()
    await hook.close()
    hook = Webhook("http://127.0.0.1:1", SECRET, allow_hosts=["127.0.0.1"])
    assert (await hook.call(call())).words == "connection refused: is it running?"
    await hook.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "10.0.0.8", "169.254.169.254"])
async def test_a_webhook_is_no_way_into_the_private_network(host):
    """The same guard as a metric source's; the operator's list opens it."""
    hook = Webhook(f"http://{host}:1/latest/meta-data", SECRET)
    reply = await hook.call(call())
    await hook.close()
    assert reply.said is Said.NOTHING
    assert "a private address: list it in SERINUS_HOOK_HOSTS" in reply.words
    assert "meta-data" not in repr(hook)


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_ü"]
)
def test_a_secret_that_signs_nothing_is_refused_and_not_repeated(secret):
    """Short keys and passwords are no keys."""
    with pytest.raises(InvalidInput) as refusal:
        key_of(secret)
    assert refusal.value.field == "secret_env"
    assert not secret or secret not in f"{refusal.value.detail}" or secret == "whsec_"


# -- commands -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "said", "words"),
    [
        ("print('12 of 12 pass'); print('more')", Said.YES, "12 of 12 pass"),
        ("import sys; print('3 lost'); sys.exit(1)", Said.NO, "3 lost"),
        ("import sys; sys.exit(2)", Said.NO, "exit code 2"),
        ("import sys; sys.exit(75)", Said.NOTHING, "asked to be called again"),
        ("import sys; sys.exit(127)", Said.NOTHING, "ended by exit code 127"),
        ("import os; os.kill(os.getpid(), 9)", Said.NOTHING, "ended by signal 9"),
        ("print('x' * 10_000_000)", Said.YES, "x" * 199 + "…"),
    ],
)
def test_what_an_exit_code_means(code, said, words):
    """0 is yes, 75 is later, a crash is no answer, any other is no."""
    reply = run(code)
    assert (reply.said, reply.words) == (said, words)


def test_a_command_that_has_ended_before_it_was_told_anything_has_answered_all_the_same(monkeypatch):
    """On the loop that the server runs on, which says it in its own way: the exit code counts."""
    spawn = asyncio.create_subprocess_exec

    async def late(*arguments, **options):
        process = await spawn(*arguments, **options)
        await process.wait()
        await asyncio.sleep(0.05)
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", late)
    command = Command(python("print('done')"), seconds=20, environment=os.environ)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        reply = runner.run(command.call(call()))
    assert (reply.said, reply.words) == (Said.YES, "done")


def test_a_command_gets_the_message_and_none_of_our_secrets():
    """On its standard input and in variables; of our environment only what is harmless."""
    code = (
        "import json, os, sys; d = json.load(sys.stdin)['data']; "
        "print(d['version'], os.environ['SERINUS_PHASE'], os.environ['SERINUS_TRAFFIC_PERCENTAGE'], "
        "os.environ['SERINUS_WEBHOOK_ID'], 'DATABASE_URL' in os.environ, 'SERINUS_HOOK_SECRET' in os.environ)"
    )
    environment = {**os.environ, "DATABASE_URL": "postgresql://u:p@h/d", "SERINUS_HOOK_SECRET": SECRET}
    reply = run(code, environment=environment)
    assert reply.words == "v2 confirm-promotion 50.0 dep_1.7.qa False False"


def test_a_command_that_hangs_is_killed_with_its_children(tmp_path):
    """It is no answer; nothing of it is left."""
    mark = tmp_path / "child"
    code = (
        "import subprocess, sys, time; "
        "c = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
        f"open({str(mark)!r}, 'w').write(str(c.pid)); time.sleep(60)"
    )
    reply = run(code, seconds=1.5)
    assert (reply.said, reply.words) == (Said.NOTHING, "killed after 1.5 s")
    until = time.monotonic() + 5
    while alive(int(mark.read_text())) and time.monotonic() < until:
        time.sleep(0.02)
    assert not alive(int(mark.read_text()))


def alive(pid: int) -> bool:
    """Tell whether a process runs (one that has ended and waits to be collected does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_program_that_is_not_there_is_no_answer():
    """Its operator has to see it, and nothing is rolled back for it."""
    reply = asyncio.run(Command(["/nowhere/qa"], seconds=5, environment={}).call(call()))
    assert (reply.said, reply.words) == (Said.NOTHING, "cannot be started: No such file or directory")


# -- what a deployment may name -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hook", "field", "words"),
    [
        ({"command": "rm"}, "command", "The server allows no command 'rm'."),
        ({"url": "https://x.example", "secret_env": "DATABASE_URL"}, "secret_env", "DATABASE_URL"),
        (
            {"url": "https://x.example", "secret_env": "SERINUS_HOOK_HOSTS"},
            "secret_env",
            "names the variable",
        ),
        ({"url": "https://x.example", "secret_env": "SERINUS_HOOK_OTHER"}, "secret_env", "is not set"),
        ({"url_env": "HOME", "secret_env": "SERINUS_HOOK_S"}, "url_env", "names the variable HOME"),
        ({"url": "ftp://x.example", "secret_env": "SERINUS_HOOK_S"}, "url", "no http or https URL"),
        ({"url": "https://u:p@x.example", "secret_env": "SERINUS_HOOK_S"}, "url", "a user or a password"),
    ],
)
def test_what_the_operator_has_not_allowed_is_refused(hook, field, words):
    """When the deployment is made, with what to do."""
    environment = {
        "SERINUS_HOOK_S": SECRET,
        "SERINUS_HOOK_HOSTS": "127.0.0.1",
        "DATABASE_URL": "postgresql://",
    }
    hooks = Hooks(Settings(hook_commands={"smoke": ["/bin/true"]}), environment)
    with pytest.raises(InvalidInput) as refusal:
        hooks.check(Hook(name="qa", phase=Phase.CONFIRM_STEP, **hook))
    assert refusal.value.field == field
    assert words in refusal.value.detail
    assert SECRET not in str(refusal.value.next_step)


def test_commands_are_the_operators_json(monkeypatch):
    """A name, a program and its arguments."""
    monkeypatch.setenv("SERINUS_HOOK_COMMANDS", '{"smoke": ["/bin/true", "--canary"]}')
    assert Settings().hook_commands == {"smoke": ["/bin/true", "--canary"]}


def test_the_receiver_of_these_tests_sees_a_forgery(gate):
    """Or a wrong signature would go unnoticed in every test that uses it."""
    import httpx

    headers = {"webhook-id": "x", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"}
    httpx.post(gate.url, content=b"{}", headers=headers, trust_env=False)
    assert gate.forged == ["x"]
    gate.forged.clear()
    assert webhook(gate, "confirm-step")["url"] == gate.url
