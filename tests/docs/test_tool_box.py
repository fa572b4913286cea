"""Every command of docs/tool-box.md runs, from top to bottom, and says what the page shows."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shlex
import shutil
import subprocess
import threading
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/tool-box.md"
#: What differs from run to run: ids, hashes, dates, times and how many requests fit into them.
VARIES = (
    (r"dep_[0-9a-f]{12}", "dep_…"),
    (r"\b[0-9a-f]{64}\b", "SHA"),
    (r"\b[0-9a-f]{7,12}\b(?=\)| |,|$)", "COMMIT"),
    (r"\d{4}-\d\d-\d\d(T[\d:]+Z)?", "DAY"),
    (r"\d+(\.\d+)? ?(ms|s)\b", r"N \2"),
    (r"[─━]+", "─"),
)
#: Lines that depend on when the monitor looked.
MOMENTS = re.compile(r"^  (observing   \d+ of|! Holding|· Going on)")


def blocks() -> list[tuple[str, str, int]]:
    """Return the page's commands with what they print and their exit codes."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            code = re.search(r"^\(exit code (\d)\)\n", shown, re.MULTILINE)
            printed = shown.replace(code[0], "") if code else shown
            found.append((command, printed.rstrip(), int(code[1]) if code else 0))
    return found


def files(folder: Path, **addresses: str) -> None:
    """Write the files that the page shows, by the name in their first line; with the test's addresses."""
    for name, text in re.findall(r"```ya?ml\n# ([\w.-]+)\n(.*?)```", PAGE.read_text(), re.DOTALL):
        (folder / name).write_text(re.sub(r"127\.0\.0\.1:\d+", lambda m: addresses.get(m[0], m[0]), text))


def plain(text: str) -> str:
    """Return what is printed without what differs from run to run."""
    for pattern, instead in VARIES:
        text = re.sub(pattern, instead, text)
    lines = (line.rstrip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not MOMENTS.search(line))


def prepare(folder: Path, monkeypatch, addresses: dict[str, str]) -> None:
    """Make the repository that the page talks about."""
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "A")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "a@example.com")
    sections = ("Deploy", "Rollback", "Monitoring", "Contacts")
    for name, text in {
        ".gitignore": ".env\ndist/\n*.log\n*.json\n*.xml\n*.jsonl\n",
        ".env.example": "API_TOKEN=\n",
        ".env": "API_TOKEN=t0p-f00\n",
        "RUNBOOK.md": "".join(f"## {s}\nDo it.\n" for s in sections),
        "migrations/versions/0001.py": "revision = '0001'\ndown_revision = None\n",
        "dist/app.whl": "app",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    shutil.copy(ROOT / "examples/smoke/perfume.yaml", folder)
    files(folder, **addresses)
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "feat: answer in half the time"]):
        subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)


@contextlib.contextmanager
def users(port: int):
    """Let users ask the edge for as long as this lasts."""
    ended = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            n = 0
            while not ended.wait(0.005):
                n += 1
                with contextlib.suppress(httpx.HTTPError):
                    client.get("/", headers={"x-user-id": f"user-{n}"})

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


async def carried(tools) -> bool:
    """Tell whether the monitor has read the new service's proxy back."""
    shown = json.loads((await asyncio.to_thread(tools.apart, "service", "show", "checkout"))[0])
    return bool((shown.get("proxy") or {}).get("instances"))


async def test_every_command_of_the_page_says_what_it_shows(tools, edge, perfume, tmp_path, monkeypatch):
    """In one story, in the page's order; addresses are those of the test."""
    addresses = {"127.0.0.1:8080": f"127.0.0.1:{edge.port}", "127.0.0.1:9002": perfume.address}
    prepare(tmp_path, monkeypatch, addresses)
    monkeypatch.setenv("SERINUS_SERVICE", "checkout")
    await tools.behind(edge, "checkout")
    while not await carried(tools):
        await asyncio.sleep(0.05)
    wrong = []
    with users(edge.port):
        for command, shown, code in blocks():
            words = command
            for written, real in addresses.items():
                words = words.replace(written, real)
            done = await asyncio.to_thread(run, tools, words, tmp_path)
            printed = done[0]
            for written, real in addresses.items():
                printed = printed.replace(real, written)
            printed = printed.replace(f"127.0.0.1:{edge.canary.port}", "127.0.0.1:9003")
            printed = printed.replace(str(tmp_path), ".")
            if plain(printed) != plain(shown) or done[1] != code:
                wrong.append(f"$ {command}\n{printed}(exit code {done[1]})\n")
    assert wrong == [], "\n".join(wrong)


def run(tools, command: str, folder: Path) -> tuple[str, int]:
    """Run a command line of the page; return what it printed, and its exit code."""
    from typer.testing import CliRunner

    from serinus.cli.app import app

    program, *words = shlex.split(command)
    assert program == "serinus"
    with contextlib.chdir(folder):
        environment = {**tools.environment, "SERINUS_SERVICE": "checkout", "COLUMNS": "110"}
        done = CliRunner().invoke(app, words, env=environment)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.output, done.exit_code


def test_the_page_names_every_tool_and_every_exit_code():
    """A command or a code that is not on the page is not documented."""
    import serinus.cli
    from serinus.cli.app import app

    text = PAGE.read_text()
    for group in ("weights", "smoke", "guard", "slo", "release", "pipeline"):
        names = {
            c.name or c.callback.__name__
            for g in app.registered_groups
            if g.name == group
            for c in g.typer_instance.registered_commands
        }
        for name in names:
            assert f"serinus {group} {name}" in text, (group, name)
    assert "serinus drill" in text
    codes = re.findall(r"^(\d) ", serinus.cli.__doc__, re.MULTILINE)
    for code in codes:
        assert f"| {code} |" in text


def test_the_pages_files_are_right(tmp_path):
    """Each file that it shows is read without a problem."""
    from serinus.cli.yaml_file import read_yaml
    from serinus.guard.file import guard_from
    from serinus.smoke.file import smoke_from

    files(tmp_path)
    guard_from(read_yaml(tmp_path / "serinus-guard.yaml").data)
    smoke_from(read_yaml(tmp_path / "smoke.yaml").data)
