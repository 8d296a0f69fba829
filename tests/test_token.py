from __future__ import annotations

import base64
import dataclasses
import json
import pickle
import subprocess
import sys

import pytest

from asgi_tunnel.errors import ConfigError
from asgi_tunnel.token import MAX_TOKEN_LENGTH, Token

PIN = "sha256:" + "0a" * 32
SECRET = "Zm9vYmFyYmF6cXV4-_Zm9vYmFyYmF6cXV4Zm9vYmFyYg"
FIELDS: dict[str, object] = {"edge": "wss://edge.test:8443", "id": "tok_12ab"}


def encode(value: object) -> str:
    """base64url of a JSON value, without padding."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def text(**changes: object) -> str:
    """A token's text with some fields changed; a value of None drops the field."""
    fields = {key: value for key, value in (FIELDS | changes).items() if value is not None}
    return f"att1.{encode(fields)}.{SECRET}"


@pytest.mark.parametrize("pin", [None, PIN])
@pytest.mark.parametrize(
    "edge", ["wss://edge.test", "wss://edge.test:8443", "wss://[::1]:1", "wss://192.0.2.1"]
)
def test_round_trip(edge: str, pin: str | None) -> None:
    """A formatted token reads back as it was, without padding."""
    token = Token(edge=edge, id="tok_12ab", secret=SECRET, pin=pin)
    assert "=" not in token.format()
    assert Token.parse(token.format()) == token


def test_plain_ws_is_read() -> None:
    """A ws:// edge is part of a token; whether to dial it is the connector's decision."""
    assert Token.parse(text(edge="ws://127.0.0.1:8080")).edge == "ws://127.0.0.1:8080"


def test_unknown_fields_are_ignored() -> None:
    """A token of a later version may say more."""
    assert Token.parse(text(colour="blue")).id == "tok_12ab"


def test_final_slash_of_the_url_is_dropped() -> None:
    """Both spellings of an edge without a path mean the same."""
    assert Token.parse(text(edge="wss://edge.test/")).edge == "wss://edge.test"


URL = "names an edge whose URL is not wss://HOST or wss://HOST:PORT"
SCHEME = "names an edge whose URL is neither wss:// nor ws://"
BAD_PIN = "has a pin that is not sha256: and 64 lower-case hex digits"
NO_OBJECT = "has a second part that is not a JSON object"


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("", "is empty"),
        (" \n", "holds only white space"),
        (text() + "\n", "has white space around the token"),
        (" " + text(), "has white space around the token"),
        (f'"{text()}"', "has quotes around the token"),
        (f"'{text()}", "has quotes around the token"),
        (text()[:40] + "\n" + text()[40:], "has white space or a line break inside"),
        ("att1." + "a" * MAX_TOKEN_LENGTH, "is longer than 4096 characters"),
        ("att2.e30.abc", "does not begin with att1."),
        (f"ASGI_TUNNEL_TOKEN={text()}", "does not begin with att1."),
        ("att1", "has 1 part between dots, not 3"),
        ("att1.e30", "has 2 parts between dots, not 3"),
        ("att1.e30.a.b", "has 4 parts between dots, not 3"),
        ("att1..abc", "has an empty second part"),
        ("att1.e30.", "has an empty third part"),
        ("att1.e30.a=b", "has a third part with characters other than A-Z a-z 0-9 - _"),
        ("att1.e30.é", "has a third part with characters other than A-Z a-z 0-9 - _"),
        ("att1.e3!0.abc", "has a second part that is not base64url"),
        ("att1.e30=.abc", "has a second part that is not base64url"),
        ("att1.e3000.abc", "has a second part that is not base64url"),
        ("att1.e3.abc", NO_OBJECT),
        ("att1.____.abc", NO_OBJECT),
        (f"att1.{encode([1])}.abc", NO_OBJECT),
        (f"att1.{encode('x')}.abc", NO_OBJECT),
        (f"att1.{'W1tb' * 1000}.abc", NO_OBJECT),
        (text(edge=None), "does not name its edge"),
        (text(edge=5), "does not name its edge"),
        (text(edge="https://edge.test"), SCHEME),
        (text(edge="edge.test"), SCHEME),
        (text(edge="WSS://edge.test"), SCHEME),
        (text(edge="wss://"), URL),
        (text(edge="wss://:443"), URL),
        (text(edge="wss://edge.test:0"), URL),
        (text(edge="wss://edge.test:99999"), URL),
        (text(edge="wss://edge.test:x"), URL),
        (text(edge="wss://[::1"), URL),
        (text(edge="wss://user@edge.test"), URL),
        (text(edge="wss://edge.test/path"), URL),
        (text(edge="wss://edge.test?x"), URL),
        (text(edge="wss://edge.test#x"), URL),
        (text(edge="wss://edge .test"), URL),
        (text(edge="wss://edge\r\n.test"), URL),
        (text(edge="wss://bücher.test"), URL),
        (text(id=None), "does not name its id"),
        (text(id=""), "does not name its id"),
        (text(id=3), "does not name its id"),
        (text(id="a\nb"), "has an id that is not 1 to 64 of A-Z a-z 0-9 - _"),
        (text(id="a" * 65), "has an id that is not 1 to 64 of A-Z a-z 0-9 - _"),
        (text(pin=5), BAD_PIN),
        (text(pin="0a" * 32), BAD_PIN),
        (text(pin="sha256:" + "0A" * 32), BAD_PIN),
        (text(pin=PIN[:-1]), BAD_PIN),
        (text(pin="sha1:" + "0a" * 32), BAD_PIN),
        (text(edge="ws://edge.test", pin=PIN), "has a pin although its edge is not wss://"),
    ],
)
def test_malformed(bad: str, why: str) -> None:
    """Each malformation has its own sentence, which names the setting and what to do."""
    with pytest.raises(ConfigError) as caught:
        Token.parse(bad, setting="MY_TOKEN")
    assert caught.value.setting == "MY_TOKEN"
    assert caught.value.why == why
    assert caught.value.fix
    assert caught.value.__suppress_context__ is True


def test_refusal_never_repeats_the_secret() -> None:
    """T32: neither the sentence nor the error's attributes hold any part of the text."""
    with pytest.raises(ConfigError) as caught:
        Token.parse(text(edge="https://secret-host.test"))
    seen = repr((str(caught.value), vars(caught.value), caught.value.args))
    assert SECRET not in seen
    assert "secret-host" not in seen


def test_repr_hides_the_secret() -> None:
    """T32: a token in a log line or a traceback shows its id and not its secret."""
    token = Token.parse(text(pin=PIN))
    for shown in (repr(token), str(token), f"{[token]}"):
        assert SECRET not in shown
        assert "tok_12ab" in shown


def test_frozen_and_picklable() -> None:
    """A token cannot be changed; a worker process may receive it."""
    token = Token.parse(text())
    with pytest.raises(dataclasses.FrozenInstanceError):
        token.secret = "x"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(token)) == token  # noqa: S301 (our own bytes)


def test_import_loads_nothing_heavy() -> None:
    """Importing the module leaves json, base64 and urllib for the first use."""
    program = (
        "import sys; before = set(sys.modules); import asgi_tunnel.token; "
        "heavy = {'json', 'base64', 'urllib.parse', 'ssl', 'anyio', 'websockets'}; "
        "print(sorted(heavy & (set(sys.modules) - before)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
