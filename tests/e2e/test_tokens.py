"""Tokens that are good, and each way in which one is not: what happens, and what is said."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from asgi_tunnel.token import Token as TokenText
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.tokens import TokenRecord, new_secret, new_token_id, secret_digest

from .browsing import APPS, ROOT, TIMEOUT, browse
from .harness import BIN, Edge, Process, allowed, running_app, running_edge, spawn, wait_until

pytestmark = pytest.mark.e2e

APP = f"{APPS}.scope_app:app"
TUNNELED = f"{APPS}.starlette_app:served"

ONE = {"ASGI_TUNNEL_CONNECTIONS": "1"}
"""The edge counts wrong tokens by address, and all of these tests have the same one."""

REVOKED_IN = 1.0
"""Seconds that a revocation may take; reading the clock and the logs is part of it."""


def within(condition: Callable[[], object], what: str) -> None:
    """Return when ``condition()`` is true; fail where that takes longer than promised."""
    began = time.monotonic()
    wait_until(condition, what=what)
    assert time.monotonic() - began < allowed(REVOKED_IN, began)


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """One edge for all that need no TLS."""
    with running_edge(tmp_path_factory.mktemp("edge")) as running:
        yield running


@pytest.fixture(scope="module")
def secure_edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """An edge whose certificate is pinned in its tokens."""
    with running_edge(tmp_path_factory.mktemp("secure"), tls="internal") as running:
        yield running


def new_name() -> str:
    """A name that no other test uses."""
    return f"token-{uuid4().hex[:8]}"


def run_app(folder: Path, *options: str, **environ: str) -> Process:
    """Start ``asgi-tunnel run`` with just these settings."""
    # Empty and unset are the same to the settings; the machine's own must not be read.
    clean = {"ASGI_TUNNEL_TOKEN": "", "ASGI_TUNNEL_TOKEN_FILE": "", **ONE, **environ}
    command = [str(BIN / "asgi-tunnel"), "run", APP, "--app-dir", str(ROOT), *options]
    return spawn(command, folder, env=clean)


def ended(process: Process) -> tuple[int, str]:
    """Wait for the end of a process; its exit code and all it said."""
    try:
        code = process.popen.wait(TIMEOUT)
    finally:
        process.kill()
    assert "Traceback" not in process.output
    return code, process.output


def expired_token(edge: Edge, name: str) -> str:
    """A token whose time was over long ago; the command line makes none."""
    id_, secret, then = new_token_id(), new_secret(), int(time.time()) - 100_000
    record = TokenRecord(
        id=id_,
        name=name,
        secret_sha256=secret_digest(secret),
        hostnames=(f"{name}.example.test",),
        created_at=then - 10,
        expires_at=then,
    )
    Store(edge.folder / "edge.sqlite3").create_token(record)
    return TokenText(edge=f"ws://127.0.0.1:{edge.port}", id=id_, secret=secret).format()


def secret_of(token: str) -> str:
    """The part that must stay secret."""
    return TokenText.parse(token).secret


def assert_kept_secret(token: str, *processes: Process) -> None:
    """Neither output nor argument list of any process shows the token or its secret."""
    for process in processes:
        assert secret_of(token) not in process.output
        if process.is_alive():
            arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes()
            assert secret_of(token).encode() not in arguments


# -- while the app runs -------------------------------------------------------------------------


def test_revoked_token_ends_its_session(edge: Edge, tmp_path: Path) -> None:
    """A revocation takes a running app off its hostname at once, and the app says why."""
    name = new_name()
    token = edge.create_token(name)
    with (
        running_app(tmp_path, token, APP, app_dir=ROOT, env=ONE) as app,
        browse(edge, token.hostnames[0]) as web,
    ):
        assert web.get("/").status_code == 200
        edge.command("token", "revoke", name)
        within(
            lambda: "the session ended: the token was revoked" in app.output,
            what=f"the end of the session:\n{app.output}",
        )
        assert web.get("/").status_code == 404
        app.wait_for(f"token {name} ({token.id}) was revoked; create a new one with")
        assert app.is_alive()
        assert_kept_secret(token.token, app, edge.running)
        assert app.stop() == 0


def test_rotated_secret_ends_its_session(edge: Edge, tmp_path: Path) -> None:
    """Apps go on over a rotation; each is taken off when its own secret ends, and hears why."""
    name = new_name()
    token = edge.create_token(name)
    with (
        running_app(tmp_path, token, APP, app_dir=ROOT, env=ONE) as app,
        browse(edge, token.hostnames[0]) as web,
    ):
        rotated = json.loads(edge.command("token", "rotate", name, "--json"))["token"]
        assert web.get("/").status_code == 200
        with running_app(tmp_path, rotated, APP, app_dir=ROOT, env=ONE) as other:
            edge.command("token", "rotate", name, "--overlap", "0")
            within(
                lambda: "the session ended: the token got another secret" in app.output,
                what=f"the end of the session:\n{app.output}",
            )
            app.wait_for("does not know the token, or its secret is wrong")
            within(
                lambda: "the session ended: the token got another secret" in other.output,
                what=f"the end of the other session:\n{other.output}",
            )
            other.wait_for(f"token {name} ({token.id}) has had another secret since ")
            assert_kept_secret(token.token, app, other, edge.running)
            assert other.stop() == 0
        assert app.stop() == 0


def test_hostnames_come_and_go_with_the_same_token(edge: Edge, tmp_path: Path) -> None:
    """A running edge and a running app serve one more hostname, and then no longer."""
    name = new_name()
    token = edge.create_token(name)
    more = f"more-{name}.example.test"

    def status(hostname: str) -> int:
        with browse(edge, hostname) as web:
            return web.get("/").status_code

    with running_app(tmp_path, token, APP, app_dir=ROOT, env=ONE):
        assert status(more) == 404
        edge.command("host", "add", name, more)
        within(lambda: status(more) == 200, what="the new hostname")
        edge.command("host", "rm", token.hostnames[0])
        within(lambda: status(token.hostnames[0]) == 404, what="its end")
        assert status(more) == 200


def test_expired_token_ends_its_session(edge: Edge, tmp_path: Path) -> None:
    """When the time of a token is over, its app is taken off, and says why."""
    name = new_name()
    token = edge.create_token(name, "--expires", "1m")
    with (
        running_app(tmp_path, token, APP, app_dir=ROOT, env=ONE) as app,
        browse(edge, token.hostnames[0]) as web,
    ):
        assert web.get("/").status_code == 200
        with sqlite3.connect(edge.folder / "edge.sqlite3", timeout=TIMEOUT) as database:
            past = int(time.time()) - 3600
            database.execute("UPDATE tokens SET expires_at = ? WHERE id = ?", (past, token.id))
        database.close()
        app.wait_for("the session ended: the token has expired")
        app.wait_for(f"token {name} ({token.id}) expired on ")
        assert_kept_secret(token.token, app, edge.running)


def test_secret_is_nowhere(edge: Edge, tmp_path: Path) -> None:
    """The secret is in no output, no argument list and no file of the edge."""
    token = edge.create_token(new_name())
    with running_app(tmp_path, token, APP, "--workers", "2", app_dir=ROOT) as app:
        app.wait_for("is live", count=2)
        with browse(edge, token.hostnames[0]) as web:
            assert web.get("/").status_code == 200
        listed = edge.command("token", "list") + edge.command("token", "list", "--json")
        arguments = b""
        for line in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                arguments += line.read_bytes()
            except OSError:
                continue  # it has ended
        assert_kept_secret(token.token, app, edge.running)
    secret = secret_of(token.token)
    assert secret not in listed
    assert secret.encode() not in arguments
    for path in edge.folder.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path


# -- refused by the edge: exit code 1 -----------------------------------------------------------


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("what", ["secret", "id"])
def test_unknown_token_is_refused(edge: Edge, tmp_path: Path, what: str, workers: str) -> None:
    """A wrong secret and an unknown id get the same sentence, and the runner ends."""
    good = TokenText.parse(edge.create_token(new_name()).token)
    if what == "secret":
        bad = replace(good, secret=new_secret())
    else:
        bad = replace(good, id=new_token_id())
    options = ["--workers", workers] if workers != "1" else []
    code, output = ended(run_app(tmp_path, *options, ASGI_TUNNEL_TOKEN=bad.format()))
    assert code == 1
    assert "this edge does not know the token, or its secret is wrong; create a new one" in output
    assert bad.secret not in output


def test_expired_token_is_refused(edge: Edge, tmp_path: Path) -> None:
    """An expired token says when that was, and the runner ends."""
    name = new_name()
    token = expired_token(edge, name)
    # Only once it has read its store does the edge know the name; a request for it waits then.
    wait_until(lambda: name_status(edge, f"{name}.example.test") != 404, what="the new token")
    code, output = ended(run_app(tmp_path, ASGI_TUNNEL_TOKEN=token))
    assert code == 1
    assert f"token {name} (" in output
    assert ") expired on " in output
    assert "Z; create a new one with" in output
    assert secret_of(token) not in output


def test_revoked_token_is_refused(edge: Edge, tmp_path: Path) -> None:
    """A token that was revoked before says so, and the runner ends."""
    name = new_name()
    token = edge.create_token(name)
    edge.command("token", "revoke", name)
    wait_until(
        lambda: name_status(edge, token.hostnames[0]) == 404, what="the edge has read its store"
    )
    code, output = ended(run_app(tmp_path, ASGI_TUNNEL_TOKEN=token.token))
    assert code == 1
    assert f"token {name} ({token.id}) was revoked; create a new one with" in output


def name_status(edge: Edge, hostname: str) -> int:
    """What a visitor of a hostname is told; 0 while it waits for an app."""
    with browse(edge, hostname) as web:
        try:
            return web.get("/", timeout=0.3).status_code
        except httpx.TimeoutException:
            return 0


def test_other_certificate_is_refused(secure_edge: Edge, tmp_path: Path) -> None:
    """An edge with another certificate than the token's gets nothing, not even the token."""
    good = TokenText.parse(secure_edge.create_token(new_name()).token)
    assert good.pin is not None
    first = "1" if good.pin[7] == "0" else "0"
    bad = replace(good, pin=f"sha256:{first}{good.pin[8:]}")
    before = secure_edge.running.output
    code, output = ended(run_app(tmp_path, ASGI_TUNNEL_TOKEN=bad.format()))
    assert code == 1
    assert "the edge's certificate is not the one that the token names" in output
    assert "create a new token there" in output
    assert secure_edge.running.output == before


def test_certificate_without_a_pin_needs_an_authority(secure_edge: Edge, tmp_path: Path) -> None:
    """Without the pin, an authority has to vouch for the certificate; until then one tries on."""
    good = TokenText.parse(secure_edge.create_token(new_name()).token)
    app = run_app(tmp_path, ASGI_TUNNEL_TOKEN=replace(good, pin=None).format())
    try:
        app.wait_for("is self-signed, and the token names no pin")
        assert "is live" not in app.output
        assert app.stop() == 0
    finally:
        app.kill()
    trusted = str(secure_edge.folder / "tls" / "certificate.pem")
    with running_app(
        tmp_path,
        replace(good, pin=None).format(),
        APP,
        app_dir=ROOT,
        env={"SSL_CERT_FILE": trusted},
    ):
        pass  # live


def test_pinned_certificate_is_enough(secure_edge: Edge, tmp_path: Path) -> None:
    """With the pin in the token, an edge with its own certificate needs no further setting."""
    token = secure_edge.create_token(new_name())
    with running_app(tmp_path, token, APP, app_dir=ROOT) as app:
        assert f"is live: https://{token.hostnames[0]}:{secure_edge.port}" in app.output


# -- refused here: exit code 2 ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not set; create a token on the edge with `asgi-tunnel-edge token create`"),
        ("hunter2hunter2", "does not begin with att1."),
        ("att1.only-two", "has 2 parts between dots, not 3"),
        ("att1.bm90IGpzb24.hunter2hunter2", "has a second part that is not a JSON object"),
        (" att1.e30.hunter2hunter2", "does not name its edge; "),
        ("'att1.e30.hunter2hunter2'", "has quotes around the token; remove them"),
        ("att1.e30.hunter2hunter2", "does not name its edge"),
    ],
)
def test_malformed_token_is_refused(tmp_path: Path, text: str, why: str) -> None:
    """A text that is no token ends the runner with one sentence, which does not repeat it."""
    code, output = ended(run_app(tmp_path, ASGI_TUNNEL_TOKEN=text))
    assert code == 2
    assert f"ASGI_TUNNEL_TOKEN {why}" in output
    assert output.count("\n") == 1
    assert "hunter2" not in output


def test_plaintext_needs_consent(edge: Edge, tmp_path: Path) -> None:
    """A token is not sent in the clear to another machine, unless that host is named."""
    # Linux connects to 0.0.0.0 as to itself, and it is no loopback address by name.
    local = TokenText.parse(edge.create_token(new_name()).token)
    token = replace(local, edge=f"ws://0.0.0.0:{edge.port}").format()
    code, output = ended(run_app(tmp_path, ASGI_TUNNEL_TOKEN=token))
    assert code == 2
    assert "ASGI_TUNNEL_TOKEN leads to 0.0.0.0 without TLS" in output
    assert "set ASGI_TUNNEL_PLAINTEXT_HOST=0.0.0.0 if you trust the whole way" in output
    for other in ("127.0.0.1", "*"):
        app = run_app(tmp_path, ASGI_TUNNEL_TOKEN=token, ASGI_TUNNEL_PLAINTEXT_HOST=other)
        assert ended(app)[0] == 2
    env = {"ASGI_TUNNEL_PLAINTEXT_HOST": "0.0.0.0"}
    with running_app(tmp_path, token, APP, app_dir=ROOT, env=env):
        pass  # live


def test_token_from_a_file(edge: Edge, tmp_path: Path) -> None:
    """The token may stand in a file, with a newline at its end; a missing file is named as such."""
    path = tmp_path / "token"
    token = edge.create_token(new_name())
    path.write_text(token.token + "\n")
    app = run_app(tmp_path, ASGI_TUNNEL_TOKEN_FILE=str(path))
    try:
        app.wait_for("is live")
        assert app.stop() == 0
    finally:
        app.kill()
    path.unlink()
    code, output = ended(run_app(tmp_path, ASGI_TUNNEL_TOKEN_FILE=str(path)))
    assert code == 2
    assert "ASGI_TUNNEL_TOKEN_FILE names a file that cannot be read (FileNotFoundError)" in output


# -- in an app of a server ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["malformed", "unknown"])
def test_bad_token_does_not_stop_a_server(edge: Edge, tmp_path: Path, kind: str) -> None:
    """``Tunnel`` with a bad token says so and leaves the app to its own port."""
    good = TokenText.parse(edge.create_token(new_name()).token)
    if kind == "malformed":
        text, sentence = "hunter2", "no tunnel: ASGI_TUNNEL_TOKEN does not begin with att1."
    else:
        text = replace(good, secret=new_secret()).format()
        sentence = "the edge refuses this app: this edge does not know the token, or its secret"
    env = {"ASGI_TUNNEL_TOKEN": text, "PYTHONPATH": python_path(), **ONE}
    server = spawn([str(BIN / "uvicorn"), TUNNELED, "--port", "0"], tmp_path, env=env)
    try:
        server.wait_for(sentence)
        port = server.find(r"running on http://127.0.0.1:(\d+)")
        assert httpx.get(f"http://127.0.0.1:{port}/about", timeout=TIMEOUT).status_code == 200
        server.stop()
        assert "hunter2" not in server.output
        assert "Traceback" not in server.output
    finally:
        server.kill()


def test_required_token_stops_a_server(tmp_path: Path) -> None:
    """``Tunnel(required=True)`` without a token is a failed startup."""
    (tmp_path / "main.py").write_text(
        "from asgi_tunnel import Tunnel\n"
        "from tests.e2e.apps.scope_app import app\n"
        "app = Tunnel(app, required=True)\n"
    )
    env = {"ASGI_TUNNEL_TOKEN": "", "PYTHONPATH": python_path()}
    command = [str(BIN / "uvicorn"), "main:app", "--port", "0", "--app-dir", str(tmp_path)]
    code, output = ended(spawn(command, tmp_path, env=env))
    assert code == 3
    assert "ASGI_TUNNEL_TOKEN is not set; create one with" in output


def python_path() -> str:
    """Where servers without an option for it find the apps of these tests."""
    return f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
