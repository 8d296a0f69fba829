from __future__ import annotations

import json
import re
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import pytest

from asgi_tunnel.token import Token
from asgi_tunnel_edge.address import write_edge_address
from asgi_tunnel_edge.certificates.internal import create_internal_certificate, fingerprint
from asgi_tunnel_edge.settings.config import EdgeConfig, ListenAddress
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.tokens import TokenRecord

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Run


def create(run: Run, data: Path, *words: object) -> dict[str, Any]:
    """Make a token; the JSON that is printed."""
    done = run("token", "create", *words, "--data", data, "--json")
    assert (done.code, done.err) == (0, "")
    result: dict[str, Any] = json.loads(done.out)
    return result


def test_json(data: Path, run: Run) -> None:
    """A program gets exactly the token, its id, hostnames and URLs; the token lets an app in."""
    result = create(run, data, "shop")
    assert set(result) == {"token", "id", "hostnames", "urls", "end_to_end"}
    token = Token.parse(result["token"])
    assert token == Token(
        edge="ws://127.0.0.1:8080", id=result["id"], secret=token.secret, pin=None
    )
    assert result["hostnames"] == ["shop.a.test"]
    assert result["urls"] == ["http://shop.a.test:8080"]
    snapshot = Store(EdgeConfig.load(data).database_path).snapshot()
    answer = snapshot.authenticate_text(result["token"])
    assert isinstance(answer, TokenRecord)
    assert answer.hostnames == ("shop.a.test",)


def test_for_a_person(data: Path, run: Run) -> None:
    """A person gets a line to paste, the URL, and how long it lives."""
    done = run("token", "create", "shop", "--data", data, "--expires", "90d")
    assert done.code == 0
    match = re.search(r"(?m)^export ASGI_TUNNEL_TOKEN=(\S+)$", done.out)
    assert match is not None
    Token.parse(match[1])
    assert "http://shop.a.test:8080" in done.out
    assert re.search(r"expires on \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\.", done.out)
    assert "does not expire" in run("token", "create", "blog", "--data", data).out


def test_secret_is_not_kept(data: Path, run: Run) -> None:
    """T31, T32: no file of the edge holds the secret."""
    secret = Token.parse(create(run, data, "shop")["token"]).secret.encode()
    for path in data.rglob("*"):
        if path.is_file():
            assert secret not in path.read_bytes()


def test_hostnames(data: Path, run: Run) -> None:
    """Names given are taken as they are: elsewhere, wildcards, repeated, in another spelling."""
    words = ["--hostname", "Shop.Other.ORG.", "--hostname", "*.a.test", "--hostname", "*.A.test"]
    result = create(run, data, "shop", *words)
    assert result["hostnames"] == ["shop.other.org", "*.a.test"]
    assert result["urls"] == ["http://shop.other.org:8080", "http://*.a.test:8080"]


def test_name_in_capitals(data: Path, run: Run) -> None:
    """The default hostname is a hostname, however the name is written."""
    assert create(run, data, "Shop")["hostnames"] == ["shop.a.test"]


def test_expiry(data: Path, run: Run) -> None:
    """A token lives as long as was said, from now."""
    before = int(time.time())
    create(run, data, "shop", "--expires", "12h")
    _, (record,) = Store(EdgeConfig.load(data).database_path).read()
    assert record.expires_at is not None
    assert before + 43200 <= record.expires_at <= time.time() + 43200


def test_pin(tmp_path: Path, run: Run) -> None:
    """T34: the token of an edge with its own certificate pins it."""
    options = ("--domain", "a.test", "--listen", "0.0.0.0:8443")
    run("init", "--data", tmp_path, *options)
    token = Token.parse(create(run, tmp_path, "shop")["token"])
    certificate = EdgeConfig.load(tmp_path).certificate_path
    assert token.edge == "wss://a.test:8443"
    assert token.pin == fingerprint(certificate.read_bytes())
    certificate.unlink()
    done = run("token", "create", "blog", "--data", tmp_path)
    assert done.code == 2
    assert "cannot be read (No such file or directory); put a copy back" in done.err


def test_certificate_from_files_is_not_pinned(tmp_path: Path, run: Run) -> None:
    """A certificate of a CA is renewed; a CA vouches for it, not the token."""
    run("init", "--data", tmp_path, "--domain", "a.test", "--tls", "files")
    token = Token.parse(create(run, tmp_path, "shop")["token"])
    assert (token.edge, token.pin) == ("wss://a.test", None)


def test_port_of_the_running_edge(tmp_path: Path, run: Run) -> None:
    """With port 0 a token needs a running edge; then it names that edge's port."""
    options = ("--domain", "a.test", "--tls", "off", "--listen", "127.0.0.1:0")
    run("init", "--data", tmp_path, *options)
    done = run("token", "create", "shop", "--data", tmp_path)
    assert done.code == 2
    assert done.err == (
        "error: edge.toml: listen: port 0 is chosen when the edge starts, and it is not running; "
        f"start it first with `asgi-tunnel-edge run --data {tmp_path}`\n"
    )
    config = EdgeConfig.load(tmp_path)
    write_edge_address(config, ListenAddress("127.0.0.1", 4321))
    result = create(run, tmp_path, "shop")
    assert Token.parse(result["token"]).edge == "ws://127.0.0.1:4321"
    assert result["urls"] == ["http://shop.a.test:4321"]


def test_hostname_of_another_token(data: Path, run: Run) -> None:
    """T29: a hostname that another live token has is refused with that token's name."""
    create(run, data, "shop")
    done = run("token", "create", "other", "--hostname", "shop.a.test", "--data", data)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "error: the hostname shop.a.test belongs to the token named shop; "
        "take another hostname, or release this one with `asgi-tunnel-edge host rm`\n"
    )
    run("token", "revoke", "shop", "--data", data)
    assert create(run, data, "other", "--hostname", "shop.a.test")["hostnames"] == ["shop.a.test"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["a b"],
            (
                'NAME: expected 1 to 63 of A-Z a-z 0-9 . _ -, got "a b"; '
                "begin and end it with a letter or digit, for example shop"
            ),
        ),
        (["tok_1"], "NAME: tok_ begins the ids of tokens; write for example shop"),
        (
            ["shop", "--hostname", "my+shop.a.test"],
            (
                'hostname "my+shop.a.test" has characters other than letters, digits, hyphens, '
                "underscores and dots; "
                "write a name like shop.example.org (letters, digits, hyphens and dots)"
            ),
        ),
        (
            ["shop", "--hostname", "127.0.0.1"],
            (
                'hostname "127.0.0.1" is an IP address; '
                "write a name like shop.example.org (letters, digits, hyphens and dots)"
            ),
        ),
        (
            ["shop", "--hostname", ""],
            (
                'hostname "" is empty; '
                "write a name like shop.example.org (letters, digits, hyphens and dots)"
            ),
        ),
        (
            ["shop", "--expires", "soon"],
            (
                '--expires: expected a time of at most ten years, got "soon"; '
                "write for example 90d, 12h or 30m"
            ),
        ),
        ([], "missing argument 'NAME'; see `asgi-tunnel-edge token create --help`"),
        (
            ["shop", "x"],
            "got unexpected extra argument (x); see `asgi-tunnel-edge token create --help`",
        ),
    ],
)
def test_bad_input(data: Path, run: Run, words: list[str], sentence: str) -> None:
    """One sentence on stderr, exit code 2, and no token is made."""
    done = run("token", "create", *words, "--data", data)
    assert (done.code, done.out, done.err) == (2, "", f"error: {sentence}\n")
    assert Store(EdgeConfig.load(data).database_path).read() == (0, [])


def test_locked_store(data: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is busy for too long is no fault of the input: exit code 1."""
    monkeypatch.setattr("asgi_tunnel_edge.storage.sqlite.BUSY_TIMEOUT", 0.01)
    other = sqlite3.connect(EdgeConfig.load(data).database_path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    done = run("token", "create", "shop", "--data", data)
    other.close()
    assert (done.code, done.out) == (1, "")
    assert done.err.endswith("is locked by another process; try again\n")


def test_end_to_end(data: Path, run: Run) -> None:
    """All of its hostnames; a person hears what the edge cannot do, and what the app needs."""
    (data / "edge.toml").write_text('domain = "a.test"\nlisten = "127.0.0.1:8443"\n')
    create_internal_certificate("a.test", data / "tls")
    words = ["--end-to-end", "--hostname", "home.test", "--hostname", "*.home.test"]
    result = create(run, data, "home", *words)
    assert result["end_to_end"] == ["home.test", "*.home.test"]
    store = Store(EdgeConfig.load(data).database_path)
    _, (record,) = store.read()
    assert record.end_to_end == ("*.home.test", "home.test")
    done = run("token", "create", "shop", "--end-to-end", "--data", data)
    assert 'pip install "asgi-tunnel[end-to-end]"' in done.out
    assert "max_body" in done.out
    listed = run("token", "list", "--data", data).out
    assert "*.home.test (end to end), home.test (end to end)" in listed
    listed = json.loads(run("token", "list", "--json", "--data", data).out)
    assert listed[0]["end_to_end"] == ["*.home.test", "home.test"]
    assert "end to end" not in run("token", "create", "blog", "--data", data).out


def test_end_to_end_needs_tls(data: Path, run: Run) -> None:
    """An edge that gets plain HTTP from a proxy cannot pass TLS on."""
    done = run("token", "create", "home", "--end-to-end", "--data", data)
    assert done.code == 2
    assert "--end-to-end" in done.err
    assert "tls.mode is off" in done.err
