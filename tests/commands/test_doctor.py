"""``asgi-tunnel doctor``: planted faults, each found under its own name, with real parts."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from asgi_tunnel.cli import main
from asgi_tunnel.commands import doctor_edge
from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.protocol.handshake import Hello, Welcome
from asgi_tunnel.token import Token
from asgi_tunnel_edge.tokens import new_secret

from .worlds import World, answering, authority, listener, pinless, world

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "docs/reference/schemas/app"
Found = dict[str, list[dict[str, str]]]


@dataclass
class Worlds:
    """An edge with TLS and one without, and a token of each; no app is connected."""

    secure: World
    plain: World
    token: Token
    open_token: Token


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    """Both edges, for all tests here."""
    folder = tmp_path_factory.mktemp("doctor")
    with world(folder / "tls", tls=True) as secure, world(folder / "plain", tls=False) as plain:
        yield Worlds(
            secure,
            plain,
            secure.token("shop", "localhost"),
            plain.token("shop", "localhost"),
        )


@dataclass
class Patient:
    """What a fault changes."""

    worlds: Worlds
    folder: Path
    patch: pytest.MonkeyPatch
    stack: ExitStack

    def use(self, token: Token) -> None:
        """Let the app have this token."""
        self.patch.setenv("ASGI_TUNNEL_TOKEN", token.format())


@pytest.fixture
def patient(worlds: Worlds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Patient]:
    """An app whose token is good."""
    for name in os.environ:
        if name.lower().endswith("_proxy") or name.startswith("ASGI_TUNNEL_TOKEN"):
            monkeypatch.delenv(name)
    with ExitStack() as stack:
        made = Patient(worlds, tmp_path, monkeypatch, stack)
        made.use(worlds.token)
        yield made


def examine(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Found]:
    """Run the doctor; the findings by the name of their check."""
    code = main(["doctor", "--json", *words])
    document = json.loads(capsys.readouterr().out)
    schema = json.loads((SCHEMAS / "doctor.json").read_text())
    Draft202012Validator(schema).validate(document)
    assert document["ok"] is (code == 0)
    found: Found = {}
    for one in document["findings"]:
        found.setdefault(one["check"], []).append(one)
    return code, found


def no_token(one: Patient) -> None:
    """No token."""
    one.patch.delenv("ASGI_TUNNEL_TOKEN")


def torn_token(one: Patient) -> None:
    """Torn token."""
    one.patch.setenv("ASGI_TUNNEL_TOKEN", one.worlds.token.format()[:40])


def unreadable_token(one: Patient) -> None:
    """Unreadable token."""
    one.patch.delenv("ASGI_TUNNEL_TOKEN")
    one.patch.setenv("ASGI_TUNNEL_TOKEN_FILE", str(one.folder / "none"))


def wrong_token(one: Patient) -> None:
    """Wrong token."""
    one.use(replace(one.worlds.token, secret=new_secret()))


def revoked_token(one: Patient) -> None:
    """Revoked token."""
    world = one.worlds.secure
    token = world.token("gone", "gone.example.test")
    world.store.revoke_tokens([token.id])
    world.follow()
    one.use(token)


def name_missing(one: Patient) -> None:
    """Name missing."""
    one.use(pinless(one.worlds.token, "wss://edge.invalid"))


def port_closed(one: Patient) -> None:
    """Port closed."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    one.use(replace(one.worlds.token, edge=f"wss://127.0.0.1:{port}"))


def other_certificate(one: Patient) -> None:
    """Other certificate."""
    one.use(replace(one.worlds.token, pin="sha256:" + "0" * 64))


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close what comes."""
    writer.close()


def unknown_ca(one: Patient) -> None:
    """Unknown ca."""
    _, context = authority(one.folder / "ca", days=20)
    port = one.stack.enter_context(listener(one.worlds.plain.loop, silent, context))
    one.use(pinless(one.worlds.token, f"wss://localhost:{port}"))


def expired_certificate(one: Patient) -> None:
    """Expired certificate."""
    root, context = authority(one.folder / "ca", days=-1)
    port = one.stack.enter_context(listener(one.worlds.plain.loop, silent, context))
    one.patch.setenv("ASGI_TUNNEL_CA_FILE", str(root))
    one.use(pinless(one.worlds.token, f"wss://localhost:{port}"))


def no_tls(one: Patient) -> None:
    """No tls."""
    one.use(pinless(one.worlds.token, f"wss://127.0.0.1:{one.worlds.plain.edge.address.port}"))


def refusing_proxy(one: Patient) -> None:
    """Refusing proxy."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    port = one.stack.enter_context(listener(one.worlds.plain.loop, serve))
    one.patch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
    one.use(pinless(one.worlds.token, "wss://edge.example.test"))


def proxy_that_is_none(one: Patient) -> None:
    """Proxy that is none."""
    one.patch.setenv("HTTPS_PROXY", "ftp://proxy")
    one.use(pinless(one.worlds.token, "wss://edge.example.test"))


def stripped_upgrade(one: Patient) -> None:
    """A reverse proxy as it is by default: hop-by-hop fields are not passed on (RFC 9110 7.6.1)."""
    edge = one.worlds.plain.edge.address.port

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        kept = [one for one in head if not one.lower().startswith(("upgrade:", "connection:"))]
        kept.insert(1, "Connection: close")
        there, to = await asyncio.open_connection("127.0.0.1", edge)
        to.write("\r\n".join(kept).encode())
        writer.write(await there.read())
        to.close()
        writer.close()

    port = one.stack.enter_context(listener(one.worlds.plain.loop, serve))
    one.use(replace(one.worlds.open_token, edge=f"ws://127.0.0.1:{port}"))


def other_protocol(one: Patient) -> None:
    """Other protocol."""
    one.patch.setattr("asgi_tunnel.probe.Hello", lambda **keys: Hello(version=9, oldest=9, **keys))


def clock_off(one: Patient) -> None:
    """Clock off."""
    import time

    ahead = SimpleNamespace(time=lambda: time.time() + 3600)
    one.patch.setattr(doctor_edge, "time", ahead)


def no_hostname(one: Patient) -> None:
    """No hostname."""
    world = one.worlds.secure
    one.use(world.token(f"bare-{len(world.store.read()[1])}"))


def app_answers(status: int) -> Callable[[Patient], None]:
    """An app that is connected, and answers so."""

    def plant(one: Patient) -> None:
        world, token = one.worlds.plain, one.worlds.open_token
        one.stack.enter_context(world.connected(token, answering(status)))
        one.use(token)

    return plant


def no_place(one: Patient) -> None:
    """An app that has all the tunnels that its token may have."""
    world = one.worlds.plain
    name = f"full-{len(world.store.read()[1])}"
    token = world.token(name, f"{name}.example.test")
    world.store.limit_token(name, {"max_tunnels": 1})
    world.follow()
    one.stack.enter_context(world.connected(token, answering(200)))
    one.use(token)


FAULTS: dict[str, tuple[Callable[[Patient], object], str, str, str]] = {
    "no token": (no_token, "token", "problem", "ASGI_TUNNEL_TOKEN is not set"),
    "torn token": (torn_token, "token", "problem", "ASGI_TUNNEL_TOKEN has"),
    "token file": (unreadable_token, "token", "problem", "names a file that cannot be read"),
    "wrong token": (wrong_token, "accepted", "problem", "does not know the token"),
    "revoked token": (revoked_token, "accepted", "problem", "was revoked"),
    "DNS missing": (name_missing, "name", "problem", "edge.invalid has no address"),
    "port closed": (port_closed, "tcp", "problem", "takes no connection"),
    "another certificate": (other_certificate, "tls", "problem", "not the one that the token"),
    "unknown CA": (unknown_ca, "tls", "problem", "from a CA that this machine does not know"),
    "expired certificate": (expired_certificate, "tls", "problem", "has expired"),
    "no TLS": (no_tls, "tls", "problem", "does not speak TLS"),
    "refusing proxy": (refusing_proxy, "proxy", "problem", "replied 403"),
    "proxy that is none": (proxy_that_is_none, "proxy", "problem", "names no proxy"),
    "stripped upgrade": (stripped_upgrade, "upgrade", "problem", ""),
    "no place for a tunnel": (no_place, "accepted", "warning", "as many tunnels as it may have"),
    "other protocol": (other_protocol, "version", "problem", "protocol 9 to 9"),
    "clock off": (clock_off, "clock", "problem", "s ahead of the edge's"),
    "no hostname": (no_hostname, "hostnames", "problem", "the token has none"),
    "Host that Django refuses": (app_answers(400), "round-trip", "warning", "with 400"),
    "Host that MCP refuses": (app_answers(421), "round-trip", "problem", "with 421"),
    "app that fails": (app_answers(500), "round-trip", "warning", "with 500"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found(patient: Patient, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Under its own name, and nothing else with it."""
    plant, check, state, said = FAULTS[name]
    plant(patient)
    code, found = examine(capsys)
    bad = [one for each in found.values() for one in each if one["state"] in ("problem", "warning")]
    assert [(one["check"], one["state"]) for one in bad] == [(check, state)], bad
    assert said in bad[0]["what"]
    assert code == (1 if state == "problem" else 0)
    assert bad[0]["fix"]


def test_all_is_well(patient: Patient, capsys: pytest.CaptureFixture[str]) -> None:
    """Each step of the way in order; a tunnel that runs stays, and a visitor is answered by it."""
    world, token = patient.worlds.secure, patient.worlds.token
    with world.connected(token, answering(204)):
        before = {entry.session for entry in world.edge.directory.entries}
        assert main(["doctor", "--path", "/hello"]) == 0
        assert {entry.session for entry in world.edge.directory.entries} == before
    lines = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    steps = ["token", "proxy", "name", "tcp", "tls", "upgrade", "accepted", "version", "clock"]
    steps += ["hostnames", "round-trip"]
    assert [line[:2] for line in lines] == [["ok", step] for step in steps]
    assert lines[-1][2].startswith(f"GET https://localhost:{world.edge.address.port}/hello was")
    assert "with 204 in 0." in lines[-1][2]
    assert token.secret not in str(lines)


def test_without_an_app(patient: Patient, capsys: pytest.CaptureFixture[str]) -> None:
    """No visitor can be answered now, which is no problem of the way."""
    code, found = examine(capsys)
    assert code == 0
    assert found["round-trip"][0]["state"] == "skipped"
    assert "no app is connected" in found["round-trip"][0]["what"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise ValueError('no database')", "cannot be imported (ValueError: no database)"),
        ("app = 3", "is not callable"),
    ],
)
def test_an_app_that_cannot_be_served(
    patient: Patient, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    """Its own error, in one line."""
    module = f"broken_{abs(hash(text))}"
    (patient.folder / f"{module}.py").write_text(text + "\n")
    patient.patch.setattr(sys, "path", list(sys.path))
    code, found = examine(capsys, f"{module}:app", "--app-dir", str(patient.folder))
    assert code == 1
    assert said in found["app"][0]["what"]


SITE = """\
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["shop.test"], SESSION_COOKIE_DOMAIN=".shop.test", SECRET_KEY="x"
)
from django.core.asgi import get_asgi_application

app = get_asgi_application()
"""


def test_the_settings_of_django(patient: Patient) -> None:
    """ALLOWED_HOSTS without the public hostname, and cookies for another domain; a real run."""
    (patient.folder / "site_of_shop.py").write_text(SITE)
    command = [sys.executable, "-m", "asgi_tunnel", "doctor", "site_of_shop:app", "--json"]
    env = {**os.environ, "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        command, cwd=patient.folder, env=env, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "")
    bad: list[Any] = [
        (one["check"], one["what"])
        for one in json.loads(done.stdout)["findings"]
        if one["state"] == "problem"
    ]
    assert bad == [
        ("allowed-hosts", "ALLOWED_HOSTS lacks localhost"),
        ("cookies", "SESSION_COOKIE_DOMAIN is .shop.test, and localhost is not below it"),
    ]


def test_each_of_several_edges_is_looked_at(worlds: Worlds) -> None:
    """One that does not listen is a warning with its URL; a single edge is no finding at all."""
    token = worlds.open_token
    config = TunnelConfig.from_env({}, token=token.format())
    assert config is not None
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # and does not listen
        away = f"ws://127.0.0.1:{silent.getsockname()[1]}"
        welcome = Welcome(session="", edges=(token.edge, away))
        found = asyncio.run(doctor_edge.check_edges(config, welcome, "127.0.0.1:1"))
    assert [(one.check, one.state) for one in found] == [("edges", "ok"), ("edges", "warning")]
    assert found[1].what.startswith(f"{away} cannot be reached (")
    alone = Welcome(session="", edges=(token.edge,))
    assert asyncio.run(doctor_edge.check_edges(config, alone, "127.0.0.1:1")) == []
