"""A real PostgreSQL for tests: one server of a test process, in a temporary folder, on a free port.

::

    def test_it(postgres: PostgresServer) -> None:
        url = postgres.create()  # a fresh, empty database
        postgres.stop()  # as after `systemctl stop`; start() brings it back, with its rows
        postgres.kill()  # as after a power cut

The driver (``psycopg``) is imported where it is used, so that other tests do without it. PostgreSQL
refuses to run as root: there it runs as the user ``postgres`` or ``nobody``. The fixture
is in the root's ``conftest.py``; `scripts/postgresql.sh` installs the server.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from itertools import count
from pathlib import Path
from typing import Any, Final

from tests.e2e.ports import free_port

__all__ = ["MISSING", "PostgresServer", "find_programs"]

MISSING: Final = "there is no PostgreSQL; `scripts/postgresql.sh` installs it"

USER: Final = "tunnel"
"""The role that owns the databases; everybody on 127.0.0.1 is let in as it."""

_START: Final = 60.0
"""Seconds for a start, on a machine that is busy with other tests."""


def find_programs() -> Path | None:
    """Return the folder with ``initdb`` and ``postgres``; None: there is none."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda one: one.parent.name)
    found = shutil.which("initdb")
    if found is not None:
        folders.append(Path(found).resolve().parent)
    return next((one for one in reversed(folders) if (one / "postgres").exists()), None)


class PostgresServer:
    """One server process; ended by its id, with the test process at the latest.

    Attributes:
        host: The address that it listens on.
        port: Its port there, the same after each start.
    """

    def __init__(self, programs: Path, *, host: str = "127.0.0.1") -> None:
        """Make the folder of a server; it is not started.

        Args:
            programs: :func:`find_programs`.
            host: An IPv4 address of this machine; everybody of its /24 is let in.
        """
        self._programs = programs
        self.host = host
        self._user = _user()
        # Not pytest's folder: only the user of the tests can go through it.
        self.folder = Path(tempfile.mkdtemp(prefix="asgi-tunnel-postgres-"))
        self._data = self.folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._names = count(1)
        self._shared = ""
        self.port = free_port(host)
        if self._user is not None:
            shutil.chown(self.folder, self._user, pwd.getpwnam(self._user).pw_gid)
        # A locale that sorts as people do, as many servers have: nothing may depend on it.
        self._run("initdb", "-D", str(self._data), "-U", USER, "-A", "trust", "-E", "UTF8",
                  "--locale=C", "--locale-provider=icu", "--icu-locale=en",
                  "--no-sync")  # fmt: skip
        with (self._data / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {host}/24 trust\n")
        atexit.register(self.remove)

    @property
    def pid(self) -> int:
        """Of the server's first process."""
        assert self._process is not None, "the server does not run"
        return self._process.pid

    def start(self) -> None:
        """Start it, and wait until it answers; nothing where it runs."""
        import psycopg

        if self._process is not None:
            return
        with (self.folder / "log").open("ab") as log:
            # Nothing has to survive a power cut here: without fsync tests are quicker.
            self._process = subprocess.Popen(
                [str(self._programs / "postgres"), "-D", str(self._data), "-p", str(self.port),
                 "-h", self.host, "-k", "", "-F", "-c", "max_connections=200"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", **self._as_user(),
            )  # fmt: skip
        end = time.monotonic() + _START
        while not self._answers(psycopg):
            said = (self.folder / "log").read_text()[-2000:]
            assert self._process.poll() is None, f"PostgreSQL has ended: {said}"
            assert time.monotonic() < end, f"PostgreSQL does not answer: {said}"
            time.sleep(0.02)

    def _answers(self, driver: Any) -> bool:
        try:
            driver.connect(self.url("postgres"), connect_timeout=5).close()
        except driver.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """End it and the connections to it (its "fast" shutdown), if it runs."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it at once, without a word to who is connected."""
        self._end(signal.SIGQUIT)

    def freeze(self) -> list[int]:
        """Stop all its processes (SIGSTOP), as a machine that hangs; return their ids."""
        os.kill(self.pid, signal.SIGSTOP)  # from now on it starts no others
        listed = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.pid)],
            check=True,
            capture_output=True,
            text=True,
        )
        found = [self.pid]
        for pid in map(int, listed.stdout.split()):
            with contextlib.suppress(ProcessLookupError):  # one that has just ended
                os.kill(pid, signal.SIGSTOP)
                found.append(pid)
        return found

    def create(self) -> str:
        """Return the URL of a new database without tables."""
        import psycopg

        name = f"db{next(self._names)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(
                psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name))
            )
        return self.url(name)

    def create_schema(self) -> str:
        """Return the URL of a new schema without tables, in a database that has others.

        It takes a millisecond, where a database takes 100. Locks are those of all of them.
        """
        import psycopg

        if not self._shared:
            self._shared = self.create()
        name = f"schema{next(self._names)}"
        with psycopg.connect(self._shared, autocommit=True) as connection:
            connection.execute(
                psycopg.sql.SQL("CREATE SCHEMA {}").format(psycopg.sql.Identifier(name))
            )
        return f"{self._shared}?options=-csearch_path%3D{name}"

    def url(self, database: str) -> str:
        """Return the URL of a database."""
        return f"postgresql://{USER}@{self.host}:{self.port}/{database}"

    def remove(self) -> None:
        """End it and delete its folder; may be called twice."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:  # also one that is stopped by SIGSTOP
                process.kill()
                process.wait()

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._programs / program), *arguments], check=False, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, cwd="/", **self._as_user(),
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    def _as_user(self) -> dict[str, Any]:
        if self._user is None:
            return {}
        group = pwd.getpwnam(self._user).pw_gid
        return {"user": self._user, "group": group, "extra_groups": []}


def _user() -> str | None:
    """Return as whom it runs; None: as whoever runs the tests, who is not root."""
    if os.geteuid() != 0:
        return None
    known = {one.pw_name for one in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"
