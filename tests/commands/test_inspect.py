from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from tests.inspector.details import exchange

from asgi_tunnel.cli import main
from asgi_tunnel.commands.inspect_client import find_inspectors
from asgi_tunnel.connector import Connector
from asgi_tunnel.inspector.har import make_har
from asgi_tunnel.inspector.settings import Inspect
from asgi_tunnel.token import Token

from .worlds import World, world

SCHEMAS = Path(__file__).parents[2] / "docs/reference/schemas/app"
BIN = Path(sys.executable).parent
EVIL = "\x1b[2J\x1b]0;title\x07\u202e"
Out = pytest.CaptureFixture[str]


async def shop(scope: Any, receive: Any, send: Any) -> None:
    """Fail for an order of nothing; else repeat the body."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close"})
        return
    data = b""
    while (message := await receive())["type"] == "http.request":
        data += message["body"]
        if not message.get("more_body", False):
            break
    if data == b'{"items": []}':
        raise KeyError(f"total{EVIL}")
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": data or b"hello\n"})


class Shop:
    """An app with an inspector, and its visitor.

    Attributes:
        connector: The app's side.
    """

    def __init__(self, here: World, connector: Connector, out: Out) -> None:
        self.connector = connector
        self._here = here
        self._out = out

    def ask(self, method: str, path: str, body: str | None = None, **fields: str) -> int:
        """Send a request through the edge; return the status."""
        connection = HTTPConnection("127.0.0.1", self._here.edge.address.port, timeout=20)
        data = None if body is None else body.encode()
        names = {name.replace("_", "-"): value for name, value in fields.items()}
        names = {"host": "shop.example.test", **names}
        connection.request(method, path, data, names)
        response = connection.getresponse()
        response.read()
        connection.close()
        return response.status

    def run(self, *words: str, code: int = 0) -> str:
        """Run ``asgi-tunnel inspect``; return what it prints, which moves no cursor."""
        assert main(["inspect", *words]) == code, self._out.readouterr()
        said = self._out.readouterr()
        text = said.out + said.err
        assert all(one.isprintable() or one == "\n" for one in text), repr(text)
        return text

    def json(self, schema: str, *words: str, code: int = 0) -> Any:
        """Run it with ``--json``; return the document, which is as its schema says."""
        found = json.loads(self.run(*words, "--json", code=code))
        rules = json.loads((SCHEMAS / f"{schema}.json").read_text())
        Draft202012Validator.check_schema(rules)
        Draft202012Validator(rules).validate(found)
        return found


def wait_for(condition: Callable[[], object]) -> None:
    """Return when something is true."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An edge."""
    with world(tmp_path_factory.mktemp("inspect") / "edge", tls=False) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where sockets are looked for; its path is short enough for them."""
    monkeypatch.chdir(tmp_path)
    with tempfile.TemporaryDirectory(prefix="insp-") as path:
        monkeypatch.setenv("ASGI_TUNNEL_STATUS", path)
        yield Path(path)


@pytest.fixture(scope="module")
def token(here: World) -> Token:
    """Of the apps, one after another."""
    return here.token("shop", "shop.example.test")


@pytest.fixture
def app(here: World, token: Token, folder: Path, capsys: Out) -> Iterator[Shop]:
    """An app with an inspector, for one test."""
    served: dict[str, Any] = {
        "status_folder": folder,
        "inspect": Inspect(level="full"),
        "name": "shop.main:app",
    }
    with here.connected(token, shop, **served) as connector:
        yield Shop(here, connector, capsys)


def test_nothing_runs(folder: Path, capsys: Out) -> None:
    """One sentence says so, and what to do; a socket of a process that was killed is none."""
    assert main(["inspect"]) == 1
    assert capsys.readouterr().err == (
        "asgi-tunnel: no app with an inspector runs here; start one with `asgi-tunnel run "
        "--inspect=full MODULE:APP`, or set ASGI_TUNNEL_INSPECT=full\n"
    )
    assert main(["inspect", "show", "last", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "inspect"


def test_it_is_off(folder: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then there is nobody to ask."""
    monkeypatch.setenv("ASGI_TUNNEL_STATUS", "off")
    assert main(["inspect"]) == 2
    assert capsys.readouterr().err.startswith("asgi-tunnel: ASGI_TUNNEL_STATUS is off, so no ")


def test_the_list(app: Shop) -> None:
    """The newest comes last, filters choose, and nothing of a visitor's moves the cursor."""
    assert app.run() == "asgi-tunnel: nothing that fits is recorded\n"
    app.ask("GET", "/photos?page=2")
    app.ask("POST", "/orders", '{"items": []}', content_type="application/json")
    app.ask("GET", "/" + "x" * 200)
    lines = app.run().splitlines()
    assert re.fullmatch(
        r" +1  \d\d:\d\d:\d\d  200  GET     shop\.example\.test/photos\?page=2  \d+ ms", lines[0]
    )
    assert re.search(r" 500  POST +shop\.example\.test/orders  \d+ ms  KeyError: ", lines[1])
    assert "\u2026  " in lines[2]
    assert len(lines) == 3
    assert app.run("-n", "1").splitlines() == lines[2:]
    assert app.run("--status", "5xx").splitlines() == [lines[1]]
    assert app.run("--status", "200", "--path", "PHOTOS").splitlines() == [lines[0]]
    assert app.run("--method", "post", "--host", "shop.example.test").splitlines() == [lines[1]]
    assert "nothing that fits" in app.run("--host", "other.example.test")
    found = app.json("inspect", "-n", "2")["exchanges"]
    assert [one["method"] for one in found] == ["POST", "GET"]
    assert app.run("--status", "teapot", code=1).startswith("asgi-tunnel: status is neither like")


def test_following(here: World, folder: Path, tmp_path: Path, app: Shop) -> None:
    """What comes is printed as it ends, until the app has ended.

    White box: nothing outside says that somebody looks on.
    """
    app.ask("GET", "/first")
    (inspector,) = find_inspectors([folder])
    assert inspector.pid == os.getpid()
    inspection = app.connector._inspection
    assert inspection is not None
    journal = inspection.recorder.ring.journal
    output = tmp_path / "output"
    with output.open("wb") as file:
        command = [str(BIN / "asgi-tunnel"), "inspect", "-f", "--path", "o"]
        with subprocess.Popen(command, stdout=file, stderr=file) as following:
            wait_for(lambda: journal.viewers)
            for path in ("/second", "/this", "/other"):
                app.ask("GET", path)
            wait_for(lambda: b"/other" in output.read_bytes())

            async def close() -> None:
                inspection.close()

            here.do(close())
            assert following.wait(20) == 0
    assert re.findall(r"test(/\S+)", output.read_text()) == ["/second", "/other"]


def test_show(app: Shop) -> None:
    """All of it, by number, id, the beginning of an id, and as the last one."""
    app.ask(
        "POST",
        "/orders",
        '{"items": []}',
        content_type="application/json",
        authorization="Bearer s",
    )
    text = app.run("show", "last")
    assert app.run("show", "1") == text
    assert "\nPOST /orders HTTP/1.1\n" in text
    assert "\nauthorization: [redacted]\n" in text
    assert '\n\n{"items": []}\n\n500\n' in text
    assert "\nTraceback (most recent call last):\n" in text
    assert "KeyError: " in text
    document = app.json("inspect-show", "show", "last")
    assert app.run("show", document["id"]) == text
    assert app.run("show", document["id"][:12]) == text
    assert "no exchange has this id" in app.run("show", "77", code=1)
    assert "no exchange has this id" in app.run("show", "zz", code=1)
    app.ask("GET", "/")
    assert "2 ids begin like this; give more of it" in app.run("show", document["id"][:8], code=1)


def test_an_id_that_begins_with_digits(app: Shop) -> None:
    """Digits alone may be the beginning of an id; few of them, and a number that is there, are not.

    White box: what ids of a process begin with is random.
    """
    inspection = app.connector._inspection
    assert inspection is not None
    inspection.recorder._process = "57164500"
    app.ask("GET", "/only")
    assert "GET /only HTTP/1.1" in app.run("show", "57164500")
    assert "no exchange has this id" in app.run("show", "5716450", code=1)
    app.ask("GET", "/other")
    assert "2 ids begin like this; give more of it" in app.run("show", "57164500", code=1)
    assert "GET /other HTTP/1.1" in app.run("show", "2")


def test_replay_and_diff(app: Shop) -> None:
    """A request is sent again with edits, and what that changed is shown."""
    app.ask(
        "POST",
        "/orders",
        '{"items": []}',
        content_type="application/json",
        authorization="Bearer s",
    )
    lines = app.run("replay", "last").splitlines()
    assert re.search(r" 500  POST .*  replay  KeyError: ", lines[0])
    assert lines[1:] == [
        "not recorded, so not as it was: authorization",
        "compare: asgi-tunnel inspect diff 1 2",
    ]
    Path("new.json").write_text('{"items": [1]}')
    words = ["-H", "Authorization: Bearer x", "-H", "content-type:", "--data", "@new.json"]
    made = app.json("inspect-replay", "replay", "1", *words)
    assert (made["exchange"]["status"], made["missing"]) == (200, [])
    assert made["exchange"]["replay_of"] == app.json("inspect-show", "show", "1")["id"]
    assert "content-type" not in dict(made["exchange"]["request"]["fields"])
    text = app.run("diff", "1", "3", code=1)
    assert "request field content-length: 13 -> 14\n" in text
    assert "request body.items[0]: nothing -> 1\n" in text
    assert "response status: 500 -> 200\n" in text
    assert app.run("diff", "1", "1") == "no difference\n"
    assert not app.json("inspect-diff", "diff", "1", "3", code=1)["is_same"]
    assert "-H 'x' is no field" in app.run("replay", "1", "-H", "x", code=1)
    why = app.run("replay", "1", "--data", "@missing", code=1)
    assert "missing cannot be opened (No such file or directory); name another file" in why
    assert "path is not a path" in app.run("replay", "1", "--path", "x", code=1)


def test_resign(app: Shop) -> None:
    """The secret comes from a file, and is shown nowhere."""
    app.ask("POST", "/hook", "{}", x_hub_signature_256="sha256=old")
    Path("secret").write_text("a secret of the sender\n")
    made = app.json("inspect-replay", "replay", "last", "--resign", "secret")
    fields = dict(made["exchange"]["request"]["fields"])
    assert re.fullmatch("sha256=[0-9a-f]{64}", fields["x-hub-signature-256"])
    assert "a secret of the sender" not in json.dumps(made)


def test_save(app: Shop) -> None:
    """A test is written, with a file beside it for a large body; nothing is written over."""
    app.ask("POST", "/orders", '{"items": []}', content_type="application/json")
    assert app.run("save", "last", "test_bug.py") == (
        "test_bug.py: run it with `python -m pytest test_bug.py`\n"
    )
    assert "from shop.main import app\n" in Path("test_bug.py").read_text()
    assert "is there already; give another name" in app.run("save", "1", "test_bug.py", code=1)
    app.ask("POST", "/up", "x" * 5000)
    text = app.run("save", "last", "test_bug.py", "--force", "--app", "other:site")
    assert text.startswith("test_bug.body: the request's body\n")
    assert Path("test_bug.body").read_text() == "x" * 5000
    assert "from other import site as app\n" in Path("test_bug.py").read_text()
    app.run("save", "1", "made/for/it/test_bug.py")
    assert Path("made/for/it/test_bug.py").exists()
    assert "test_bug.py cannot be opened" in app.run("save", "1", "test_bug.py/x.py", code=1)


def test_curl(app: Shop) -> None:
    """The command of a request; of a WebSocket there is none."""
    app.ask("PUT", "/x?y=1", "body")
    assert "--request 'PUT'" in app.run("curl", "last")


def test_har_there_and_back(app: Shop) -> None:
    """What was exported can be loaded again, and a browser's file, too."""
    app.ask("GET", "/one")
    app.ask("GET", "/two")
    text = app.run("har")
    entries = json.loads(text)["log"]["entries"]
    assert [one["request"]["url"][-4:] for one in entries] == ["/one", "/two"]
    assert len(json.loads(app.run("har", "last"))["log"]["entries"]) == 1
    Path("out.har").write_text(text)
    assert app.run("clear") == f"2 exchanges of process {os.getpid()} are forgotten\n"
    assert app.run("load", "out.har") == "2 exchanges are added\n"
    paths = [one["path"] for one in app.json("inspect")["exchanges"]]
    assert paths == ["/one", "/two"]
    Path("bad.har").write_text("{}")
    assert app.run("load", "bad.har", code=1) == (
        "asgi-tunnel: the HAR has no log; export it again\n"
    )


def test_what_strangers_send(app: Shop) -> None:
    """Nothing of a loaded file moves the cursor either, wherever it stands."""
    detail = exchange(
        "POST",
        f"/a{EVIL}",
        fields=[("x-evil", EVIL)],
        response_fields=[("x-evil", EVIL)],
        error=f"Error: {EVIL}",
        traceback=f"Traceback {EVIL}\n",
        client=EVIL,
        visitor=EVIL,
        sent={"size": 9, "kept": 9, "type": "text/plain", "text": EVIL},
        received={"size": 9, "kept": 9, "type": "text/plain", "text": f"{EVIL}\n"},
        exchange_messages=[
            {"at": 0.0, "from": "app", "type": "event", "text": EVIL, "size": 9, "kept": 9}
        ],
    )
    document = make_har([detail])
    document["log"]["entries"][0]["request"]["url"] = "https://a.test/\u202e%1b"
    Path("evil.har").write_text(json.dumps(document))
    app.run("load", "evil.har")
    app.ask("POST", "/", EVIL)
    for words in ([], ["show", "1"], ["curl", "1"], ["har"], ["diff", "1", "2"], ["show", "2"]):
        app.run(*words, code=1 if words[:1] == ["diff"] else 0)


def test_level(app: Shop) -> None:
    """It is changed for what comes from then on; what was recorded then says what it lacks."""
    said = f"process {os.getpid()} (shop.main:app) records at level metadata now\n"
    assert app.run("level", "metadata") == said
    app.ask("GET", "/a?b=c")
    assert "recorded without fields and bodies" in app.run("show", "last")
    assert "only numbers were recorded of it" in app.run("replay", "last", code=1)


def test_pid(app: Shop) -> None:
    """One process among several is named."""
    app.ask("GET", "/")
    assert app.run("--pid", str(os.getpid()))
    assert app.run("show", "last", "--pid", "1", code=1) == (
        "asgi-tunnel: no app with an inspector runs as process 1\n"
    )


def test_several_apps(here: World, folder: Path, app: Shop) -> None:
    """Ids say whose an exchange is, where numbers do not; what is for one app wants its process."""
    other = here.token("blog", "blog.example.test")
    app.ask("GET", "/one")
    with here.connected(other, shop, status_folder=folder, inspect=Inspect(level="full")):
        wait_for(lambda: len(find_inspectors([folder])) == 2)
        app.ask("GET", "/two", host="blog.example.test")
        lines = app.run().splitlines()
        assert [re.findall(r"test(/\w+)", line) for line in lines] == [["/one"], ["/two"]]
        ids = [line.split()[0] for line in lines]
        assert "\nGET /one HTTP/1.1\n" in app.run("show", ids[0])
        assert "\nGET /two HTTP/1.1\n" in app.run("show", "last")
        assert "several apps run here, so a number does not" in app.run("show", "1", code=1)
        Path("out.har").write_text(app.run("har"))
        assert "say with --pid which is to have it" in app.run("load", "out.har", code=1)
        assert app.run("replay", ids[1]).splitlines()[-1].split()[-2] == ids[1]
        assert app.run("clear").count("exchanges of process") == 2
