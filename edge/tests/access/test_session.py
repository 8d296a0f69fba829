"""A session's cookie is read by the edge that has signed it, as it was, or not at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_tunnel_edge.access.session import MAX_COOKIE, Claims, SessionSigner

SIGNER = SessionSigner(b"k" * 32)
VALUES: dict[str, Any] = {
    "id": "s1",
    "hostname": "a.test",
    "method": "oidc",
    "since": 1,
    "expires": 2,
    "epoch": 0,
    "provider": "google",
    "subject": "1042",
    "email": "zoë@a.test",
    "groups": ("x", "y"),
}
CLAIMS = Claims(**VALUES)
VALUE = SIGNER.sign(CLAIMS)


def test_it_says_what_was_signed() -> None:
    """In characters that a cookie may have."""
    assert SIGNER.read(VALUE) == CLAIMS
    assert VALUE.startswith(b"1.")
    assert set(VALUE) <= set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


@given(st.integers(0, len(VALUE) - 1), st.integers(0, 255))
def test_one_byte_changed(place: int, byte: int) -> None:
    """Nothing is read, wherever it is: the last character of a signature has bits to spare."""
    changed = VALUE[:place] + bytes([byte]) + VALUE[place + 1 :]
    assert SIGNER.read(changed) is None or changed == VALUE


@given(st.binary(max_size=200))
def test_any_bytes(value: bytes) -> None:
    """Garbage is no error, with the version in front or not."""
    assert SIGNER.read(value) is None
    assert SIGNER.read(b"1." + value) is None


def test_another_key_and_cut_values() -> None:
    """Neither an edge with another key nor a part of a value."""
    assert SessionSigner(b"x" * 32).read(VALUE) is None
    for length in range(len(VALUE)):
        assert SIGNER.read(VALUE[:length]) is None


def test_signed_bytes_that_are_no_session() -> None:
    """What another version has signed, with fewer or other parts, is none here."""
    import hmac
    from base64 import urlsafe_b64encode

    for payload in (b"", b"\x80", b"\x93\xa1a\xa1b\xa1c"):
        signed = b"1." + urlsafe_b64encode(payload).rstrip(b"=")
        mac = urlsafe_b64encode(hmac.digest(b"k" * 32, signed, "sha256")).rstrip(b"=")
        assert SIGNER.read(signed + b"." + mac) is None


def test_too_long() -> None:
    """What a browser would not keep is not made, nor read."""
    with pytest.raises(ValueError, match=f"exceeds {MAX_COOKIE} bytes"):
        SIGNER.sign(Claims(**{**VALUES, "name": "x" * 3000}))
    assert SIGNER.read(VALUE + b"A" * MAX_COOKIE) is None


def test_a_session_of_an_earlier_version_is_read() -> None:
    """Fields that came later have their defaults."""
    import msgspec

    early = msgspec.msgpack.encode(["s1", "a.test", "password", 1, 2, 0])
    found = msgspec.msgpack.decode(early, type=Claims)
    assert (found.user, found.groups, found.link) == (None, (), None)
