"""The parts of the guard that need no service: secrets, manifests, migrations, thresholds."""

from __future__ import annotations

import subprocess
import time

import pytest

from needs import free_port, program
from serinus.core.errors import InvalidInput
from serinus.guard.dotenv import is_placeholder, problems_of, read_env
from serinus.guard.file import Redis, Stable
from serinus.guard.findings import Outcome, failed, passed, refuses, skipped
from serinus.guard.manifest import differences, read_manifest, select, write_manifest
from serinus.guard.migrations import head_of, redis_version
from serinus.guard.stable import Measured, health, objectives, performance


def test_env_files_as_people_write_them():
    """Quotes, comments, exports; what is commented out is not there."""
    text = "A=1\n export B = 'two words' # c\nC=\"#x\"\n#D=4\nE=\nF=a#b # c\nnonsense\n"
    assert read_env(text) == {"A": "1", "B": "two words", "C": "#x", "E": "", "F": "a#b"}


@pytest.mark.parametrize(
    "value",
    [
        *(
            "changeme",
            "CHANGE_ME",
            "change-me-please",
            "<your token>",
            "xxx",
            "TODO",
            "your-api-key",
            "secret",
        ),
        *("replace_me", "set me", "{{ token }}", "password", "insert-here", "null", "..."),
    ],
)
def test_placeholders_are_seen(value):
    """However they are written."""
    assert is_placeholder(value)


@pytest.mark.parametrize(
    "value", ["hunter2", "sk-live-9f8e", "postgresql://db/x", "changelog", "settings", "0"]
)
def test_values_are_no_placeholders(value):
    """Even those that look a little like one."""
    assert not is_placeholder(value)


def test_secrets_are_told_by_key_and_never_by_value():
    """Missing, empty, placeholder."""
    example = {"A": "", "B": "", "C": "", "D": ""}
    said = problems_of(example, {"B": "", "C": "changeme", "D": "hunter2"}, optional=())
    assert said == ["A: missing", "B: empty", "C: still a placeholder"]
    assert problems_of(example, {"C": "x1", "D": "hunter2"}, optional=("A", "B")) == []


def test_a_manifest_is_what_sha256sum_takes(tmp_path):
    """Written, read, and held against the files."""
    (tmp_path / "dist").mkdir()
    for name in ("a.whl", "b.whl"):
        (tmp_path / "dist" / name).write_text(name)
    text = write_manifest(tmp_path, select(tmp_path, ["dist/*.whl", "dist/a.whl"]))
    done = subprocess.run(["sha256sum", "--check", "-"], input=text, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0
    manifest = read_manifest(text)
    assert differences(tmp_path, manifest) == []
    (tmp_path / "dist/a.whl").write_text("other")
    (tmp_path / "dist/b.whl").unlink()
    assert differences(tmp_path, manifest) == ["dist/a.whl is another file", "dist/b.whl is missing"]
    for pattern in ("none/*", "../x", "/etc/passwd"):
        with pytest.raises(InvalidInput):
            select(tmp_path, [pattern])
    with pytest.raises(InvalidInput, match="Line 1"):
        read_manifest("nonsense\n")


def test_the_newest_revision_is_read_without_running_the_files(tmp_path):
    """One newest; two, or a broken chain, are told."""
    (tmp_path / "1.py").write_text("raise SystemExit\nrevision = '1'\ndown_revision = None\n")
    (tmp_path / "2.py").write_text("revision: str = '2'\ndown_revision: str | None = '1'\n")
    assert head_of(tmp_path) == "2"
    (tmp_path / "3.py").write_text("revision = '3'\ndown_revision = '1'\n")
    with pytest.raises(InvalidInput, match=r"2 revisions are the newest \(2, 3\)"):
        head_of(tmp_path)
    (tmp_path / "4.py").write_text("revision = '4'\ndown_revision = ('2', '3')\n")
    assert head_of(tmp_path) == "4"
    (tmp_path / "1.py").unlink()
    with pytest.raises(InvalidInput, match="revision 1 is missing"):
        head_of(tmp_path)


@pytest.fixture
def redis(tmp_path):
    """Return the port of a real Redis with a password."""
    port = free_port()
    options = ["--port", str(port), "--save", "", "--requirepass", "hunter2", "--dir", str(tmp_path)]
    server = program("redis-server", "apt-get install redis-server")
    process = subprocess.Popen([server, *options], stdout=subprocess.DEVNULL)
    for _ in range(200):
        try:
            redis_version(Redis(url_env="R", expect=""), {"R": f"redis://:hunter2@127.0.0.1:{port}"})
            break
        except InvalidInput:
            time.sleep(0.025)
    yield port
    process.terminate()
    process.wait(10)


def test_a_redis_says_its_schema(redis):
    """With password and database; whatever goes wrong is told without the password."""
    wanted = Redis(url_env="R", key="schema_version", expect="7")
    url = f"redis://:hunter2@127.0.0.1:{redis}/3"
    assert redis_version(wanted, {"R": url}) == ""
    cli = program("redis-cli", "apt-get install redis-server")
    base = [cli, "--no-auth-warning", "-a", "hunter2", "-p", str(redis), "-n", "3"]
    subprocess.run([*base, "SET", "schema_version", "7"], check=True, capture_output=True)
    assert redis_version(wanted, {"R": url}) == "7"
    assert redis_version(wanted, {"R": url.removesuffix("/3")}) == ""
    for bad, words in (
        (url.replace("hunter2", "wrong"), "refused AUTH"),
        ("redis://127.0.0.1:1", "does not answer"),
        ("http://x", "no redis:// address"),
        ("", "no redis:// address"),
    ):
        with pytest.raises(InvalidInput, match=words) as error:
            redis_version(wanted, {"R": bad})
        assert "hunter2" not in str(error.value)


def measured(requests: int = 1000, errors: int = 0, p95: float | None = 100.0) -> Measured:
    """Return numbers of stable."""
    return Measured(by="test", requests=requests, errors=errors, p95_ms=p95)


@pytest.mark.parametrize(
    ("numbers", "outcome", "words"),
    [
        (measured(errors=5), Outcome.PASS, "availability 99.5 %, p95 100 ms, errors 0.5 %"),
        (measured(errors=6), Outcome.FAIL, "availability 99.4 %, at least 99.5 %; errors 0.6 %, at most"),
        (measured(p95=801), Outcome.FAIL, "p95 801 ms, at most 800 ms"),
        (measured(p95=None), Outcome.PASS, "availability 100 %, errors 0 %"),
        (measured(requests=19), Outcome.SKIP, "19 requests measured lately"),
        (None, Outcome.SKIP, "nothing measured lately"),
    ],
)
def test_stable_is_held_against_the_contracts_thresholds(numbers, outcome, words):
    """Missing data is no pass."""
    finding = performance(Stable(), numbers)
    assert finding.outcome is outcome
    assert words in finding.message


def test_stable_is_fit_only_when_nothing_is_in_the_way():
    """The control plane's own view, whole."""
    view = {"stable_version": "v1", "rollout": None, "warnings": [], "proxy": None}
    assert health(view).outcome is Outcome.PASS
    assert health({**view, "warnings": ["edge-1: gone"]}).message == "edge-1: gone"
    running = {"version": "v2", "deployment_id": "dep_1"}
    assert "v2 is rolling out already" in health({**view, "rollout": running}).message
    assert health(None).outcome is Outcome.SKIP


def test_a_spent_or_burning_budget_refuses():
    """A ticket's burn rate does not, a page's does."""
    burn = {"long": 20.0, "limit": 14.4, "fires": True, "severity": "critical"}
    fine = {"name": "a", "exhausted": False, "spent": 0.2, "left": 0.8, "burns": [], "sentence": "fine"}
    assert objectives([fine]).outcome is Outcome.PASS
    assert objectives([{**fine, "burns": [{**burn, "severity": "warning"}]}]).outcome is Outcome.PASS
    assert "burns 20 times as fast" in objectives([{**fine, "burns": [burn]}]).message
    assert objectives([fine, {**fine, "exhausted": True, "sentence": "spent"}]).message == "spent"
    assert objectives([{**fine, "spent": None}]).outcome is Outcome.SKIP
    assert objectives(None).outcome is Outcome.SKIP


def test_what_refuses():
    """A failure always; what is left out under --strict, or where the file requires it."""
    assert refuses(failed("g", "tag", "x"), strict=False)
    assert not refuses(passed("g", "tag", "x"), strict=True)
    left_out = skipped("g", "tag", "x")
    assert not refuses(left_out, strict=False)
    assert refuses(left_out, strict=True)
    assert refuses(left_out, strict=False, required=("tag",))
