"""A real edge: its parent, the process that serves, and what happens to them."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator
from tests.e2e.harness import BIN, Edge, running_edge, spawn, wait_until
from tests.e2e.ports import free_port

import asgi_tunnel_edge
from asgi_tunnel_edge.cli import main as edge_cli
from asgi_tunnel_edge.commands.running import ask_edge, tunnels_back
from asgi_tunnel_edge.commands.status import status_lines
from asgi_tunnel_edge.control import connect_control, open_control
from asgi_tunnel_edge.endpoints.health import HEALTH_PATH

SCHEMAS = Path(__file__).parents[3] / "docs/reference/schemas/edge"

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """An edge that its tests leave as they found it: serving."""
    with running_edge(tmp_path_factory.mktemp("parent")) as edge:
        yield edge


def asked(edge: Edge, command: str) -> Any:
    """What a command says in JSON, as its schema has it."""
    found = json.loads(edge.command(command, "--json"))
    Draft202012Validator(json.loads((SCHEMAS / f"{command}.json").read_text())).validate(found)
    return found


def refused(edge: Edge, command: str) -> str:
    """The one sentence of a command that changed nothing."""
    done = CliRunner().invoke(edge_cli, [command, "--data", str(edge.folder)])
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def health(port: int) -> int:
    """The status of a page of the edge's own, on a new connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", HEALTH_PATH)
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def is_alive(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def set_limit(edge: Edge, line: str) -> None:
    """Write a line into ``[limits]``."""
    file = edge.folder / "edge.toml"
    file.write_text(file.read_text().replace("[limits]\n", f"[limits]\n{line}\n", 1))


def serving(edge: Edge) -> Any:
    """The one process that serves, as ``status`` has it."""
    (one,) = [one for one in asked(edge, "status")["workers"] if one["state"] == "serving"]
    return one


def test_status(shared: Edge) -> None:
    """It names processes, versions, addresses, and what is in progress."""
    found = asked(shared, "status")
    assert found["parent"]["pid"] == shared.running.popen.pid
    assert found["version"] == found["parent"]["version"] == asgi_tunnel_edge.__version__
    assert found["addresses"] == [f"127.0.0.1:{shared.port}"]
    worker = serving(shared)
    assert worker["pid"] == shared.running.pid != shared.running.popen.pid
    assert (worker["replies"], worker["tunnels"], worker["is_draining"]) == (True, 0, False)
    text = shared.command("status")
    assert f"listening on 127.0.0.1:{shared.port}" in text
    assert f"serving {worker['pid']}, version" in text
    assert (shared.folder / "edge.control").stat().st_mode & 0o777 == 0o600


def test_a_crash_refuses_nobody(shared: Edge) -> None:
    """Who connects while the serving process is gone waits in the queue, and is served."""
    pid = shared.running.pid
    os.kill(pid, signal.SIGKILL)
    assert health(shared.port) == 200
    assert serving(shared)["pid"] != pid
    shared.running.wait_for(f"the serving process {pid} was ended by SIGKILL; another starts now")
    again = serving(shared)["pid"]
    os.kill(again, signal.SIGKILL)
    assert health(shared.port) == 200
    shared.running.wait_for(f"process {again} was ended by SIGKILL; another starts in 1 s")


def test_reload(shared: Edge) -> None:
    """An unchanged file changes nothing; a changed one brings another process; the old one goes."""
    before = asked(shared, "status")
    assert asked(shared, "reload")["changed"] == []
    assert asked(shared, "status")["generation"] == before["generation"]
    old = serving(shared)["pid"]
    set_limit(shared, "max_tunnels = 77")
    kept = http.client.HTTPConnection("127.0.0.1", shared.port, timeout=20)
    kept.request("GET", HEALTH_PATH)
    kept.getresponse().read()
    changed = asked(shared, "reload")
    assert changed["changed"] == ["limits.max_tunnels"]
    assert changed["generation"] == before["generation"] + 1
    assert changed["pid"] == serving(shared)["pid"] != old
    # A connection of the old process: it may ask once more, and hears that it is closed then.
    kept.request("GET", HEALTH_PATH)
    response = kept.getresponse()
    assert (response.status, response.getheader("connection")) == (200, "close")
    response.read()
    wait_until(lambda: not is_alive(old), what="the old process ends")
    assert health(shared.port) == 200
    assert (shared.folder / "edge.address").exists()


def test_a_broken_file_changes_nothing(shared: Edge) -> None:
    """Not by a reload, and not by a crash after it: what served once serves again."""
    pid = serving(shared)["pid"]
    file = shared.folder / "edge.toml"
    good = file.read_text()
    file.write_text(good + "\ncolour = 1\n")
    for command in ("reload", "upgrade"):
        assert ".colour: there is no such setting" in refused(shared, command)
    assert serving(shared)["pid"] == pid
    last = asked(shared, "status")["last_change"]
    assert (last["kind"], last["ok"]) == ("upgrade", False)
    os.kill(pid, signal.SIGKILL)
    assert health(shared.port) == 200
    file.write_text(good)


def test_hangup_reloads(shared: Edge) -> None:
    """SIGHUP to the parent is a reload; what came of it stands in ``status``."""
    set_limit(shared, "max_tunnels_per_token = 7")
    shared.running.popen.send_signal(signal.SIGHUP)
    wait_until(lambda: asked(shared, "status")["changing"] == "reload")
    # The process that is starting may have read the file: the second signal counts as well.
    set_limit(shared, "max_visitors_per_token = 7")
    shared.running.popen.send_signal(signal.SIGHUP)
    others: list[list[str]] = [[], ["limits.max_visitors_per_token"]]
    wait_until(lambda: asked(shared, "status")["last_change"].get("changed") in others)
    assert asked(shared, "status")["last_change"]["kind"] == "reload"
    assert ask_edge(shared.folder, "check")["changed"] == []


def test_another_address(shared: Edge) -> None:
    """A new address is listened on before the old one is closed."""
    port = free_port()
    file = shared.folder / "edge.toml"
    file.write_text(file.read_text().replace(f":{shared.port}", f":{port}"))
    assert asked(shared, "reload")["changed"] == ["listen"]
    assert health(port) == 200
    with pytest.raises(ConnectionRefusedError):
        health(shared.port)
    shared.port = port
    taken = socket.create_server(("127.0.0.1", 0))
    text = file.read_text()
    metrics = f'[metrics]\nlisten = "127.0.0.1:{taken.getsockname()[1]}"\n'
    other = free_port()
    file.write_text(text.replace(f":{port}", f":{other}").replace("[metrics]\n", metrics))
    assert "cannot listen on 127.0.0.1:" in refused(shared, "reload")
    wait_until(lambda: not is_listening(other), what="what it did open is closed")
    taken.close()
    file.write_text(text)
    assert health(port) == 200


def is_listening(port: int) -> bool:
    """Whether somebody takes connections."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def scrape(address: str) -> str:
    """The metrics, on a new connection."""
    connection = http.client.HTTPConnection(address, timeout=20)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def test_metrics(shared: Edge) -> None:
    """Off, and said so; after a reload by the socket and on an address, and after another too."""
    assert "error: metrics are off: write listen = " in refused(shared, "metrics")
    file = shared.folder / "edge.toml"
    text = file.read_text()
    file.write_text(text.replace("[metrics]\n", '[metrics]\nlisten = "127.0.0.1:0"\n', 1))
    assert asked(shared, "reload")["changed"] == ["metrics.listen"]
    address = asked(shared, "status")["addresses"][-1]
    generation = asked(shared, "status")["generation"]
    said = f"asgi_tunnel_edge_generation {generation}.0\n"
    assert said in shared.command("metrics")
    assert said in scrape(address)
    names = {one["name"] for one in asked(shared, "metrics")["metrics"]}
    assert "asgi_tunnel_edge_requests_total" in names
    set_limit(shared, "max_connections = 99")
    assert asked(shared, "reload")["ok"]
    said = f"asgi_tunnel_edge_generation {generation + 1}.0\n"
    assert asked(shared, "status")["addresses"][-1] == address
    wait_until(lambda: said in scrape(address), what="the next one is scraped")
    assert all(said in scrape(address) for _ in range(5))


def test_the_end(shared: Edge) -> None:
    """SIGTERM ends both in order; then nobody can be asked."""
    pid = shared.running.pid
    assert shared.running.stop() == 0
    assert not is_alive(pid)
    assert not {"edge.control", "edge.address"} & {one.name for one in shared.folder.iterdir()}
    done = CliRunner().invoke(edge_cli, ["status", "--data", str(shared.folder)])
    assert (done.exit_code, done.stderr.count("\n")) == (3, 1)
    assert done.stderr.startswith(f"error: no edge runs in {shared.folder}; start it with ")


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of this distribution that comes before the installed one."""
    source = Path(asgi_tunnel_edge.__file__).parent
    shutil.copytree(source, tmp_path / "code" / source.name)
    return tmp_path / "code"


@pytest.mark.timeout(180)  # three processes begin one after the other: 51 s with ten others a core
def test_upgrade(tmp_path: Path, copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is installed now serves and is the parent; what cannot be imported does not.

    The process of the parent stays, with its sockets and children: one that crashes is replaced.
    Where the installed version cannot read what is handed over, the parent stays as it is. It is
    killed in the end: its child ends with it.
    """
    monkeypatch.setenv("PYTHONPATH", str(copied))
    version = copied / "asgi_tunnel_edge" / "_version.py"
    with running_edge(tmp_path) as edge:
        version.write_text('__version__ = "9.9.9"\n')
        changed = asked(edge, "upgrade")
        assert (changed["version_before"], changed["version"]) == (
            asgi_tunnel_edge.__version__,
            "9.9.9",
        )
        before = asked(edge, "status")
        assert before["version"] == "9.9.9"
        edge.running.wait_for("the parent goes on as version 9.9.9")
        after = asked(edge, "status")
        assert after["parent"] == {"pid": edge.running.popen.pid, "version": "9.9.9"}
        assert after["last_change"] == before["last_change"]
        assert (after["generation"], after["uptime"] >= before["uptime"]) == (2, True)
        assert serving(edge)["pid"] == changed["pid"]
        os.kill(changed["pid"], signal.SIGKILL)
        assert health(edge.port) == 200
        assert serving(edge)["pid"] != changed["pid"]
        renewal = copied / "asgi_tunnel_edge/parent/renewal.py"
        renewal.write_text(renewal.read_text().replace("FORMAT: Final = 2", "FORMAT: Final = 3"))
        pid = asked(edge, "upgrade")["pid"]
        edge.running.wait_for("the parent stays version 9.9.9: the installed version cannot go on")
        assert serving(edge)["pid"] == pid
        version.write_text('raise RuntimeError("half of a version")\n')
        sentence = refused(edge, "upgrade")
        assert "ended with 1 before it served; the last it said: RuntimeError: half" in sentence
        assert serving(edge)["pid"] == pid
        assert health(edge.port) == 200
        edge.running.kill()
        wait_until(lambda: not is_alive(pid), what="the serving process ends with its parent")


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """A service manager: called with a text, it returns once it is told that, after the last."""
    heard: list[str] = []
    read = 0
    address = str(tmp_path / "notify")

    def listen() -> None:
        while data := sock.recv(4096):
            heard.append(data.decode())

    def hear(text: str) -> None:
        nonlocal read
        wait_until(lambda: any(text in one for one in heard[read:]), what=text)
        read = next(n for n in range(read, len(heard)) if text in heard[n]) + 1

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address)
        thread = threading.Thread(target=listen)
        thread.start()
        yield hear
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", address)
        thread.join()


@pytest.mark.timeout(180)  # as above
def test_for_a_service_manager(tmp_path: Path, manager: Callable[[str], None]) -> None:
    """Its socket is used, it hears what happens, and gets signs of life while there are any."""
    with running_edge(tmp_path) as edge:
        edge.stop()
        with socket.create_server(("127.0.0.1", edge.port)) as given:
            given.set_inheritable(True)
            env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
            run = f"exec 3<&{given.fileno()}; export LISTEN_FDS=1 LISTEN_FDNAMES=listen; "
            run += f'LISTEN_PID=$$ exec "{BIN}/asgi-tunnel-edge" run --data "{edge.folder}"'
            # The edge before this one still drains, and has the control socket.
            drains = open_control(str(edge.folder))
            assert drains is not None
            process = _spawned(run, given.fileno(), env)
            try:
                manager(f"READY=1\nMAINPID={process.pid}\nSTATUS=generation 1")
                manager("WATCHDOG=1")
                assert health(edge.port) == 200
                drains.close()
                wait_until(lambda: is_asked(edge), what="the control socket is this edge's")
                set_limit(edge, "max_tunnels = 8")
                assert asked(edge, "reload")["ok"]
                manager("RELOADING=1\nMONOTONIC_USEC=")
                manager("STATUS=generation 2")
                assert health(edge.port) == 200
                # Another version of the same process: the manager's socket, watchdog and all.
                assert asked(edge, "upgrade")["ok"]
                # What was due meanwhile comes in one turn, and so would all that has its interval.
                process.send_signal(signal.SIGSTOP)
                time.sleep(0.3)
                process.send_signal(signal.SIGCONT)
                manager("STATUS=generation 3")
                wait_until(lambda: "resume" in _command_of(process.pid), what="the new parent")
                manager(f"READY=1\nMAINPID={process.pid}\nSTATUS=generation 3")
                manager("WATCHDOG=1")
                assert health(edge.port) == 200
                # In the moment in which it becomes that version once more.
                assert asked(edge, "upgrade")["ok"]
                process.terminate()
                manager("STOPPING=1")
                assert process.wait(20) == 0
            finally:
                process.kill()
                process.wait()


def is_asked(edge: Edge) -> bool:
    """Whether it has a control socket."""
    try:
        connect_control(str(edge.folder)).close()
    except OSError:
        return False
    return True


def _command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode()


def _spawned(run: str, handle: int, env: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["bash", "-c", run],
        env={**os.environ, **env},
        pass_fds=(handle,),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("moment", ["imports", "opens"])
def test_a_stop_while_it_starts(tmp_path: Path, moment: str) -> None:
    """It ends in order, and starts no second process; nothing has failed."""
    place = ["--data", str(tmp_path), "--domain", "example.test", "--listen", "127.0.0.1:0"]
    CliRunner().invoke(edge_cli, ["init", *place, "--tls", "off"], catch_exceptions=False)
    run = [str(BIN / "asgi-tunnel-edge"), "run", "--data", str(tmp_path), "--workers", "2"]
    process = spawn(run, tmp_path)
    children = Path(f"/proc/{process.popen.pid}/task/{process.popen.pid}/children")
    wait_until(children.read_text, what="the first one is there")
    if moment == "opens":
        (pid,) = map(int, children.read_text().split())
        wait_until(lambda: catches(pid, signal.SIGTERM), what="it has begun to open")
    assert process.stop() == 0, process.output
    assert "Traceback" not in process.output


def catches(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal."""
    mask = Path(f"/proc/{pid}/status").read_text().partition("SigCgt:")[2].split()[0]
    return bool(int(mask, 16) >> (number - 1) & 1)


def test_one_that_cannot_start(tmp_path: Path) -> None:
    """The exit code is that of the serving process, and nothing is said twice."""
    process = spawn([str(BIN / "asgi-tunnel-edge"), "run", "--data", str(tmp_path)], tmp_path)
    assert process.popen.wait(30) == 2
    assert process.output.startswith("error: --data: ")
    assert process.output.count("\n") == 1


def test_what_a_worker_misses() -> None:
    """`status` says of each process whether its database and its bus are away."""
    one: dict[str, Any] = {
        "state": "serving",
        "pid": 7,
        "version": "1",
        "generation": 1,
        "worker": 0,
        "uptime": 1,
    }
    one |= {"replies": True, "tunnels": 0, "is_draining": False}
    reply: dict[str, Any] = {
        "version": "1",
        "generation": 1,
        "uptime": 1,
        "addresses": [],
        "access": None,
    }
    reply |= {"parent": {"pid": 6, "version": "1"}, "changing": None, "last_change": None}
    for more, has in (
        ({}, False),
        ({"is_bus_connected": True, "is_database_read": True}, False),
        ({"is_bus_connected": False, "is_database_read": False}, True),
    ):
        said = status_lines({**reply, "workers": [{**one, **more}]})[3]
        assert ("the bus is away" in said) is has
        assert ("its database cannot be read" in said) is has


def test_tunnels_that_are_back() -> None:
    """Apps that come from another edge meanwhile are not counted as back."""
    assert tunnels_back({"tunnels": 2, "tunnels_before": 1}) == "tunnels: 1 of 1 are back"
    assert tunnels_back({"tunnels": 1, "tunnels_before": 2}) == "tunnels: 1 of 2 are back"
