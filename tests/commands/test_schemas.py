"""What ``--json`` prints, compared with the schemas in docs/reference/schemas/app."""

from __future__ import annotations

import json
import tempfile
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from asgi_tunnel.cli import main
from asgi_tunnel.inspector.settings import Inspect

from .worlds import World, answering, world

if TYPE_CHECKING:
    import pytest

SCHEMAS = Path(__file__).parents[2] / "docs/reference/schemas/app"


def check(name: str, capsys: pytest.CaptureFixture[str]) -> Any:
    """See that what was printed is one document as the schema says; return it."""
    said = capsys.readouterr()
    document = json.loads(said.out)
    schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(document)
    assert said.err == ""
    return document


def visit(here: World, hostname: str) -> None:
    """Ask for the page of a hostname."""
    connection = HTTPConnection("127.0.0.1", here.edge.address.port, timeout=20)
    connection.request("GET", "/", headers={"Host": hostname})
    connection.getresponse().read()
    connection.close()


def test_documents(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command in turn, as a program runs it, and each of its errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASGI_TUNNEL_STATUS", str(tmp_path / "status"))
    seen = set()

    def run(name: str, *words: str, code: int = 0) -> None:
        assert main([*words, "--json"]) == code
        check(name, capsys)
        seen.add(name)

    with world(tmp_path / "edge", tls=True) as here:
        monkeypatch.setenv("ASGI_TUNNEL_TOKEN", here.token("shop", "a.example.test").format())
        run("token-check", "token", "check")
        run("token-check", "token", "check", "--online")
        run("url", "url")
        run("doctor", "doctor")
        run("status", "status", code=1)
        here.store.revoke_tokens(["shop"])
        here.follow()
        run("token-check", "token", "check", "--online", code=1)
        run("error", "url", code=1)
    monkeypatch.delenv("ASGI_TUNNEL_TOKEN")
    run("error", "token", "check", code=2)
    monkeypatch.setenv("ASGI_TUNNEL_STATUS", "off")
    run("error", "status", code=2)
    run("doctor", "doctor", code=1)
    run("error", "service", "list", code=2)
    (tmp_path / "asgi-tunnel.toml").write_text('[[services]]\nhostname = "a"\nto = "./"\n')
    run("service-list", "service", "list")
    with (
        world(tmp_path / "inspected", tls=False) as here,
        tempfile.TemporaryDirectory(prefix="insp-") as name,  # short enough for a socket
    ):
        folder = Path(name)
        monkeypatch.setenv("ASGI_TUNNEL_STATUS", name)
        run("error", "inspect", code=1)
        token = here.token("shop", "a.example.test")
        inspect = Inspect(level="full")
        app = answering(500)
        with here.connected(token, app, status_folder=folder, inspect=inspect):
            visit(here, "a.example.test")
            run("inspect", "inspect")
            run("inspect-show", "inspect", "show", "last")
            run("inspect-replay", "inspect", "replay", "last", "--path", "/other")
            run("inspect-diff", "inspect", "diff", "1", "2", code=1)
    assert seen == {path.stem for path in SCHEMAS.iterdir()}
