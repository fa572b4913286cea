"""``serinus guard check`` and ``serinus release …`` in a real repository, against a real control plane."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from serinus.guard.stable import FEW

ROOT = Path(__file__).parents[2]
RUNBOOK = "# Runbook\n" + "".join(
    f"## {name}\nDo it.\n" for name in ("Deploy", "How to roll back: rollback", "Monitoring", "Contacts")
)


def git(folder: Path, *words: str) -> str:
    """Run git in a folder, as somebody."""
    who = ("-c", "user.email=a@example.com", "-c", "user.name=A", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *who, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def repo(tmp_path, monkeypatch):
    """Return a repository with everything that a release needs, but no release yet."""
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "A")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "a@example.com")
    git(tmp_path, "init", "-q")
    for name, text in {
        ".gitignore": ".env\ndist/\nmodels/\n",
        ".env.example": "DATABASE_URL=\nAPI_TOKEN=changeme\n",
        "RUNBOOK.md": RUNBOOK,
        "migrations/versions/0001.py": "revision = '0001'\ndown_revision = None\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "feat: begin")
    for name in ("dist/app.whl", "models/ranker.pt", ".env"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(
            "DATABASE_URL=sqlite:///x.db\nAPI_TOKEN=t0p-f00\n" if name == ".env" else name
        )
    return tmp_path


def write_guard(folder: Path, **more: object) -> None:
    """Write a guard's file (JSON is YAML) beside the repository's own."""
    (folder / "serinus-guard.yaml").write_text(json.dumps({"version": 1, "slos": "off", **more}))
    git(folder, "add", "serinus-guard.yaml")
    git(folder, "commit", "-qm", "Guard")


def test_a_release_passes_the_strict_guard(tools, repo, perfume):
    """Made by one command, found by the other; stable is asked, and the control plane too."""
    tools("service", "create", "guarded", "--stable", "v1")
    stable = {"base_url": f"http://{perfume.address}", "path": "/metrics"}
    write_guard(repo, service="guarded", tag={"checkpoints": ["models/*.pt"]}, stable=stable)
    made = ("release", "create", "v1.0.0", "--artifact", "dist/*.whl", "--artifact", "models/*.pt")
    tools(*made, cwd=repo)
    said = tools("guard", "check", "--strict", "--version", "v1.0.0", cwd=repo)
    lines = said.splitlines()
    assert lines[:9] == [
        "Guard  strict",
        "├─ before deployment",
        "│  ├─ ✔ tag          v1.0.0 is this commit, with 1 model checkpoint",
        "│  ├─ ✔ migrations   0001 is the newest",
        "│  ├─ ✔ secrets      2 of 2 keys have values, no placeholder left",
        "│  ├─ ✔ artifacts    2 of 2 files are those of SHA256SUMS (SHA-256)",
        "│  └─ ✔ runbook      RUNBOOK.md: Deploy, Rollback, Monitoring, Contacts",
        "├─ stable",
        "│  ├─ ✔ health       v1 serves, the monitor runs",
    ]
    assert lines[9].startswith("│  └─ ✔ performance  availability 100 %, p95 ")
    assert lines[9].endswith(f"errors 0 % of {FEW} requests (http://{perfume.address}/metrics)")
    assert lines[10:] == ["└─ calendar", "   └─ ✔ freeze       no freeze now", "Guard PASSED: 8 of 8 checks"]


def test_everything_that_is_wrong_is_found_at_once(tools, repo, perfume):
    """Exit code 1, the tree, and what to do about each; no secret is told."""
    perfume.broken = "metrics"
    tools("service", "create", "broken", "--stable", "v1")
    tools("rollout", "start", "broken", "v2", "--percentage", "1")
    frozen = {"windows": [{"name": "always", "from": "mon 00:00", "until": "mon 00:00"}]}
    write_guard(
        repo,
        service="broken",
        migrations={"url_env": "GUARD_DB"},
        runbook={"sections": ["Rollback", "Paging"]},
        freeze=frozen,
        stable={"base_url": "http://127.0.0.1:1", "requests": 2},
    )
    tools("release", "create", "v1.0.0", "--artifact", "dist/*.whl", cwd=repo)
    (repo / "dist/app.whl").write_text("other")
    (repo / ".env").write_text("API_TOKEN=changeme\nOLD_TOKEN=hunter2\n")
    (repo / "RUNBOOK.md").write_text("# Runbook\n")
    said = tools("guard", "check", cwd=repo, code=1, GUARD_DB=f"sqlite:///{repo}/app.db")
    for line in (
        "│  ├─ ✘ tag          v1.0.0 is this commit, but RUNBOOK.md has changed since",
        "│  ├─ ✘ migrations   the database has no revision, the newest is 0001",
        "│  ├─ ✘ secrets      .env: DATABASE_URL: missing; API_TOKEN: still a placeholder",
        "│  ├─ ✘ artifacts    dist/app.whl is another file",
        "│  └─ ✘ runbook      RUNBOOK.md has no section Rollback, Paging",
        "   └─ ✘ freeze       always: frozen until ",
        "  next  migrations: alembic upgrade head",
    ):
        assert line in said
    assert "│  ├─ ✘ health       v2 is rolling out already (dep_" in said
    assert "availability 0 %, at least 99.5 %; errors 100 %, at most 0.5 %" in said
    assert (
        "Guard REFUSED by tag, migrations, secrets, artifacts, runbook, health, performance, freeze" in said
    )
    assert "hunter2" not in said
    view = json.loads(tools.apart("guard", "check", "--json", cwd=repo, code=1)[0])
    assert (view["allowed"], view["refused_by"][0]) == (False, "tag")


def test_a_freeze_can_be_overridden_with_a_reason(tools, repo):
    """Which is told; and what is not there is left out unless --strict says that nothing may be."""
    frozen = {"windows": [{"name": "always", "from": "mon 00:00", "until": "mon 00:00"}]}
    write_guard(repo, freeze=frozen, secrets="off", required=["runbook"])
    assert "Guard REFUSED by freeze" in tools("guard", "check", cwd=repo, code=1)
    over = ("guard", "check", "--override-freeze", "CVE-2026-1")
    said = tools(*over, cwd=repo)
    assert "; overridden: CVE-2026-1" in said
    assert "│  ├─ – tag          this commit has no release tag vX.Y.Z" in said
    assert "Guard PASSED: 3 of 7 checks, 4 left out" in said
    assert "Guard REFUSED by tag, artifacts, health, performance" in tools(
        *over, "--strict", cwd=repo, code=1
    )
    (repo / "RUNBOOK.md").unlink()
    assert "Guard REFUSED by tag, runbook" not in tools(*over, cwd=repo, code=1)
    assert "Guard REFUSED by runbook" in tools(*over, cwd=repo, code=1)


def test_a_secret_in_the_repository_is_no_secret(tools, repo):
    """However complete it is."""
    git(repo, "add", "-f", ".env")
    git(repo, "commit", "-qm", "Oops")
    assert ".env is in the repository: its secrets are known" in tools("guard", "check", cwd=repo, code=1)


def test_a_wrong_guard_file_is_told_by_line(tools, repo):
    """Exit code 2; the schema is the committed one, and the example is right."""
    path = repo / "g.yaml"
    path.write_text("version: 1\nstabel: off\nfreeze: {windows: [{name: x, from: mon, until: 08:00}]}\n")
    assert tools("guard", "check", "g.yaml", cwd=repo, code=2).splitlines() == [
        "g.yaml:2:1: stabel: unknown key; did you mean 'stable'?",
        "g.yaml:3:36: freeze.windows[0].from: expected 16:00, fri 16:00, or 2026-12-20 00:00",
    ]
    assert tools.apart("guard", "schema")[0] == (ROOT / "spec/guard.schema.json").read_text()
    from serinus.cli.yaml_file import read_yaml
    from serinus.guard.file import guard_from

    assert len(guard_from(read_yaml(ROOT / "examples/guard/serinus-guard.yaml").data).freezes) == 6


def test_a_release_is_a_tag_a_manifest_and_a_changelog(tools, repo):
    """A dry run writes nothing; what cannot be released is refused with what to do."""
    (repo / "x").write_text("1")
    git(repo, "add", "x")
    git(repo, "commit", "-qm", "fix(api): round up")
    dry = ("release", "create", "v1.0.0", "--artifact", "dist/*.whl", "--dry-run")
    said, told = tools.apart(*dry, cwd=repo)
    assert "### Added\n- begin (" in said
    assert "### Fixed\n- round up (" in said
    assert "  dist/app.whl\n" in said
    assert "nothing was written, v1.0.0 was not made" in told
    assert git(repo, "tag") == ""
    assert not (repo / "SHA256SUMS").exists()
    tools(*dry[:-1], cwd=repo)
    assert "✔ v1.0.0 is commit " in tools("release", "verify", cwd=repo)
    done = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=repo, capture_output=True, check=False)
    assert done.returncode == 0
    for words, command in (
        ("The tag v1.0.0 exists already.", dry[:-1]),
        ("v0.9.0 is not above the last release v1.0.0.", ("release", "create", "v0.9.0")),
        ("Nothing has been committed since v1.0.0.", ("release", "create", "v1.0.1")),
        ("'1.0.1' is no release tag.", ("release", "create", "1.0.1")),
        ("There is no release 'v3.0.0'.", ("release", "verify", "v3.0.0")),
    ):
        assert words in tools(*command, cwd=repo, code=1)
    (repo / "y").write_text("1")
    assert "1 file not committed: y" in tools("release", "create", "v1.0.1", cwd=repo, code=1)
    git(repo, "add", "y")
    git(repo, "commit", "-qm", "feat!: drop python 2")
    assert "No file matches 'none/*'." in tools(
        "release", "create", "v2.0.0", "--artifact", "none/*", cwd=repo, code=1
    )
    later = json.loads(tools.apart("release", "create", "v2.0.0", "--json", cwd=repo)[0])
    assert (later["since"], later["commits"]) == ("v1.0.0", 1)
    assert "### Breaking\n- drop python 2" in later["changelog"]
    git(repo, "checkout", "-q", "v1.0.0")
    (repo / "dist/app.whl").write_text("other")
    said = tools("release", "verify", cwd=repo, code=1)
    assert "dist/app.whl is another file" in said
    git(repo, "checkout", "-q", "main")
    assert "v1.0.0 is " in tools("release", "verify", "v1.0.0", cwd=repo, code=1)


def test_a_database_must_be_at_the_newest_revision(tools, repo):
    """Asked for real; an address with a password is in no message."""
    import sqlite3

    write_guard(repo, migrations={"url_env": "GUARD_DB"}, secrets="off", tag="off")
    with sqlite3.connect(repo / "app.db") as db:
        db.execute("CREATE TABLE alembic_version (version_num TEXT)")
        db.execute("INSERT INTO alembic_version VALUES ('0000')")
    db.close()
    at = {"GUARD_DB": f"sqlite:///{repo}/app.db"}
    assert "the database is at 0000, the newest is 0001" in tools("guard", "check", cwd=repo, code=1, **at)
    with sqlite3.connect(repo / "app.db") as db:
        db.execute("UPDATE alembic_version SET version_num = '0001'")
    db.close()
    assert "0001 is the newest, the database is at it" in tools("guard", "check", cwd=repo, **at)
    away = {"GUARD_DB": "postgresql://me:hunter2@127.0.0.1:1/x"}
    said = tools("guard", "check", cwd=repo, code=1, **away)
    assert "the database does not answer" in said
    assert "hunter2" not in said


def test_the_tenants_freezes_refuse_as_well(tools, repo):
    """Only while one is on that is meant for the service; the same override goes past it."""
    tools("service", "create", "icebound", "--stable", "v1")
    write_guard(repo, secrets="off", required=["runbook"])
    check = ("guard", "check", "--service", "icebound")
    when = ("--from", "2001-01-01 00:00", "--until", "2099-01-01 00:00", "--service", "icebound")
    tools("freeze", "set", "quiet years", *when, "--reason", "nobody is there")
    said = tools(*check, cwd=repo, code=1)
    assert "✘ freeze       quiet years: frozen until 2099-01-01 00:00 UTC" in said
    assert "Guard REFUSED by freeze" in said
    tools(*check, "--override-freeze", "CVE-2026-1", cwd=repo)
    tools("freeze", "remove", "quiet years")
    tools(*check, cwd=repo)
