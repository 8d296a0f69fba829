"""``--env-file``: which lines mean what."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from asgi_tunnel.config import TOKEN, TOKEN_FILE, TunnelConfig
from asgi_tunnel.env_file import MAX_SIZE, load_env_file, parse
from asgi_tunnel.errors import ConfigError
from asgi_tunnel.token import Token

TEXT = Token(edge="wss://edge.example", id="tok_1", secret="s" * 43, pin=None).format()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("A=1", {"A": "1"}),
        ("A=1\nB=2\n", {"A": "1", "B": "2"}),
        ("\n\n  # a comment\nA=1\n", {"A": "1"}),
        ("export A=1", {"A": "1"}),
        ("  A = 1  ", {"A": "1"}),
        ("A=", {"A": ""}),
        ("A=  # nothing", {"A": ""}),
        ("A", {}),
        ("A=1 # why", {"A": "1"}),
        ("A=1#2", {"A": "1#2"}),
        ("A=a=b", {"A": "a=b"}),
        ("A='1 # 2' # why", {"A": "1 # 2"}),
        ('A="one\\ntwo"', {"A": "one\ntwo"}),
        ("A='one\\ntwo'", {"A": "one\\ntwo"}),
        ('A="one\ntwo"\nB=2', {"A": "one\ntwo", "B": "2"}),
        (r'A="say \"hi\""', {"A": 'say "hi"'}),
        (r"A='it\'s'", {"A": "it's"}),
        ("A=1\nA=2", {"A": "2"}),
        ("A=1\nB=${A}/${C}${D:-4}", {"A": "1", "B": "1/34"}),
        ("A.b-c=1", {"A.b-c": "1"}),
        ("A=\u00e9", {"A": "\u00e9"}),
    ],
)
def test_lines(text: str, found: dict[str, str]) -> None:
    """A file is read as python-dotenv reads it."""
    assert parse(text, {"C": "3"}) == found


def test_what_is_no_line_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """A line that cannot be read is named and left out; the others count."""
    caplog.set_level(logging.WARNING)
    assert parse("A=1\nB='never closed\n=2\nC=3", {}) == {"A": "1", "C": "3"}
    assert "line 2 " in caplog.text
    assert "line 3 " in caplog.text
    assert "never closed" not in caplog.text


def test_the_environment_comes_first(tmp_path: Path) -> None:
    """What is set already stays; the rest is added, from a file of any system."""
    file = tmp_path / ".env"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        file.write_bytes("A=1\r\nB=2\r\n".encode(encoding))
        environ = {"A": "0"}
        load_env_file(file, environ)
        assert environ == {"A": "0", "B": "2"}


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A file that is missing, too large or no text is a sentence."""
    with pytest.raises(ConfigError, match="--env-file names a file that cannot be read"):
        load_env_file(tmp_path / "missing", {})
    (tmp_path / "large").write_bytes(b"#" * (MAX_SIZE + 1))
    with pytest.raises(ConfigError, match="more than"):
        load_env_file(tmp_path / "large", {})
    (tmp_path / "binary").write_bytes(b"\xff\x00\xff")
    with pytest.raises(ConfigError, match="UnicodeDecodeError"):
        load_env_file(tmp_path / "binary", {})


@pytest.mark.parametrize(
    "around",
    [
        "{}\n",
        "{}\r\n",
        " {}\t",
        "\ufeff{}",
        "\u200b{}\u200b\n",
        "\xa0{}",
        "export ASGI_TUNNEL_TOKEN={}\n",
        "ASGI_TUNNEL_TOKEN={}",
    ],
)
def test_what_stands_around_a_token(tmp_path: Path, around: str) -> None:
    """Line ends, byte order marks and the shell's words around a token do not count."""
    text = around.format(TEXT)
    file = tmp_path / "token"
    for environ, token in (
        ({TOKEN: text}, None),
        ({}, text),
        ({TOKEN_FILE: str(file)}, None),
    ):
        for encoding in ("utf-8", "utf-16"):
            file.write_bytes(text.encode(encoding))
            config = TunnelConfig.from_env(environ, token=token)
            assert config is not None
            assert config.text == TEXT


def test_a_token_file_that_is_empty(tmp_path: Path) -> None:
    """An empty file is named: it is not the same as no token."""
    (tmp_path / "token").write_text("\n")
    with pytest.raises(ConfigError, match="ASGI_TUNNEL_TOKEN_FILE names a file that is empty"):
        TunnelConfig.from_env({TOKEN_FILE: str(tmp_path / "token")})
