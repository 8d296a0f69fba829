from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from asgi_tunnel.cli import main
from asgi_tunnel.token import Token

from .worlds import World, world


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An edge."""
    with world(tmp_path_factory.mktemp("token") / "edge", tls=True) as made:
        yield made


@pytest.fixture
def token(here: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Token]:
    """A token, which the environment names."""
    made = here.token("shop", "shop.example.test")
    monkeypatch.setenv("ASGI_TUNNEL_TOKEN", made.format())
    yield made
    here.store.revoke_tokens(["shop"])


def test_it_is_explained(token: Token, capsys: pytest.CaptureFixture[str]) -> None:
    """Where it leads to and what the edge is known by; its secret is not shown."""
    assert main(["token", "check"]) == 0
    out = capsys.readouterr().out
    assert out == (
        f"The token {token.id} can be read; its secret is not shown.\n"
        f"  edge   {token.edge}\n"
        f"  known  by its certificate, {token.pin}, or one that it has named since\n"
    )
    assert token.secret not in out


@pytest.mark.parametrize(
    ("edge", "environ", "known"),
    [
        ("ws://127.0.0.1:1", {}, "by nothing: there is no TLS on the way"),
        ("wss://example.test", {}, "by a CA that this machine knows"),
        ("wss://example.test", {"ASGI_TUNNEL_CA_FILE": __file__}, f"by a CA in {__file__}"),
    ],
)
def test_what_the_edge_is_known_by(
    token: Token,
    edge: str,
    environ: dict[str, str],
    known: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A pin, a CA, or nothing."""
    monkeypatch.setenv("ASGI_TUNNEL_TOKEN", replace(token, edge=edge, pin=None).format())
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert main(["token", "check"]) == 0
    assert f"  known  {known}\n" in capsys.readouterr().out


def test_the_edge_is_asked(
    here: World,
    token: Token,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whether it takes the token, and for which URLs; otherwise its sentence, and code 1."""
    assert main(["token", "check", "--online", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["id"], found["online"]["accepted"]) == (token.id, True)
    assert found["online"]["urls"] == [f"https://shop.example.test:{here.edge.address.port}"]
    assert main(["token", "check", "--online"]) == 0
    assert "  asked  the edge takes the token\n" in capsys.readouterr().out
    monkeypatch.setenv("ASGI_TUNNEL_TOKEN", replace(token, secret="wrong").format())
    assert main(["token", "check", "--online"]) == 1
    assert "this edge does not know the token, or its secret is wrong" in capsys.readouterr().out


def test_no_token(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence, or one document; a text that is none is not repeated."""
    monkeypatch.delenv("ASGI_TUNNEL_TOKEN", raising=False)
    monkeypatch.delenv("ASGI_TUNNEL_TOKEN_FILE", raising=False)
    assert main(["token", "check"]) == 2
    assert capsys.readouterr().err.startswith("asgi-tunnel: ASGI_TUNNEL_TOKEN is not set; create")
    env = tmp_path / "env"
    env.write_text("ASGI_TUNNEL_TOKEN=hunter2\n")
    monkeypatch.setenv("ASGI_TUNNEL_TOKEN", "")  # so that what the file sets is taken back
    monkeypatch.delenv("ASGI_TUNNEL_TOKEN")
    assert main(["token", "check", "--env-file", str(env), "--json"]) == 2
    said = capsys.readouterr()
    error = json.loads(said.out)["error"]
    assert (error["code"], said.err) == ("config", "")
    assert "does not begin with att1." in error["message"]
    assert "hunter2" not in said.out
