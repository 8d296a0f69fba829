from __future__ import annotations

import asyncio
import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.asgi.fakes import FakeConnector, Life
from tests.asgi.memory import until
from tests.e2e.harness import BIN, Edge, Process, running_edge, spawn, wait_until
from tests.e2e.harness import Token as EdgeToken
from tests.e2e.visitor import visiting

import asgi_tunnel
from asgi_tunnel import stop
from asgi_tunnel.cli import main
from asgi_tunnel.errors import ConfigError, TunnelError
from asgi_tunnel.loading import load_app
from asgi_tunnel.runner import extend_path
from asgi_tunnel.token import Token

NOWHERE = Token(edge="ws://127.0.0.1:9", id="tok_1", secret="s" * 43, pin=None).format()
"""A token of an edge that does not answer."""

APP = """
import asyncio, sys

def say(what):
    print(what, flush=True)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        say("started")
        await receive()
        say("shutdown")
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    say("request")
    if scope["path"] == "/slow":
        await asyncio.sleep(0.5)
    elif scope["path"] == "/endless":
        try:
            await asyncio.Event().wait()
        finally:
            say("cancelled")
    await send({"type": "http.response.body", "body": str(scope.get("state")).encode()})

def make():
    return app

def make_with(settings=None):
    return app

async def make_later():
    return app

def wsgi(environ, start_response):
    pass

class Plain:
    async def __call__(self, scope, receive, send):
        pass

async def failing(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})
    raise ValueError("no database")

async def raising(scope, receive, send):
    raise ValueError("Django can only handle ASGI/HTTP connections, not lifespan.")

async def hanging(scope, receive, send):
    await receive()
    say("starting")
    try:
        await asyncio.Event().wait()
    finally:
        say("cancelled")

async def clinging(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    say("shutdown")
    try:
        await asyncio.Event().wait()
    finally:
        say("cancelled")

constant = 7
"""

SLOW = """
import asyncio, os, time

if os.environ["SLOW"] == "importing":
    print("starting", flush=True)
    time.sleep(120)

async def sleeping(scope, receive, send):
    await receive()
    print("starting", flush=True)
    time.sleep(120)

async def threaded(scope, receive, send):
    await receive()
    print("starting", flush=True)
    await asyncio.to_thread(time.sleep, 120)
"""
"""Apps whose startup takes two minutes."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the module ``served``."""
    (tmp_path / "served.py").write_text(APP)
    (tmp_path / "src" / "shop").mkdir(parents=True)
    (tmp_path / "src" / "lone.py").write_text("")
    (tmp_path / "src" / "shop" / "__init__.py").write_text("")
    (tmp_path / "src" / "shop" / "main.py").write_text("")
    return tmp_path


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """One edge for the tests that need an open tunnel."""
    with running_edge(tmp_path_factory.mktemp("edge")) as one:
        yield one


@pytest.fixture(scope="module")
def shop(edge: Edge) -> EdgeToken:
    """A token of that edge."""
    return edge.create_token("shop")


def serve(folder: Path, app: str, *options: str, token: str = NOWHERE, **env: str) -> Process:
    """Start ``asgi-tunnel run`` in the folder."""
    command = [str(BIN / "asgi-tunnel"), "run", app, *options]
    return spawn(command, folder, env={"ASGI_TUNNEL_TOKEN": token, **env}, cwd=folder)


def ended(process: Process) -> tuple[int, str]:
    """Wait for the end; return exit code and output."""
    return process.popen.wait(20), process.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0(folder: Path, number: int) -> None:
    """A68: one signal runs the app's shutdown and ends with code 0, also before it is live."""
    process = serve(folder, "served:app")
    process.wait_for("cannot reach the edge")
    assert process.stop(number) == 0
    assert process.output.index("started") < process.output.index("shutdown")
    assert "Traceback" not in process.output


def test_threads_of_the_app_do_not_keep_it_up(folder: Path) -> None:
    """A thread that is no daemon and has no end delays the end of the process, and is named."""
    (folder / "threads.py").write_text(
        "import threading\nfrom served import app\n"
        "threading.Thread(target=threading.Event().wait, name='kernel').start()\n"
    )
    process = serve(folder, "threads:app")
    process.wait_for("cannot reach the edge")
    assert process.stop() == 0
    assert "shutdown" in process.output
    assert "kernel" in process.output


def test_a_refused_token_is_1(folder: Path, edge: Edge) -> None:
    """A67: a token that the edge refuses ends it with 1, after the app's shutdown."""
    stranger = Token(edge=f"ws://127.0.0.1:{edge.port}", id="tok_x", secret="s" * 43, pin=None)
    code, output = ended(serve(folder, "served:app", token=stranger.format()))
    assert code == 1, output
    assert "refuses" in output
    assert "shutdown" in output
    assert stranger.secret not in output


@pytest.mark.parametrize(
    ("app", "options", "token", "why"),
    [
        ("served", (), NOWHERE, "write it like main:app, here perhaps served:app"),
        ("served:", (), NOWHERE, "write it like main:app"),
        (":app", (), NOWHERE, "write it like main:app"),
        ("missing:app", (), NOWHERE, "cannot be found"),
        ("served:missing", (), NOWHERE, "does not have"),
        ("served:ap", (), NOWHERE, "perhaps served:app"),
        ("./served.py:app", (), NOWHERE, "`asgi-tunnel run served:app`"),
        ("served.py:app", (), NOWHERE, "`asgi-tunnel run served:app`"),
        ("served.py", (), NOWHERE, "`asgi-tunnel run served:app`"),
        ("./served.py", (), NOWHERE, "`asgi-tunnel run served:app`"),
        ("src/lone.py:api", (), NOWHERE, "`asgi-tunnel run lone:api --app-dir src`"),
        ("src\\lone.py:api", (), NOWHERE, "`asgi-tunnel run lone:api --app-dir src`"),
        ("src/lone:api", (), NOWHERE, "`asgi-tunnel run lone:api --app-dir src`"),
        ("src/shop/main.py:api", (), NOWHERE, "`asgi-tunnel run shop.main:api --app-dir src`"),
        ("lone:api", (), NOWHERE, "`asgi-tunnel run lone:api --app-dir src`"),
        ("shop.main:api", (), NOWHERE, "`asgi-tunnel run shop.main:api --app-dir src`"),
        (".served:app", (), NOWHERE, "no name of Python"),
        ("served..x:app", (), NOWHERE, "no name of Python"),
        ("my-app:app", (), NOWHERE, "no name of Python"),
        ("served:app:x", (), NOWHERE, "no name of Python"),
        ("served :app", (), NOWHERE, "no name of Python"),
        ("served:make()", (), NOWHERE, "served:make --factory"),
        ("served:make", (), NOWHERE, "add --factory"),
        ("served:make_with", (), NOWHERE, "add --factory"),
        ("served:Plain", (), NOWHERE, "is a class"),
        ("served:app", ("--factory",), NOWHERE, "leave out --factory"),
        ("served:make_later", ("--factory",), NOWHERE, "coroutine function"),
        ("served:wsgi", (), NOWHERE, "WSGI"),
        ("served:sys", (), NOWHERE, "module"),
        ("served:constant", (), NOWHERE, "is not callable"),
        ("served:constant", ("--factory",), NOWHERE, "is not callable"),
        ("served:app", (), "", "ASGI_TUNNEL_TOKEN is not set"),
        ("served:app", (), "att1.nonsense", "ASGI_TUNNEL_TOKEN"),
        ("served:app", ("--connections", "99"), NOWHERE, "1 to 8"),
        ("served:app", ("--grace", "-1"), NOWHERE, "ASGI_TUNNEL_GRACE"),
        ("served:app", ("--root-path", "shop"), NOWHERE, "slash"),
        ("served:app", ("--app-dir", "missing"), NOWHERE, "is no folder"),
        ("served:app", ("--lifespan", "maybe"), NOWHERE, "invalid choice"),
        ("served:app", ("--workers", "²"), NOWHERE, "from 1 to 64"),
    ],
)
def test_a_wrong_setting_is_2(
    folder: Path, app: str, options: tuple[str, ...], token: str, why: str
) -> None:
    """A67: what the user has to correct ends it with 2 and one sentence, no traceback."""
    code, output = ended(serve(folder, app, *options, token=token))
    assert code == 2, output
    assert why in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import no_such_module", "No module named 'no_such_module'"),
        ("def app(:", "SyntaxError"),
        ("from served import nothing", "ImportError"),
        ("import sys; sys.exit('no database')", "no database"),
        ("def make(): 1 / 0", "ZeroDivisionError"),
    ],
)
def test_an_app_that_raises_when_imported(folder: Path, code: str, what: str) -> None:
    """The app's own traceback is shown, without our part of it; the exit code is 2."""
    (folder / "broken.py").write_text(code)
    arguments = ("broken:make", "--factory") if "make" in code else ("broken:app",)
    number, output = ended(serve(folder, *arguments))
    assert number == (1 if "exit" in code else 2), output
    assert what in output
    assert "broken.py" in output or "exit" in code
    assert "asgi_tunnel/" not in output
    assert "frozen importlib" not in output


def test_a_failed_startup_is_3(folder: Path) -> None:
    """A67: ``startup.failed`` ends it with 3; the reason is told once and nothing was dialed."""
    code, output = ended(serve(folder, "served:failing"))
    assert code == 3
    assert output.count("no database") == 1
    assert "edge" not in output


@pytest.mark.parametrize("place", ["import", "startup"])
def test_an_app_that_configures_logging_hides_nothing(folder: Path, place: str) -> None:
    """What the runner has to say appears though the app's logging goes to a file."""
    (folder / "quiet.py").write_text(
        "import logging.config\n"
        "def configure():\n"
        "    file = {'class': 'logging.FileHandler', 'filename': 'app.log'}\n"
        "    root = {'handlers': ['file'], 'level': 'ERROR'}\n"
        "    logging.config.dictConfig({'version': 1, 'handlers': {'file': file}, 'root': root})\n"
        "async def app(scope, receive, send):\n"
        "    await receive()\n"
        "    configure()\n"
        "    await send({'type': 'lifespan.startup.complete'})\n"
        "    await receive()\n" + ("configure()\n" if place == "import" else "")
    )
    process = serve(folder, "quiet:app")
    process.wait_for("cannot reach the edge")
    assert process.stop() == 0
    assert process.output.rstrip().endswith("stopped")
    code, output = ended(serve(folder, "quiet:missing"))
    assert code == 2
    assert output.count("does not have") == 1


HANGS = """
import asyncio, threading
from served import app as other

tasks = []

async def worker():
    while True:
        try:
            await asyncio.to_thread(threading.Event().wait) if threads else await asyncio.sleep(1)
        except asyncio.CancelledError:
            pass

async def app(scope, receive, send):
    tasks.append(asyncio.create_task(worker()))
    await other(scope, receive, send)
"""


@pytest.mark.parametrize("threads", [True, False])
def test_a_further_signal_ends_what_does_not_end(folder: Path, threads: bool) -> None:
    """Once the app was shut down: its tasks that take no cancel, and threads that wait for ever."""
    (folder / "hangs.py").write_text(f"threads = {threads}\n{HANGS}")
    process = serve(folder, "hangs:app", PYTHONUNBUFFERED="")
    try:
        process.wait_for("cannot reach the edge")
        process.popen.send_signal(signal.SIGINT)
        process.wait_for("stopped")
        wait_until(lambda: _signalled(process, signal.SIGINT), what="a further signal ends it")
        assert process.popen.wait(1) == 0
    finally:
        process.kill()
    assert "shutdown" in process.output
    assert "the app has tasks or threads that do not end; ended by force" in process.output


def _signalled(process: Process, number: int) -> bool:
    """Send a signal, as somebody who loses patience; return whether it has ended."""
    if process.is_alive():
        process.popen.send_signal(number)
    with suppress(subprocess.TimeoutExpired):
        process.popen.wait(0.2)
    return not process.is_alive()


def test_lifespan_on_needs_one(folder: Path) -> None:
    """A66: with ``--lifespan on`` an app without a lifespan ends it with 3."""
    code, output = ended(serve(folder, "served:raising", "--lifespan", "on"))
    assert code == 3
    assert "no lifespan" in output or "not lifespan" in output


def test_lifespan_auto_goes_without(folder: Path) -> None:
    """A66: by default an app that raises on lifespan is served."""
    process = serve(folder, "served:raising")
    process.wait_for("cannot reach the edge")
    assert process.stop() == 0
    assert "lifespan" not in process.output


def test_lifespan_off_does_not_call_it(folder: Path, edge: Edge, shop: EdgeToken) -> None:
    """A17: with ``--lifespan off`` the app is not asked, and requests have no state."""
    process = serve(folder, "served:app", "--lifespan", "off", token=shop.token)
    process.wait_for("is live")
    with visiting(edge) as visitor:
        visitor.ask("/")
        assert visitor.read_body(visitor.read_head()) == b"None"
    assert process.stop() == 0
    assert "started" not in process.output


def test_factory_and_app_dir(tmp_path: Path, folder: Path) -> None:
    """A75: ``--factory`` calls what it finds, ``--app-dir`` says where to look."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    process = serve(elsewhere, "served:make", "--factory", "--app-dir", str(folder))
    process.wait_for("started")
    assert process.stop() == 0


@pytest.mark.parametrize("options", [(), ("--reload",)], ids=" ".join)
def test_env_file(folder: Path, options: tuple[str, ...]) -> None:
    """``--env-file`` sets what is not set yet, before the app is imported; a missing file is 2."""
    (folder / ".env").write_text(f"ASGI_TUNNEL_TOKEN={NOWHERE}\nNAME=from the file\nSET=file\n")
    (folder / "served.py").write_text(
        f"import os\nprint(os.environ['NAME'], os.environ['SET'])\n{APP}"
    )
    command = [str(BIN / "asgi-tunnel"), "run", "served:app", *options]
    env = {"SET": "already", "ASGI_TUNNEL_TOKEN": ""}
    process = spawn(
        ["env", "-u", "ASGI_TUNNEL_TOKEN", *command, "--env-file", ".env"],
        folder,
        env=env,
        cwd=folder,
    )
    process.wait_for("cannot reach the edge")
    assert process.stop() == 0
    assert "from the file already" in process.output
    code, output = ended(serve(folder, "served:app", *options, "--env-file", "missing"))
    assert code == 2
    assert "--env-file names a file that cannot be read" in output


@pytest.mark.parametrize("is_logged", [True, False])
def test_what_a_terminal_shows(folder: Path, edge: Edge, shop: EdgeToken, is_logged: bool) -> None:
    """Connecting, the URL, each request and the stop have a line; requests on demand none."""
    options = () if is_logged else ("--no-access-log",)
    process = serve(folder, "served:app", *options, token=shop.token)
    process.wait_for("is live")
    with visiting(edge) as visitor:
        visitor.ask("/page?key=secret")
        visitor.read_body(visitor.read_head())
    if is_logged:
        process.wait_for("GET /page 200 ")
    assert process.stop() == 0
    seen = [one for one in process.output.splitlines() if "asgi-tunnel: " in one]
    assert len(seen) == (5 if is_logged else 4), seen
    for line, text in zip(
        (*seen[:2], *seen[-2:]),
        ("connecting to ws://", "served:app is live: http://shop.", "SIGTERM: stopping", "stopped"),
        strict=True,
    ):
        assert text in line
    assert "secret" not in process.output


def test_requests_in_progress_are_finished(folder: Path, edge: Edge, shop: EdgeToken) -> None:
    """A68: a signal drains: the response in progress is complete before the app's shutdown."""
    process = serve(folder, "served:app", token=shop.token)
    process.wait_for("is live")
    with visiting(edge) as visitor:
        visitor.ask("/slow")
        process.wait_for("request")
        process.popen.send_signal(signal.SIGTERM)
        assert visitor.read_body(visitor.read_head()) == b"{}"
    code, output = ended(process)
    assert code == 0
    assert "shutdown" in output
    assert "Traceback" not in output


def test_a_second_signal_ends_the_drain(folder: Path, edge: Edge, shop: EdgeToken) -> None:
    """A69: the second signal cancels what is in progress; the app's shutdown still runs."""
    process = serve(folder, "served:app", "--grace", "60", token=shop.token)
    process.wait_for("is live")
    with visiting(edge) as visitor:
        visitor.ask("/endless")
        process.wait_for("request")
        process.popen.send_signal(signal.SIGINT)
        process.popen.send_signal(signal.SIGTERM)
        code, output = ended(process)
    assert code == 0, output
    assert "a further signal" in output
    assert output.index("cancelled") < output.index("shutdown")
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("app", "number"),
    [
        ("hanging", signal.SIGTERM),
        ("hanging", signal.SIGINT),
        ("hanging", signal.SIGHUP),
        ("importing", signal.SIGTERM),
        ("sleeping", signal.SIGTERM),  # blocks the event loop
        ("threaded", signal.SIGTERM),  # keeps the process
    ],
)
def test_a_signal_ends_a_startup(folder: Path, app: str, number: int) -> None:
    """One signal ends an app that has not started, with a line, whatever it waits for."""
    (folder / "slow.py").write_text(SLOW)
    process = serve(folder, "served:hanging" if app == "hanging" else f"slow:{app}", SLOW=app)
    process.wait_for("starting")
    process.popen.send_signal(number)
    code, output = ended(process)
    assert code == 0, output
    assert f"{signal.Signals(number).name}: stopping, before the app has started" in output
    assert "Traceback" not in output
    assert ("ended by force" in output) == (app in ("sleeping", "threaded"))


EARLY = """
import os, signal, sys
from asgi_tunnel.cli import main

class Finder:
    def find_spec(self, name, *_):
        if name == "asgi_tunnel.runner":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
sys.argv[1:] = ["run", "main:app"]
main()
"""


def test_ctrl_c_before_anything_has_begun_shows_no_traceback() -> None:
    """A quarter of a second goes by until the runner listens to signals."""
    done = subprocess.run([sys.executable, "-c", EARLY], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")


LAST = """
import os, signal
from served import app

class Last:
    def __del__(self, kill=os.kill, pid=os.getpid(), number=signal.SIGTERM):
        print("the interpreter ends", flush=True)
        kill(pid, number)

last = Last()
"""


def test_a_further_signal_at_the_very_end_changes_nothing(folder: Path) -> None:
    """Python has taken its handlers away by then; the process has done all that it should."""
    (folder / "last.py").write_text(LAST)
    process = serve(folder, "last:app")
    process.wait_for("cannot reach the edge")
    process.popen.send_signal(signal.SIGINT)
    code, output = ended(process)
    assert "the interpreter ends" in output
    assert code == 0, output


def test_a_further_signal_ends_a_hanging_shutdown(folder: Path) -> None:
    """A69: who waits in vain for the app's shutdown ends it with a further signal."""
    process = serve(folder, "served:clinging")
    process.wait_for("cannot reach the edge")
    process.popen.send_signal(signal.SIGINT)
    process.wait_for("shutdown")
    process.popen.send_signal(signal.SIGTERM)
    code, output = ended(process)
    assert code == 0, output
    assert "cancelled" in output


def test_run_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    """Who leaves out ``run`` gets the whole command."""
    assert main(["main:app", "--reload"]) == 2
    assert "asgi-tunnel run main:app --reload" in capsys.readouterr().err


async def test_run_in_a_running_loop_names_serve() -> None:
    """``run`` where an event loop runs says what to write instead, and calls nothing."""
    with pytest.raises(RuntimeError, match=r"await asgi_tunnel\.serve\(app\)") as caught:
        asgi_tunnel.run(Life(), token=NOWHERE)
    assert isinstance(caught.value, TunnelError)


# -- in this process -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "where",
    ["", "json", "json:", ":loads", "no_such_module:app", "json.nothing:app", "json:no.way"],
)
def test_load_app_says_what_is_wrong(where: str) -> None:
    """A67: a place that holds no app is a ConfigError that names it."""
    with pytest.raises(ConfigError, match=r"main:app|cannot be found|does not have"):
        load_app(where)


def test_load_app_follows_dots() -> None:
    """A75: an attribute of an attribute is found, and a factory is called."""
    assert load_app("tests.asgi.fakes:FakeConnector.get").__name__ == "get"
    assert isinstance(load_app("tests.asgi.fakes:Life", factory=True), Life)


def test_load_app_shows_errors_of_the_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A67: an error inside the user's module keeps its traceback, a missing import of it too."""
    monkeypatch.setattr("sys.path", [*sys.path])
    extend_path(str(tmp_path))
    (tmp_path / "broken_a75.py").write_text("1 / 0")
    (tmp_path / "lacking_a75.py").write_text("import no_such_module_a75")
    with pytest.raises(ZeroDivisionError):
        load_app("broken_a75:app")
    with pytest.raises(ModuleNotFoundError):
        load_app("lacking_a75:app")


async def test_the_same_signal_at_once_again_is_still_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What signals a process and then its group leaves what is in progress its grace."""
    stopping = stop.Stop()
    stopping.attach()
    stopping.is_starting = False
    with stopping.installed():
        monkeypatch.setattr(stop, "SAME", 60.0)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert await stopping.guard(asyncio.sleep(0.05), "the test")
        monkeypatch.setattr(stop, "SAME", 0.0)
        signal.raise_signal(signal.SIGTERM)
        assert not await stopping.guard(asyncio.sleep(30), "the test")


async def test_serve_runs_in_the_loop_it_finds(connectors: list[FakeConnector]) -> None:
    """A68: cancelling ``serve`` closes the tunnel and still runs the app's shutdown."""
    app = Life()
    serving = asyncio.ensure_future(asgi_tunnel.serve(app, token=NOWHERE))
    await until(lambda: connectors)
    assert (await connectors[0].get()).body == b"{'pool': 7}"
    old = signal.getsignal(signal.SIGTERM)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert connectors[0].log == ["start", "abort"]
    assert app.log[-1] == "shutdown"
    assert signal.getsignal(signal.SIGTERM) != old


async def test_serve_raises_what_run_turns_into_codes(connectors: list[FakeConnector]) -> None:
    """A67: a failed startup and a missing token raise from ``serve``."""
    with pytest.raises(TunnelError, match="could not be served"):
        await asgi_tunnel.serve(Life("failed"), token=NOWHERE)
    with pytest.raises(ConfigError, match="is not set"):
        await asgi_tunnel.serve(Life(), token="")
    assert not connectors


@pytest.mark.parametrize("version", ["2.2", "2.5", "3"])
async def test_only_two_versions_can_be_chosen(version: str) -> None:
    """A46: a version of ASGI HTTP other than 2.3 and 2.4 is refused."""
    with pytest.raises(ConfigError, match="spec_version"):
        await asgi_tunnel.serve(Life(), token=NOWHERE, spec_version=version)


async def test_the_runner_unwraps_the_tunnel(
    connectors: list[FakeConnector], caplog: pytest.LogCaptureFixture
) -> None:
    """A65: ``asgi-tunnel run`` of a wrapped app opens one tunnel, the runner's."""
    caplog.set_level(logging.INFO)
    app = Life()
    wrapped = asgi_tunnel.Tunnel(app, token=NOWHERE, enabled=True)
    serving = asyncio.ensure_future(asgi_tunnel.serve(wrapped, token=NOWHERE))
    await until(lambda: connectors)
    await connectors[0].get()
    serving.cancel()
    await asyncio.wait([serving])
    assert len(connectors) == 1
    assert app.log == ["startup", "request", "start", "abort", "shutdown"]
