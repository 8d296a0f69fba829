from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_tunnel.inspector.reply import RefusedError
from asgi_tunnel.inspector.saved_request import MAX_INLINE
from asgi_tunnel.inspector.testcase import make_test

from .details import body, exchange, message

PAGE = Path(__file__).parents[2] / "docs/howto/replay.md"
BIN = Path(sys.executable).parent
KIND = ("content-type", "application/json")
ORDER = exchange(
    "POST",
    "/orders?page=1",
    fields=[("host", "shop.example.org"), KIND, ("content-length", "40"), ("x-real-ip", "1")],
    sent=body('{"items": [{"id": 1}], "customer": null}'),
    status=500,
    error="KeyError: 'total'",
)
ORDER_TEST = '''"""Recorded 2026-11-30 04:00 UTC: status 500, KeyError: 'total'."""

import json

import pytest
from asgi_tunnel.testing import LocalEdge

from shop.main import app

pytestmark = pytest.mark.anyio

HEADERS = [
    ("host", "shop.example.org"),
    ("content-type", "application/json"),
]
PAYLOAD = {"items": [{"id": 1}], "customer": None}


async def test_post_orders() -> None:
    """POST /orders is served without a server error."""
    async with LocalEdge(app) as edge:
        response = await edge.request(
            "POST",
            "/orders?page=1",
            headers=HEADERS,
            body=json.dumps(PAYLOAD).encode(),
        )
    assert response.status < 500
'''
# Fails for each of the details below while the environment says so.
APP = """
import os


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    if scope["type"] == "websocket":
        await receive()
        if scope["path"] == "/denied":
            await send({"type": "websocket.close"})
            return
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            if message.get("bytes") == b"\\xff\\x00" and "BUG" in os.environ:
                raise KeyError("total")
            await send({"type": "websocket.send", "text": "seen"})
        return
    body = b""
    while (message := await receive()).get("more_body"):
        body += message["body"]
    body += message.get("body", b"")
    assert body.hex() == os.environ.get("BODY", ""), body
    kind = b"text/event-stream" if scope["path"] == "/events" else b"text/plain"
    if "BUG" in os.environ and scope["path"] not in ("/events", "/late"):
        raise KeyError("total")
    head = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]}
    await send(head)
    await send({"type": "http.response.body", "body": b"data: 1\\n\\n", "more_body": True})
    if "BUG" in os.environ and scope["path"] == "/events":
        raise KeyError("total")
    if kind == b"text/event-stream":
        while (await receive())["type"] != "http.disconnect":
            pass
    await send({"type": "http.response.body"})
    if "BUG" in os.environ and scope["path"] == "/late":
        raise KeyError("total")
"""
EVENTS = [("content-type", "text/event-stream")]
FAILED: dict[str, dict[str, Any]] = {
    "json": ORDER,
    "get": exchange(path="/", status=500),
    "after the response": exchange(path="/late", status=200, error="KeyError: 'total'"),
    "text": exchange("POST", "/", sent=body('it\'s \\ "x"\n\x00\u20ac'), status=500),
    "long text": exchange("POST", "/", sent=body("line 'x' \"y\"\r\n" * 100), status=502),
    "json that Python has no literal of": exchange(
        "POST", "/", sent=body('{"a": 1, "a": NaN}'), status=500
    ),
    "signed": exchange(
        "POST", "/", fields=[("stripe-signature", "t=1")], sent=body('{ "a":1}'), status=500
    ),
    "bytes": exchange("PUT", "/up", sent=body(bytes(range(256))), status=None, state="cut"),
    "event stream": exchange(
        path="/events", status=200, error="KeyError: 'total'", response_fields=EVENTS
    ),
    "secrets": exchange(
        "POST",
        "/?token=[redacted]",
        fields=[("authorization", "[redacted]"), ("x-long", "x" * 100), ("x-a", 'it\'s "a" \xe9')],
        sent=body('{"password": "[redacted]"}'),
        status=500,
        error='ValueError: "x\\y" \x1b[2J' + "x" * 200,
        visitor="anna",
    ),
    "websocket": exchange(
        path="/live",
        kind="websocket",
        scheme="wss",
        fields=[("host", "a.test"), ("upgrade", "websocket"), ("sec-websocket-key", "x")],
        messages=4,
        exchange_messages=[
            message("visitor", "hello"),
            message("app", "seen"),
            message("visitor", "long " * 30),
            message("visitor", b"\xff\x00"),
        ],
        status=101,
        error="KeyError: 'total'",
    ),
}


CONFTEST = """
import os

import pytest


@pytest.fixture(autouse=True)
def expected(request):
    os.environ["BODY"] = request.path.with_suffix(".sent").read_text()
"""


def run_all(folder: Path, *, bug: bool) -> dict[str, tuple[bool, str]]:
    """Run the tests of a folder with pytest as a user does; return what became of each."""
    environment = {key: value for key, value in os.environ.items() if "PYTEST" not in key}
    environment.pop("BUG", None)
    report = folder / "report.xml"
    options = ["-p", "no:cacheprovider", "-o", "junit_logging=all", f"--junitxml={report}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *options],
        cwd=folder,
        env=environment | ({"BUG": "1"} if bug else {}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == bug, done.stdout
    return {
        case.get("classname", ""): (case.find("failure") is None, "".join(case.itertext()))
        for case in ET.parse(report).iter("testcase")  # noqa: S314 - pytest's own
    }


@pytest.fixture(scope="module")
def outcomes(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[dict[str, tuple[bool, str]], dict[str, tuple[bool, str]]]:
    """What became of the test of each failure: with the bug, and without it."""
    folder = tmp_path_factory.mktemp("saved")
    (folder / "shop").mkdir()
    (folder / "shop/main.py").write_text(APP)
    (folder / "conftest.py").write_text(CONFTEST)
    for number, detail in enumerate(FAILED.values()):
        source = make_test(detail, "shop.main:app").source
        (folder / f"test_{number}.py").write_text(source)
        (folder / f"test_{number}.sent").write_text(sent_by(source, folder).hex())
    return run_all(folder, bug=True), run_all(folder, bug=False)


def is_formatted(source: str, width: int) -> bool:
    """Whether Ruff would leave it as it is, with nothing but a line length set."""
    options = ["--isolated", "--line-length", str(width), "--check", "-"]
    done = subprocess.run([BIN / "ruff", "format", *options], input=source.encode(), check=False)
    return done.returncode == 0


def sent_by(source: str, folder: Path) -> bytes:
    """The body that the test sends, by running what stands above it."""
    found = re.search(r"body=(.*),$", source, re.MULTILINE)
    names: dict[str, Any] = {"__file__": str(folder / "test_saved.py")}
    constants = re.sub(
        r"^from shop.*$", "", source.partition("\n\nasync def")[0], flags=re.MULTILINE
    )
    exec(constants, names)  # noqa: S102 - what was just made
    return b"" if found is None else bytes(eval(found[1], names))  # noqa: S307 - as well


def test_how_it_reads() -> None:
    """As a person would write it, and as the page shows it."""
    assert make_test(ORDER, "shop.main:app").source == ORDER_TEST
    assert make_test(ORDER, "main:app").source in PAGE.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", FAILED)
def test_red_until_the_app_is_mended(name: str, outcomes: Any, tmp_path: Path) -> None:
    """It fails with the app's own error in its output, and passes without the bug."""
    made = make_test(FAILED[name], "shop.main:app")
    assert made.body is None
    assert is_formatted(made.source, 88)
    assert is_formatted(made.source, 100)
    if name not in ("json", "secrets"):  # their spaces may differ
        kept = FAILED[name]["request"]["body"]
        assert sent_by(made.source, tmp_path) == (b"" if kept is None else _raw(kept))
    red, green = (run[f"test_{list(FAILED).index(name)}"] for run in outcomes)
    assert (red[0], "KeyError: 'total'" in red[1]) == (False, True), red[1]
    assert green[0], green[1]


def _raw(kept: dict[str, Any]) -> bytes:
    from asgi_tunnel.inspector.recorded import body_bytes

    return body_bytes(kept)


def test_what_went_well_stays_so() -> None:
    """A request that was answered is asserted to be answered so again."""
    source = make_test(exchange("DELETE", "/a/b-c?d", status=404), "main:app").source
    assert "async def test_delete_a_b_c() -> None:" in source
    assert "    assert response.status == 404\n" in source
    denied = exchange(path="/live", kind="websocket", status=403)
    source = make_test(denied, "main:app").source
    assert "with pytest.raises(WebSocketDeniedError) as denied:" in source
    assert is_formatted(source, 88)


@pytest.mark.parametrize(
    ("app", "lines"),
    [
        ("main:app", "from main import app\n"),
        ("shop.web:application", "from shop.web import application as app\n"),
        ("main:site.app", "from main import site as app\n\napp = app.app\n"),
        ("the app", "# Which app it is was not known: name yours.\nfrom main import app\n"),
        (
            "os; import x:app",
            "# Which app it is was not known: name yours.\nfrom main import app\n",
        ),
    ],
)
def test_the_app(app: str, lines: str) -> None:
    """It is imported from where the tunnel has it from."""
    source = make_test(ORDER, app).source
    assert f"\n\n{lines}\npytestmark" in source
    assert is_formatted(source, 88)


@pytest.mark.parametrize(
    "data", ["x" * (MAX_INLINE + 1), b"\xff\x00", '{"a": "' + "b" * 5000 + '"}']
)
def test_a_body_beside(data: bytes | str, tmp_path: Path) -> None:
    """A large body, or one of bytes, is a file where there may be one."""
    detail = exchange("POST", "/", sent=body(data), status=500)
    made = make_test(detail, "main:app", body_file="test_bug.body")
    assert 'BODY = Path(__file__).with_name("test_bug.body").read_bytes()' in made.source
    assert made.body == (data.encode() if isinstance(data, str) else data)
    assert is_formatted(made.source, 88)


HOSTILE = st.text(max_size=30) | st.sampled_from(
    [
        '"""\nimport os; os.system("x")\n"""',
        "'''\nimport os\n'''",
        "\\",
        '\\"',
        "\n    evil()\n",
        "\r# evil\r",
        "{os}",
        "\ud800",
        "a" * 300 + '"',
    ]
)


@settings(max_examples=300, deadline=None)
@given(texts=st.lists(HOSTILE, min_size=9, max_size=9), is_websocket=st.booleans())
def test_what_a_visitor_sent_is_no_code(texts: list[str], is_websocket: bool) -> None:
    """Wherever it stands, the source has the statements that it always has, and calls no other."""
    path, name, value, error, visitor, app, data, host, kind = texts
    said = {**message("visitor", ""), "text": data}
    detail = exchange(
        "POST",
        f"/{path}",
        fields=[(name, value), ("host", host)],
        sent={"size": 1, "kept": 1, "type": kind, "text": data},
        status=500,
        error=error,
        visitor=visitor,
        kind="websocket" if is_websocket else "http",
        messages=1 if is_websocket else 0,
        exchange_messages=[said] if is_websocket else [],
    )
    tree = ast.parse(make_test(detail, app).source)
    kinds = {type(node) for node in tree.body}
    assert kinds <= {ast.Expr, ast.Import, ast.ImportFrom, ast.Assign, ast.AsyncFunctionDef}
    imports = (node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom))
    imported = {alias.name for node in imports for alias in node.names}
    own = set(re.split("[:.]", app))  # an app that is named A:A is imported
    known = {"json", "pytest", "anyio", "base64", "LocalEdge", "Visitor", "app", "Path"}
    assert imported - own <= known
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert not {one for one in called if "evil" in one or "os" in one.split(".")}


def test_what_is_missing_is_no_test() -> None:
    """It would be red for another reason."""
    with pytest.raises(RefusedError, match="only 1 of the 9 bytes of its body were kept"):
        make_test(exchange("POST", sent=body("a", size=9)), "main:app")
    with pytest.raises(RefusedError, match="only numbers were recorded"):
        make_test(exchange(level="metadata"), "main:app")
