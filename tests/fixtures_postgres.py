"""A real PostgreSQL on a free loopback port, with its own folder, ended by pid."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from needs import free_port, program
from schemas import migrate


@dataclass
class Postgres:
    """A running server."""

    binaries: Path
    data: Path
    port: int
    process: subprocess.Popen | None = None
    #: A migrated database to copy; empty before the first is asked for.
    template: str = ""

    def url(self, database: str) -> str:
        """Return the URL of a database."""
        return f"postgresql://tester:s3cret-pw@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        command = [str(self.binaries / "postgres"), "-D", str(self.data), "-p", str(self.port)]
        command += [
            "-c",
            f"unix_socket_directories={self.data}",
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "fsync=off",
        ]
        self.process = subprocess.Popen(
            _as_user(command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(200):
            try:
                psycopg.connect(self.url("postgres")).close()
                return
            except psycopg.OperationalError:
                time.sleep(0.05)
        pytest.fail("PostgreSQL did not start")

    def stop(self) -> None:
        """End it at once."""
        stop = [str(self.binaries / "pg_ctl"), "-D", str(self.data), "stop", "-m", "immediate"]
        subprocess.run(_as_user(stop), stdout=subprocess.DEVNULL, check=True)
        if self.process:
            self.process.wait(10)

    def fresh(self, template: str = "template1") -> str:
        """Return the URL of a new, empty database."""
        name = f"t_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url(name)

    def migrated(self) -> str:
        """Return the URL of a new database with the newest schema, copied from the first such."""
        if not self.template:
            url = self.fresh()
            migrate(url.replace("postgresql://", "postgresql+psycopg://"))
            self.template = url.rpartition("/")[2]
        return self.fresh(self.template)


def _as_user(command: list[str]) -> list[str]:
    """PostgreSQL refuses to run as root."""
    return ["runuser", "-u", "postgres", "--", *command] if os.geteuid() == 0 else command


@pytest.fixture(scope="session")
def postgres():
    """Start one server for the whole run."""
    places = sorted(str(p) for p in Path("/usr/lib/postgresql").glob("*/bin"))
    binaries = Path(program("initdb", "apt-get install postgresql", *reversed(places))).resolve().parent
    with tempfile.TemporaryDirectory(prefix="serinus-pg-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o777)
        data, secret = Path(folder) / "data", Path(folder) / "secret"
        secret.write_text("s3cret-pw")
        secret.chmod(0o644)
        init = [str(binaries / "initdb"), "-D", str(data), "-U", "tester", "-A", "md5", f"--pwfile={secret}"]
        subprocess.run(_as_user(init), stdout=subprocess.DEVNULL, check=True)
        server = Postgres(binaries, data, free_port())
        server.start()
        yield server
        server.stop()
