from __future__ import annotations

import base64
import gzip
import json
import zlib

import pytest

from asgi_tunnel.inspector.body import Body
from asgi_tunnel.inspector.redaction import Redaction, Scrubber

FORM = (
    b'--xx\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    b'--xx\r\nContent-Disposition: form-data; name="password"\r\n\r\nMARKER\r\n--xx--\r\n'
)


def kept(data: bytes, kind: str = "", encoding: str = "", limit: int = 1000) -> dict[str, object]:
    """What is kept of a body that came in pieces of seven bytes."""
    body = Body(kind, encoding, limit)
    for at in range(0, len(data), 7):
        body.add(data[at : at + 7])
    assert body.to_json()["text"] == ""  # before its secrets are out
    body.finish(Scrubber(Redaction()))
    return body.to_json()


def test_a_text() -> None:
    """Text is kept as it is, with its size and type."""
    assert kept(b"caf\xc3\xa9", "text/plain") == {
        "size": 5,
        "kept": 5,
        "type": "text/plain",
        "text": "café",
    }


def test_bytes() -> None:
    """What is no text is kept in Base64."""
    found = kept(b"\x89PNG\xff", "image/png")
    assert base64.b64decode(str(found["base64"])) == b"\x89PNG\xff"
    assert "text" not in found


def test_a_long_body_is_cut() -> None:
    """The beginning is kept, up to the limit, also within a character; the size is all of it."""
    found = kept("é".encode() * 50, "text/plain; charset=utf-8", limit=33)
    assert (found["size"], found["kept"], found["text"]) == (100, 33, "é" * 16)
    assert kept(b"abc", "text/plain", limit=0)["text"] == ""


@pytest.mark.parametrize(
    ("data", "kind", "encoding"),
    [
        (b'{"a": [{"password": "MARKER"}]}', "application/json", ""),
        (b'{"password": "MARKER', "application/problem+json", ""),
        (b'{"password": "MARKER"}', "text/plain", ""),
        (b'{"password": "MARKER"}', "", ""),
        (b"a=1&password=MARKER", "application/x-www-form-urlencoded", ""),
        (b"a=1&pass%77ord=MARKER", "Application/X-WWW-Form-Urlencoded;charset=UTF-8", ""),
        ('{"password": "MARKER"}'.encode("utf-16"), "application/json", ""),
        ('{"password": "MARKER"}'.encode("utf-16-le"), "application/json", ""),
        (gzip.compress(b'{"password": "MARKER"}', mtime=0), "application/json", "gzip"),
        (zlib.compress(b"password=MARKER"), "application/x-www-form-urlencoded", "deflate"),
        (b'<a href="/x?token=MARKER">', "text/html", ""),
        (b"<a b='https://u:MARKER@h/'/>", "application/xml", ""),
        (
            FORM,
            'multipart/form-data; boundary="xx"',
            "",
        ),
        (
            b"--xx\ncontent-disposition: form-data; filename=a; name=password\n\nMARKER\n--xx--",
            "Multipart/Form-Data; Boundary=xx",
            "",
        ),
    ],
)
def test_no_secret_is_kept(data: bytes, kind: str, encoding: str) -> None:
    """Of JSON, forms and texts, packed or not, what belongs to a secret's name is left out."""
    found = kept(data, kind, encoding)
    assert "MARKER" not in json.dumps(found)
    assert "[redacted]" in str(found.get("text"))


@pytest.mark.parametrize(
    ("data", "kind", "encoding"),
    [
        (b"\x0b\x02\x80MARKER\x03", "application/json", "br"),
        (b"MARKER, and no gzip", "application/json", "gzip"),
        (b'{"password": "MARKER"}', "application/json; charset=unknown-8", ""),
        (b'{"password": "MARKER\xff"}', "application/json", ""),
    ],
)
def test_what_cannot_be_searched_is_not_kept(data: bytes, kind: str, encoding: str) -> None:
    """Only its size is."""
    found = kept(data, kind, encoding)
    assert (found["size"], found["kept"], found["text"]) == (len(data), 0, "")


def test_a_bomb_is_unpacked_up_to_the_limit() -> None:
    """A megabyte of zeros in a kilobyte costs what the limit says."""
    found = kept(gzip.compress(1_000_000 * b"0"), "text/plain", "gzip", limit=5000)
    assert len(str(found["text"])) == 5000


def test_what_comes_after_the_end_is_counted() -> None:
    """The rest of a request whose response is complete is not kept."""
    body = Body("text/plain", "", 100)
    body.add(b"abc")
    body.finish(Scrubber(Redaction()))
    assert body.add(b"def") == 0
    assert body.finish(Scrubber(Redaction())) == 0
    assert body.to_json() == {"size": 6, "kept": 3, "type": "text/plain", "text": "abc"}
