"""``asgi-tunnel run`` with ``--reload`` or ``--workers``: how its processes end and come back."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.e2e.harness import BIN, Process, spawn, wait_until

from asgi_tunnel import parent
from asgi_tunnel.supervisor import Supervisor, child_command
from asgi_tunnel.token import Token

NOWHERE = Token(edge="ws://127.0.0.1:9", id="tok_1", secret="s" * 43, pin=None).format()
"""A token of an edge that does not answer."""

APP = """
import os

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        print(f"started <{os.getpid()}>", flush=True)
        await receive()
        print("shutdown", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
"""

FORMS = [("--reload",), ("--workers", "2")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the module ``served``."""
    (tmp_path / "served.py").write_text(APP)
    return tmp_path


@pytest.fixture
def started(folder: Path) -> Iterator[list[Process]]:
    """Filled with what a test starts; ended after it."""
    found: list[Process] = []
    yield found
    for one in found:
        for pid in children(one):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if one.is_alive():
            one.kill()


def serve(folder: Path, *options: str, prefix: tuple[str, ...] = (), **env: str) -> Process:
    """Start ``asgi-tunnel run`` in the folder."""
    command = [*prefix, str(BIN / "asgi-tunnel"), "run", "served:app", *options]
    return spawn(command, folder, env={"ASGI_TUNNEL_TOKEN": NOWHERE, **env}, cwd=folder)


def children(process: Process) -> list[int]:
    """The ids of the app's processes that have started, the oldest first."""
    return [int(one.partition(">")[0]) for one in process.output.split("started <")[1:]]


def is_there(pid: int) -> bool:
    """Whether a process runs; one that waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("options", FORMS, ids=" ".join)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_children_end_with_their_parent(
    folder: Path, started: list[Process], options: tuple[str, ...], number: int
) -> None:
    """However the supervisor ends, its children end in order: their app's shutdown runs."""
    process = serve(folder, *options)
    started.append(process)
    process.wait_for("started", count=int(options[-1]) if len(options) == 2 else 1)
    pids = children(process)
    process.stop(number)
    wait_until(lambda: not any(map(is_there, pids)), what="the children end")
    assert process.output.count("shutdown") == len(pids)
    assert "a further signal" not in process.output
    assert "Traceback" not in process.output


@pytest.mark.parametrize("kernel", ["True", "False"])
def test_a_child_ends_with_its_parent_while_it_imports(
    folder: Path, started: list[Process], kernel: str
) -> None:
    """A child that still imports its app ends too, with and without the kernel's signal."""
    patch = f"import asgi_tunnel.parent as p\nif not {kernel}: p._ask_kernel = lambda: None\n"
    (folder / "sitecustomize.py").write_text(patch)
    text = "import os, time\nprint(f'started <{os.getpid()}>', flush=True)\ntime.sleep(600)\n"
    (folder / "served.py").write_text(text)
    process = serve(folder, "--reload", PYTHONPATH=str(folder))
    started.append(process)
    process.wait_for("started")
    process.kill()
    wait_until(lambda: not is_there(children(process)[0]), what="the child ends")


def test_a_program_that_is_being_replaced(tmp_path: Path) -> None:
    """A start that the system refuses is tried again, and ends nothing."""
    program = tmp_path / "program"
    code = "import logging; from asgi_tunnel.supervisor import Supervisor; logging.basicConfig()\n"
    code += f"raise SystemExit(Supervisor([{str(program)!r}]).run())"
    process = spawn([sys.executable, "-c", code], tmp_path)
    try:
        process.wait_for("cannot be started (No such file or directory); next try in 1 s")
        program.write_text("#!/bin/sh\necho it runs\nexec sleep 600\n")
        program.chmod(0o700)
        process.wait_for("it runs")
        assert process.stop() == 0
    finally:
        process.popen.kill()


@pytest.mark.parametrize("options", [(), *FORMS], ids=" ".join)
def test_a_closed_terminal_ends_all(
    folder: Path, started: list[Process], options: tuple[str, ...]
) -> None:
    """When its terminal is closed, the program ends in order, and its children with it."""
    ours, theirs = pty.openpty()
    own_terminal = (
        "import os, sys\n"
        "os.setsid()\n"
        "os.close(os.open(sys.argv[1], os.O_RDWR))\n"  # who leads a session gets the terminal
        "os.execv(sys.argv[2], sys.argv[2:])\n"
    )
    prefix = (sys.executable, "-c", own_terminal, os.ttyname(theirs))
    process = serve(folder, *options, prefix=prefix)
    started.append(process)
    process.wait_for("started <", count=2 if "--workers" in options else 1)
    pids = children(process)
    os.close(theirs)
    os.close(ours)
    assert process.popen.wait(20) == 0, process.output
    wait_until(lambda: not any(map(is_there, pids)), what="the children end")
    assert process.output.count("shutdown") == len(pids)


@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=" ".join)
def test_sighup_ends_as_sigterm(
    folder: Path, started: list[Process], options: tuple[str, ...]
) -> None:
    """SIGHUP ends the program as SIGTERM does: in order, with code 0."""
    process = serve(folder, *options)
    started.append(process)
    process.wait_for("started")
    assert process.stop(signal.SIGHUP) == 0
    assert "shutdown" in process.output
    assert "SIGHUP: stopping" in process.output


def test_sighup_reloads(folder: Path, started: list[Process]) -> None:
    """Under ``--reload`` SIGHUP starts the app again."""
    process = serve(folder, "--reload")
    started.append(process)
    process.wait_for("started")
    process.popen.send_signal(signal.SIGHUP)
    process.wait_for("started", count=2)
    assert "SIGHUP: reloading" in process.output
    assert process.stop() == 0


@pytest.mark.parametrize("options", [(), *FORMS], ids=" ".join)
def test_nohup_is_respected(folder: Path, started: list[Process], options: tuple[str, ...]) -> None:
    """Under ``nohup`` SIGHUP changes nothing."""
    process = serve(folder, *options, prefix=("nohup",))
    started.append(process)
    process.wait_for("started")
    process.popen.send_signal(signal.SIGHUP)
    assert process.stop() == 0
    assert "SIGHUP" not in process.output


@pytest.mark.parametrize("options", FORMS, ids=" ".join)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_child_that_dies_is_started_again(
    folder: Path, started: list[Process], options: tuple[str, ...], number: int
) -> None:
    """A child that was killed is logged and started again."""
    process = serve(folder, *options)
    started.append(process)
    count = 2 if "--workers" in options else 1
    process.wait_for("started", count=count)
    os.kill(children(process)[0], number)
    process.wait_for("started", count=count + 1)
    assert "starting it again in 1 s" in process.output
    assert process.stop() == 0


def test_a_child_that_dies_again_waits_longer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait doubles with each death up to a bound, and begins anew after a stable time."""
    one = Supervisor([sys.executable, "-c", ""], watch=[tmp_path])
    child = one._children[0]
    clock = 0.0
    monkeypatch.setattr("asgi_tunnel.supervisor.time.monotonic", lambda: clock)
    delays = []
    for _ in range(8):
        child.process, child.started = dead(), clock
        assert one._look() is None
        assert child.due is not None
        delays.append(child.due - clock)
    assert delays == [1, 2, 4, 8, 16, 30, 30, 30]
    child.process, child.started, clock = dead(), 0.0, 60.0
    assert one._look() is None
    assert child.due == 61
    assert "was ended by SIGKILL" in caplog.text


def dead() -> subprocess.Popen[bytes]:
    """A process that SIGKILL has ended."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process.kill()
    process.communicate()
    return process


def test_an_app_that_cannot_start_waits_for_a_change(folder: Path, started: list[Process]) -> None:
    """Under ``--reload`` an error of the app's code is said, and mended code is served."""
    good = (folder / "served.py").read_text()
    (folder / "served.py").write_text("1 / 0\n")
    process = serve(folder, "--reload")
    started.append(process)
    process.wait_for("started again when a file changes")
    assert "ZeroDivisionError" in process.output
    assert "frozen importlib" not in process.output
    (folder / "served.py").write_text(good)
    process.wait_for("started <")
    assert process.stop() == 0


@pytest.mark.parametrize("code", [1, 2, 3])
def test_an_app_that_ends_its_process(folder: Path, started: list[Process], code: int) -> None:
    """Whatever the code is, another process is started, and its sibling goes on."""
    end = f"__import__('asyncio').get_running_loop().call_later(0.3, sys.exit, {code})"
    once = f"        if not os.path.exists('ended'): open('ended', 'x').close(); {end}\n"
    stays = '        await receive()\n        print("shutdown"'
    (folder / "served.py").write_text("import sys\n" + APP.replace(stays, once + stays))
    process = serve(folder, "--workers", "2")
    started.append(process)
    process.wait_for("started", count=3)
    assert f"ended with {code}; starting it again in 1 s" in process.output
    assert process.stop() == 0


@pytest.mark.parametrize("where", ["import", "startup"])
def test_an_app_that_ends_its_process_before_it_starts(
    folder: Path, started: list[Process], where: str
) -> None:
    """That is said and not tried again and again: only a change helps."""
    end = "sys.exit('no DATABASE_URL')"
    text = "import sys\n" + (end if where == "import" else APP.replace("await receive()", end, 1))
    (folder / "served.py").write_text(text)
    process = serve(folder, "--workers", "2")
    started.append(process)
    assert process.popen.wait(20) == 3
    assert "before it had started: SystemExit('no DATABASE_URL')" in process.output
    assert "starting it again" not in process.output
    (folder / "served.py").write_text(text)
    again = serve(folder, "--reload")
    started.append(again)
    again.wait_for("started again when a file changes")
    (folder / "served.py").write_text(APP)
    again.wait_for("started <")
    assert again.stop() == 0


def test_modules_named_like_pythons_own(folder: Path, started: list[Process]) -> None:
    """A project may have modules with names of the standard library, under ``--reload`` too."""
    for name in (
        "token",
        "types",
        "json",
        "base64",
        "secrets",
        "random",
        "platform",
        "queue",
        "http",
        "email",
        "calendar",
        "inspect",
        "traceback",
        "shutil",
    ):
        (folder / f"{name}.py").write_text("raise RuntimeError('this is of the project')\n")
    process = serve(folder, "--reload")
    started.append(process)
    process.wait_for("cannot reach the edge")
    assert process.stop() == 0
    assert "this is of the project" not in process.output


def test_the_command_of_a_child() -> None:
    """A child is started without the current folder before the standard library."""
    assert child_command(["run"])[1:] == ["-P", "-m", "asgi_tunnel", "run"]


FOLLOWER = """
import os, signal, sys, time
from asgi_tunnel import parent
parent.END_TIMEOUT = 0.2
parent.set_grace(0.0)
if sys.argv[1:] == ["deaf"]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
parent.follow()
print(f"following <{os.getpid()}>", flush=True)
time.sleep(120)
"""
"""A child that does nothing but follow its supervisor."""


def test_a_child_that_ignores_sigterm_is_ended_by_force(tmp_path: Path) -> None:
    """A child whose supervisor is gone is killed when its time for an end is over."""
    reading, writing = os.pipe()
    command = [sys.executable, "-c", FOLLOWER, "deaf"]
    env = {**os.environ, parent.VARIABLE: str(reading)}
    child = subprocess.Popen(command, env=env, pass_fds=(reading,), stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline().startswith(b"following")
        os.close(writing)
        assert child.wait(20) == -signal.SIGKILL
    finally:
        child.kill()
        child.communicate()
        os.close(reading)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have the pipe only")
def test_a_child_ends_where_somebody_keeps_the_pipe_open(tmp_path: Path) -> None:
    """The kernel tells a child of its supervisor's end when the pipe does not."""
    reading, writing = os.pipe()  # here the other end stays open
    middle = (
        "import subprocess, sys\n"
        f"subprocess.Popen([sys.executable, '-c', {FOLLOWER!r}], pass_fds=({reading},)).wait()"
    )
    command = [sys.executable, "-c", middle]
    env = {**os.environ, parent.VARIABLE: str(reading)}
    supervisor = subprocess.Popen(command, env=env, pass_fds=(reading,), stdout=subprocess.PIPE)
    pid = 0
    try:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline().partition(b"<")[2].partition(b">")[0])
        supervisor.kill()
        wait_until(lambda: not is_there(pid), what="the child ends")
    finally:
        supervisor.kill()
        if pid and is_there(pid):  # it has the supervisor's output open
            os.kill(pid, signal.SIGKILL)
        supervisor.communicate()
        os.close(reading)
        os.close(writing)
