from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from asgi_tunnel import Services, Tunnel, __version__
from asgi_tunnel.cli import main
from asgi_tunnel.commands import status
from asgi_tunnel.policy import edge
from asgi_tunnel.status import ConnectionStatus

from .worlds import World, answering, world

SCHEMA = Path(__file__).parents[2] / "docs/reference/schemas/app/status.json"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An edge."""
    with world(tmp_path_factory.mktemp("status") / "edge", tls=False) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where sockets are looked for."""
    path = tmp_path / "run"
    monkeypatch.setenv("ASGI_TUNNEL_STATUS", str(path))
    return path


def asked(capsys: pytest.CaptureFixture[str], code: int) -> Any:
    """What ``status --json`` prints, as its schema has it."""
    assert main(["status", "--json"]) == code
    document = json.loads(capsys.readouterr().out)
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(document)
    return document


def wait_for(capsys: pytest.CaptureFixture[str], text: str) -> str:
    """Return what ``status`` prints once it says something."""
    deadline = time.monotonic() + 30
    out = ""
    while time.monotonic() < deadline:
        main(["status"])
        out = capsys.readouterr().out
        if text in out:
            return out
        time.sleep(0.02)
    raise AssertionError(f"no {text!r} in {out!r}")


def test_rules_of_the_app(here: World, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the edge holds for it, and what of it does not hold as it says."""
    token = here.token("rules", "rules.example.test")
    app = Tunnel(
        answering(200),
        policy={
            "POST /login": edge(rate="5/minute", burst=2),
            "/up/**": edge(max_body="2MB", timeout=30),
            "/admin": edge(access="family"),
            "/up/free": edge(),
        },
    )
    with here.connected(token, app, status_folder=folder):
        text = wait_for(capsys, "round trip")
        lines = [line.strip() for line in text.splitlines()]
        assert "rule POST /login: 5 requests in 60 s, 2 at once" in lines
        assert "rule /up/**: a body of 2,000,000 bytes, 30 s" in lines
        assert "rule /up/free: no limit" in lines
        assert "note: /admin: edge.toml has no [access.family], so nobody is let in" in lines
        (process,) = asked(capsys, 0)["processes"]
        assert [one["path"] for one in process["policy"]["rules"]] == [
            "/login",
            "/admin",
            "/up/free",
            "/up/**",
        ]


def test_nothing_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """That is no success, and it says where it has looked."""
    assert main(["status"]) == 1
    assert capsys.readouterr().out == (
        f"no tunnel of this user runs here (no process has a socket in {folder})\n"
    )
    assert asked(capsys, 1) == {"ok": False, "processes": []}


def test_it_is_off(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then there is nobody to ask, in one sentence."""
    monkeypatch.setenv("ASGI_TUNNEL_STATUS", "off")
    assert main(["status"]) == 2
    assert capsys.readouterr().err.startswith("asgi-tunnel: ASGI_TUNNEL_STATUS is off, so no ")


def test_a_tunnel(here: World, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its connections, what it carries, its services; its loss, and that it is back.

    Nothing of it is secret: the token's id is there, its secret is not.
    """
    token = here.token("shop", "shop.example.test")
    services = Services(
        [
            {"hostname": "shop.example.test", "path": "/api", "to": "http://127.0.0.1:9"},
            {"hostname": "shop.example.test", "to": answering(200)},
        ]
    )
    with here.connected(token, services, status_folder=folder):
        port = here.edge.address.port
        text = wait_for(capsys, "round trip")
        head = f"the app, process {os.getpid()}, version {__version__}, up for "
        assert re.fullmatch(f"{head}\\d+ s: connected", text.splitlines()[0])
        assert "  0 requests in flight, 0 done\n" in text
        assert f"  http://shop.example.test:{port}\n" in text
        assert re.search(f"  connection 0: connected for \\d+ s to 127.0.0.1:{port}, round", text)
        assert "  service shop.example.test/api  ready  (http://127.0.0.1:9)\n" in text
        (process,) = asked(capsys, 0)["processes"]
        assert process["hostnames"] == ["shop.example.test"]
        assert (process["token_id"], process["edge"]) == (token.id, token.edge)
        assert token.secret not in json.dumps(process)

        async def cut() -> None:
            (entry,) = here.edge.directory.entries
            entry.session.drop_transport()

        here.do(cut())
        text = wait_for(capsys, "resumed 1 times")
        assert re.search(r"last error, \d s ago: the connection to the edge was lost\n", text)
        here.store.revoke_tokens(["shop"])
        here.follow()
        text = wait_for(capsys, "NOT CONNECTED")
        wait_for(capsys, "was revoked")
        (process,) = asked(capsys, 1)["processes"]
        assert not process["is_connected"]
    assert asked(capsys, 1) == {"ok": False, "processes": []}


def test_watch(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks again until Ctrl-C, and ends with the code of the last look."""
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    assert main(["status", "--watch", "--json"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(one) for one in lines] == [{"ok": False, "processes": []}] * 3


def test_which_of_several_edges() -> None:
    """The line of a connection says where it leads, and which edge that is."""
    one = ConnectionStatus()
    one.connected("203.0.113.1:443", "wss://a.example.org", is_resumed=False)
    described = {"number": 1, "round_trip": None, **one.describe()}
    (line,) = status._connection(described, time.time())
    assert line.endswith(" to 203.0.113.1:443 (wss://a.example.org)")
    one.connected("203.0.113.1:443", is_resumed=False)
    (line,) = status._connection({**described, **one.describe()}, time.time())
    assert line.endswith(" to 203.0.113.1:443")
