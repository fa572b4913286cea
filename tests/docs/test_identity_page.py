"""What docs/identity.md shows runs, from top to bottom, and it names every setting and option."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from shells import Shell

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/identity.md").read_text()


def test_the_commands_of_the_page_run(tmp_path):
    """In a shell, one after the other, against a control plane of their own."""
    shell = Shell(tmp_path)
    process = shell.up()
    try:
        blocks = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
        commands = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", "\n".join(commands)],
            env={**shell.environment, "PATH": path},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        process.terminate()
        process.wait(10)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(commands) == 16
    for said in (
        "✔ ci is removed; 1 token revoked.",
        "✔ Ada Lovelace is admin; no token of theirs can do more.",
        "✔ 1 sealed anew",
        "the kept head among them",
    ):
        assert said in done.stdout
    assert "xyz" not in done.stdout + done.stderr


def test_the_page_names_every_role_setting_and_option():
    """And the header, the fields and the log's actions."""
    from serinus.api.schemas import NewTokenBody
    from serinus.core.model import Role

    names = [role.value for role in Role] + [f for f in NewTokenBody.model_fields if f != "name"]
    names += ["SERINUS_KEYS", "SERINUS_KEY_FILE", "Serinus-Token-Expires"]
    assert [name for name in names if f"`{name}`" not in PAGE] == []
    for action in ("token.expiring", "audit.head"):
        assert f"action={action}" in PAGE
