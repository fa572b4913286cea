"""Secrets in the database: sealed, named like variables, opened at the start or not at all."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from serinus.bootstrap.channels import notifiers_from
from serinus.bootstrap.secrets import with_secrets
from serinus.bootstrap.sources import source_factory
from serinus.control.access.keyring import KeyRing, new_key
from serinus.core.analysis.queries import Source, SourceType
from serinus.core.errors import InvalidInput
from serinus.drivers.store.sql import SqlStore
from serinus.settings import Settings
from shells import QuickShell
from stories import NOON

SLACK = "https://hooks.slack.example/services/T000/B000/s3cr3t-path"


@pytest.fixture
def shell(tmp_path):
    """Return a shell beside a database without secrets or keys."""
    store = SqlStore(f"sqlite:///{tmp_path}/serinus.db")

    async def furnish() -> None:
        await store.migrate()
        await store.close()

    asyncio.run(furnish())
    return QuickShell(tmp_path)


def on_disk(folder) -> bytes:
    """Return everything that is in the folder."""
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())


def opened(shell, environment: dict | None = None) -> dict:
    """Return the environment as a control plane would start with it."""
    return with_secrets(Settings(data_dir=shell.folder), environment or {})


def test_a_stored_secret_is_nowhere_on_the_disk_and_turns_its_channel_on(shell):
    """Given on stdin; the file has neither the secret nor anything of it, nor does what is printed."""
    shell("keys", "new")
    said = shell("secret", "set", "SLACK_WEBHOOK_URL", given=f"{SLACK}\n")
    assert said.startswith("✔ SLACK_WEBHOOK_URL is stored, sealed with the key ")
    said += shell("secret", "list") + shell("keys", "list")
    for trace in (SLACK, "s3cr3t-path", "hooks.slack.example"):
        assert trace.encode() not in on_disk(shell.folder)
        assert trace not in said
    assert oct((shell.folder / "keys").stat().st_mode)[-3:] == "600"
    assert (shell.folder / "keys").read_text().strip() not in said
    assert opened(shell) == {"SLACK_WEBHOOK_URL": SLACK}
    assert "slack" in notifiers_from(opened(shell))[0]


def test_a_stored_secret_is_named_by_a_source_like_a_variable(shell):
    """And only under the prefix that a policy may name."""
    shell("keys", "new")
    shell("secret", "set", "SERINUS_SOURCE_TOKEN", given="t0ken")
    source = Source(
        name="prom",
        type=SourceType.PROMETHEUS,
        url="https://prom.example",
        bearer_token_env="SERINUS_SOURCE_TOKEN",
    )
    made = source_factory(opened(shell))(source)
    assert "Bearer t0ken" in made._headers.values()
    with pytest.raises(InvalidInput, match="not set at the server"):
        source_factory({})(source)


def test_the_environment_goes_before_what_is_stored(shell):
    """An empty variable counts as none."""
    shell("keys", "new")
    shell("secret", "set", "SLACK_WEBHOOK_URL", given=SLACK)
    assert opened(shell, {"SLACK_WEBHOOK_URL": "https://other"})["SLACK_WEBHOOK_URL"] == "https://other"
    assert opened(shell, {"SLACK_WEBHOOK_URL": ""})["SLACK_WEBHOOK_URL"] == SLACK


def test_keys_change_without_a_moment_at_which_a_secret_cannot_be_read(shell):
    """New key in front, both open; sealed anew; the old key goes."""
    shell("keys", "new")
    (old,) = (shell.folder / "keys").read_text().split()
    shell("secret", "set", "A_TOKEN", given="one")
    shell("secret", "set", "B_TOKEN", given="two")
    shell("keys", "new")
    assert opened(shell) == {"A_TOKEN": "one", "B_TOKEN": "two"}
    shell("secret", "set", "C_TOKEN", given="three")
    counts = [line.split("  ")[1] for line in shell.apart("keys", "list")[0].splitlines()]
    assert counts == ["seals 1 secrets", "seals 2 secrets"]
    assert "✔ 2 sealed anew" in shell("keys", "rotate")
    assert "✔ 0 sealed anew" in shell("keys", "rotate")
    keys = (shell.folder / "keys").read_text().split()
    assert keys[1] == old
    (shell.folder / "keys").write_text(f"# the second\n{keys[0]}\n")
    assert opened(shell) == {"A_TOKEN": "one", "B_TOKEN": "two", "C_TOKEN": "three"}
    shell("secret", "unset", "A_TOKEN")
    assert opened(shell) == {"B_TOKEN": "two", "C_TOKEN": "three"}
    assert "There is no secret 'A_TOKEN'" in shell("secret", "unset", "A_TOKEN", code=1)


def test_a_missing_key_stops_the_start_and_is_told_by_doctor(shell):
    """Which secret, which key, what to do; nothing is sealed anew with a ring that cannot open it all."""
    shell("keys", "new")
    shell("secret", "set", "SLACK_WEBHOOK_URL", given=SLACK)
    (shell.folder / "keys").write_text(new_key() + "\n")
    for command in (("up", "--port", "0"), ("notify", "test"), ("keys", "rotate")):
        said = shell(*command, code=1)
        assert "SLACK_WEBHOOK_URL is sealed with the key " in said
        assert "serinus secret set SLACK_WEBHOOK_URL" in said
    assert "✘ secrets" in shell("doctor", code=1)
    assert "✘ not in the ring" in shell("keys", "list")
    (shell.folder / "keys").unlink()
    assert "There is no key to seal secrets with" in shell("up", "--port", "0", code=1)
    shell("secret", "unset", "SLACK_WEBHOOK_URL")
    assert opened(shell) == {}


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT OR REPLACE INTO secrets SELECT 'A_TOKEN', sealed, key_id, set_at FROM secrets",
        "UPDATE secrets SET sealed = 'gAAAAA' WHERE name = 'A_TOKEN'",
        "UPDATE secrets SET name = 'Z_TOKEN' WHERE name = 'A_TOKEN'",
    ],
)
def test_a_row_that_somebody_changed_is_not_taken_for_a_secret(shell, statement):
    """Garbage, and sealed values that were put under other names."""
    shell("keys", "new")
    shell("secret", "set", "A_TOKEN", given="one")
    shell("secret", "set", "B_TOKEN", given="two")
    with sqlite3.connect(shell.folder / "serinus.db") as db:
        db.execute(statement)
    db.close()
    assert "was changed by somebody without the key" in shell("up", "--port", "0", code=1)


@pytest.mark.parametrize(
    ("name", "given", "why"),
    [
        ("slack", "x", "is no name of a variable"),
        ("SERINUS_KEYS", "x", "read before its database is open"),
        ("DATABASE_URL", "x", "read before its database is open"),
        ("SERINUS_HOOK_HOSTS", "x", "read before its database is open"),
        ("A_TOKEN", "", "empty, too long, or holds a NUL"),
        ("A_TOKEN", "\0", "empty, too long, or holds a NUL"),
        ("A_TOKEN", "x" * 70_000, "empty, too long, or holds a NUL"),
    ],
)
def test_what_cannot_be_a_secret_is_refused(shell, name, given, why):
    """With what to do instead; nothing is stored."""
    shell("keys", "new")
    assert why in shell("secret", "set", name, code=1, given=given)
    assert shell.apart("secret", "list")[0] == ""


def test_a_ring_that_cannot_be_used_is_told(shell):
    """No key, no file, a file for everybody to read, garbage, two places."""
    assert "`serinus keys new` makes one" in shell("secret", "set", "A_TOKEN", code=1, given="x")
    absent = {"SERINUS_KEY_FILE": str(shell.folder / "nowhere")}
    assert "is not there" in shell("secret", "set", "A_TOKEN", code=1, given="x", **absent)
    shell("keys", "new")
    (shell.folder / "keys").chmod(0o644)
    assert "may be read by everybody" in shell("secret", "set", "A_TOKEN", code=1, given="x")
    assert "Key 1 of the ring is no key" in shell("keys", "rotate", code=1, SERINUS_KEYS="hunter2")
    assert "hunter2" not in shell("keys", "rotate", code=1, SERINUS_KEYS="hunter2")
    two = {"SERINUS_KEYS": new_key(), "SERINUS_KEY_FILE": "keys"}
    assert "are both set" in shell("keys", "rotate", code=1, **two)
    assert "which only you can change" in shell("keys", "new", code=1, SERINUS_KEYS=new_key())


def test_keys_from_the_environment_need_no_file(shell):
    """As a secret store hands them over: one printed, then two with a space between."""
    first, second = shell("keys", "new", "--print").strip(), shell("keys", "new", "--print").strip()
    shell("secret", "set", "A_TOKEN", given="one", SERINUS_KEYS=first)
    both = {"SERINUS_KEYS": f"{second} {first}"}
    assert "✔ 1 sealed anew" in shell("keys", "rotate", **both)
    assert with_secrets(Settings(data_dir=shell.folder, keys=second), {}) == {"A_TOKEN": "one"}
    assert not (shell.folder / "keys").exists()


def test_the_same_secret_is_sealed_differently_each_time():
    """Nobody sees in the database that two are the same, or what changed."""
    ring = KeyRing([new_key()])
    one, two = ring.seal("A", "x", NOON), ring.seal("A", "x", NOON)
    assert one.sealed != two.sealed
    assert ring.open(one) == ring.open(two) == "x"


async def test_replicas_read_the_same_secrets_from_postgresql(postgres):
    """The table is read before anything is built; a database without a schema has none."""
    url = postgres.fresh()
    settings = Settings(database_url=url, keys=new_key())
    assert with_secrets(settings, {}) == {}
    store = SqlStore(url)
    await store.migrate()
    ring = KeyRing([settings.keys.get_secret_value()])
    async with store.begin() as tx:
        await tx.secrets.put(ring.seal("A_TOKEN", "one", NOON))
    await store.close()
    assert with_secrets(settings, {}) == {"A_TOKEN": "one"}
