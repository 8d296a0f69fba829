from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocol.pair import examples

from asgi_tunnel_edge import hostname as module
from asgi_tunnel_edge.errors import HostnameError
from asgi_tunnel_edge.hostname import (
    host_from_header,
    is_address,
    is_valid_host,
    normalise_hostname,
    wildcard_of,
)

LONGEST = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])  # 253 characters
LABELS = "has an empty label (two dots in a row, or a dot in front)"
CHARACTERS = "has characters other than letters, digits, hyphens, underscores and dots"
ADDRESS = "is an IP address"
PORT = "has something else than a port behind the colon"

GOOD = [
    ("shop.example.org", "shop.example.org"),
    ("Shop.EXAMPLE.org", "shop.example.org"),
    ("shop.example.org.", "shop.example.org"),
    ("shop.example.org:443", "shop.example.org"),
    ("shop.example.org.:8443", "shop.example.org"),
    ("shop.example.org:", "shop.example.org"),
    ("localhost", "localhost"),
    ("xn--bcher-kva.test", "xn--bcher-kva.test"),
    ("1.example", "1.example"),
    ("a--b.c", "a--b.c"),
    ("0x.test", "0x.test"),
    (LONGEST, LONGEST),
    ("My_app.test", "my_app.test"),
    ("_a.b_.test", "_a.b_.test"),
    ("example.org:000080", "example.org"),
]
BAD = [
    ("", "is empty"),
    ("b\u00fccher.test", "has characters outside ASCII (write them in their xn-- form)"),
    ("\u212a.test", "has characters outside ASCII (write them in their xn-- form)"),
    ("[::1]", ADDRESS),
    ("[::1", ADDRESS),
    ("127.0.0.1", ADDRESS),
    ("127.0.0.1:80", ADDRESS),
    ("127.1", ADDRESS),
    ("2130706433", ADDRESS),
    ("0x7f000001", ADDRESS),
    ("a.0x", ADDRESS),
    ("example.org:65536", PORT),
    ("example.org:+80", PORT),
    ("example.org:80:80", PORT),
    ("example.org:\u0661", "has characters outside ASCII (write them in their xn-- form)"),
    ("::1", PORT),
    ("a/b", CHARACTERS),
    ("user@a.test", CHARACTERS),
    ("a b", CHARACTERS),
    (" a", CHARACTERS),
    ("a\n", CHARACTERS),
    ("a.test\x00", CHARACTERS),
    (".", LABELS),
    (".a.test", LABELS),
    ("a..test", LABELS),
    ("a.test..", LABELS),
    ("-a.test", "has a label that begins or ends with a hyphen"),
    ("a-.test", "has a label that begins or ends with a hyphen"),
    ("a" * 64, "has a label longer than 63 characters"),
    (LONGEST + "x", "is longer than 253 characters"),
    ("*.example.org", "has a *, which only a token's hostname may have"),
]


@pytest.mark.parametrize(("text", "name"), GOOD)
def test_one_spelling(text: str, name: str) -> None:
    """T28: case, one final dot and the port do not make another name, for settings and visitors."""
    assert normalise_hostname(text) == name
    assert host_from_header(text.encode()) == name
    assert host_from_header(text.encode()) == name  # from the cache


@pytest.mark.parametrize(("text", "why"), BAD)
def test_refused(text: str, why: str) -> None:
    """Each rule has its own words for an operator; a visitor's Host is simply no name."""
    with pytest.raises(HostnameError) as caught:
        normalise_hostname(text)
    assert caught.value.why == why
    assert host_from_header(text.encode()) is None


def test_bytes_that_are_not_ascii() -> None:
    """A Host with bytes above 127 is no name and no address."""
    assert host_from_header(b"\xff.test") is None
    assert is_address(b"\xff") is False


@pytest.mark.parametrize(
    ("text", "name"),
    [("*.Example.org.", "*.example.org"), ("*.localhost", "*.localhost"), ("a.b", "a.b")],
)
def test_wildcard_for_tokens(text: str, name: str) -> None:
    """A token may have a wildcard as its whole first label."""
    assert normalise_hostname(text, wildcard=True) == name


@pytest.mark.parametrize(
    "text", ["*", "*.", "**.a", "a*.test", "a.*.test", "*.*.test", "*.1.2.3.4"]
)
def test_other_wildcards(text: str) -> None:
    """A star anywhere else is refused, and so is a wildcard over an address."""
    with pytest.raises(HostnameError):
        normalise_hostname(text, wildcard=True)


def test_wildcard_counts_for_the_length() -> None:
    """The star is part of the 253 characters."""
    with pytest.raises(HostnameError, match="longer than 253"):
        normalise_hostname(f"*.{LONGEST}", wildcard=True)


@pytest.mark.parametrize(
    ("name", "wildcard"),
    [("shop.example.org", "*.example.org"), ("a.b.c", "*.b.c"), ("localhost", None)],
)
def test_wildcard_of(name: str, wildcard: str | None) -> None:
    """A wildcard covers exactly one label, as in certificates."""
    assert wildcard_of(name) == wildcard


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"127.0.0.1", True),
        (b"127.0.0.1:8080", True),
        (b"[::1]", True),
        (b"[2001:db8::1]:443", True),
        (b"::1", False),
        (b"[::1", False),
        (b"[::1]x", False),
        (b"[::1]:99999", False),
        (b"[127.0.0.1]", False),
        (b"[fe80::1%eth0]", False),
        (b"127.1", False),
        (b"256.0.0.1", False),
        (b"example.org", False),
        (b"", False),
    ],
)
def test_is_address(raw: bytes, expected: bool) -> None:
    """T27: a well-formed address is told from a malformed Host."""
    assert is_address(raw) is expected


@pytest.mark.plain  # another bound
def test_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """T28: a thousand made-up hosts do not grow memory; bad ones are not kept at all."""
    monkeypatch.setattr(module, "_CACHE_SIZE", 10)
    cache: dict[bytes, str] = {}
    monkeypatch.setattr(module, "_cache", cache)
    for number in range(1000):
        assert host_from_header(b"h%d.test" % number) == f"h{number}.test"
        host_from_header(b"h%d_.test" % number)
        assert len(cache) <= 10
    assert all(raw.decode() == name for raw, name in cache.items())


@examples(60)
@given(st.binary(max_size=300) | st.text("aA.-:*[]01x", max_size=20).map(str.encode))
def test_never_raises_and_is_stable(raw: bytes) -> None:
    """Whatever comes, the answer is None or a name that is its own normal form."""
    name = host_from_header(raw)
    is_address(raw)
    if name is not None:
        assert normalise_hostname(name) == name


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"0.0.0.0=5000", True),
        (b"[v1.foo]:80", True),
        (b"[vF.a:b]", True),
        (b"a%41.test", True),
        (b"a!$&'()*+,;=~.test:0000443", True),
        (b"a..test", False),
        (b"*.test", False),
        (b"-a.test", True),
        (b"[::1]:080", True),
        (b"", False),
        (b"a%4.test", False),
        (b"[v1.]", False),
        (b"[::1", False),
        (b"[1]", False),
        (b"a b", False),
        (b"a@b", False),
        (b"a/b", False),
        (b"a:b", False),
        (b"a:65536", False),
        (b"a\n", False),
        (b"\xff", False),
    ],
)
def test_is_valid_host(raw: bytes, expected: bool) -> None:
    """What RFC 3986 allows is not malformed, though no app may have that name."""
    assert is_valid_host(raw) is expected
