from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from asgi_tunnel.cli import main
from asgi_tunnel.token import Token

from .worlds import World, world


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An edge."""
    with world(tmp_path_factory.mktemp("url") / "edge", tls=False) as made:
        yield made


@pytest.fixture
def token(here: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Token]:
    """A token with a hostname and a wildcard, which the environment names."""
    made = here.token("shop", "shop.example.test", "*.shop.example.test")
    monkeypatch.setenv("ASGI_TUNNEL_TOKEN", made.format())
    yield made
    here.store.revoke_tokens(["shop"])


def urls(here: World) -> list[str]:
    """Where visitors find the token's hostnames."""
    port = here.edge.address.port
    return [f"http://{name}.example.test:{port}" for name in ("*.shop", "shop")]


def test_urls(here: World, token: Token, capsys: pytest.CaptureFixture[str]) -> None:
    """One on each line."""
    assert main(["url"]) == 0
    assert capsys.readouterr().out.splitlines() == urls(here)
    assert main(["url", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"urls": urls(here)}


def test_a_code_for_a_phone(here: World, token: Token, capsys: pytest.CaptureFixture[str]) -> None:
    """Below each URL that can be opened; a wildcard cannot."""
    assert main(["url", "--qr"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == urls(here)
    assert len(lines) > 10
    assert set("".join(lines[2:])) & set("▀▄█")


def test_without_the_package(
    token: Token, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sentence with what to install."""
    monkeypatch.setitem(sys.modules, "segno", None)
    assert main(["url", "--qr"]) == 2
    said = capsys.readouterr().err
    assert said == (
        "asgi-tunnel: --qr needs the package segno, which is not installed; "
        'pip install "asgi-tunnel[qr]"\n'
    )


def test_an_edge_that_says_no(
    token: Token, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1, and its own sentence."""
    monkeypatch.setenv("ASGI_TUNNEL_TOKEN", replace(token, secret="wrong").format())
    assert main(["url"]) == 1
    assert "does not know the token" in capsys.readouterr().err
    assert main(["url", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "edge"
