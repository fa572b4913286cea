#!/usr/bin/env python3
"""A command hook that tells any proxy the canary's share: a file, then a reload.

    route.py FILE COMMAND [ARGUMENT …]

The file gets one number, the canary's percentage. Exit code 0 only when the reload succeeded; 75 asks to be
called again, so that a proxy that is down holds the rollout and rolls nobody back. May be called twice for
the same thing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

TRY_AGAIN = 75
RELOAD_SECONDS = 30


def main() -> int:
    """Write the share, reload, and say what came of it."""
    if len(sys.argv) < 3:
        print("usage: route.py FILE COMMAND [ARGUMENT …]")
        return TRY_AGAIN
    asked = json.load(sys.stdin)["data"]
    share = 0.0 if asked["phase"] == "post-rollback" else float(asked["to_percentage"])
    path = Path(sys.argv[1])
    before = path.read_text() if path.exists() else "0\n"
    replace(path, f"{share:g}\n")
    try:
        done = subprocess.run(
            sys.argv[2:], capture_output=True, text=True, timeout=RELOAD_SECONDS, check=False
        )
        words = (done.stderr or done.stdout).strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        done, words = None, str(error)
    if done is None or done.returncode:
        replace(path, before)  # the proxy goes on with what it has
        print(f"not reloaded: {words}")
        return TRY_AGAIN
    print(f"the proxy sends {share:g} % to {asked['version']}")
    return 0


def replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    handle, fresh = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    Path(fresh).chmod(0o644)
    Path(fresh).replace(path)


if __name__ == "__main__":
    sys.exit(main())
