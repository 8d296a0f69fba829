from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocol.pair import examples

from asgi_tunnel_edge.errors import EdgeConfigError, RequestError
from asgi_tunnel_edge.http1.head import read_head
from asgi_tunnel_edge.identity.proxies import MAX_HOPS, ForwardedIdentity, Proxies, TrustedPeer
from asgi_tunnel_edge.listeners.proxy_header import PREAMBLE_TIMEOUT
from asgi_tunnel_edge.settings.config import EdgeConfig, Limits, ProxiesConfig, TlsConfig

TRUSTED = ("10.0.0.0/8", "2001:db8:1::/48")
PROXY = "10.0.0.1"
VISITOR = "203.0.113.9"

Header = Literal["x-forwarded", "forwarded"]


def proxies(header: Header = "x-forwarded", *, host: bool = False) -> Proxies:
    """What a configuration makes."""
    return Proxies(ProxiesConfig(trusted=TRUSTED, header=header, host=host), is_https=False)


def told(reader: Proxies, *lines: str) -> ForwardedIdentity | int:
    """Who sent a request with these fields, or the status that refuses it."""
    fields = "".join(f"{line}\r\n" for line in ("Host: a.test", *lines))
    head = f"GET / HTTP/1.1\r\n{fields}\r\n".encode("latin-1")
    try:
        request = read_head(head, len(head), Limits())
        assert not [name for name, _ in request.fields if b"forwarded" in name]
        return TrustedPeer(reader, PROXY, 4711).read(head, request)[0]
    except RequestError as error:
        return error.status


def visitor(address: str = VISITOR, port: int = 0, *, https: bool = False) -> ForwardedIdentity:
    """What a proxy says."""
    return ForwardedIdentity(address, port, https, None)


OWN = visitor(PROXY, 4711)  # the proxy names nobody: its own request


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], OWN),
        ([f"X-Forwarded-For: {VISITOR}"], visitor()),
        ([f"x-forwarded-for:{VISITOR}\t"], visitor()),
        ([f"X-Forwarded-For: {VISITOR}:5000"], visitor(port=5000)),
        (["X-Forwarded-For: 2001:DB8::9"], visitor("2001:db8::9")),
        (["X-Forwarded-For: [2001:db8::9]"], visitor("2001:db8::9")),
        (["X-Forwarded-For: [2001:db8::9]:80"], visitor("2001:db8::9", 80)),
        ([f"X-Forwarded-For: ::ffff:{VISITOR}"], visitor()),
        # The rightmost that is no proxy; what the visitor has sent itself stands left of it.
        ([f"X-Forwarded-For: 1.1.1.1, {VISITOR}"], visitor()),
        ([f"X-Forwarded-For: 1.1.1.1, {VISITOR}, 10.9.9.9"], visitor()),
        ([f'X-Forwarded-For: "garbage,,%, {VISITOR},10.9.9.9 , 2001:db8:1::2'], visitor()),
        (["X-Forwarded-For: 1.1.1.1", f"X-Forwarded-For: {VISITOR}"], visitor()),
        ([f"X-Forwarded-For: 1.1.1.1, {VISITOR}", "X-Forwarded-For: 10.0.0.7"], visitor()),
        # Nothing but proxies: the farthest one is who asks.
        (["X-Forwarded-For: 10.0.0.9, 10.0.0.8"], visitor("10.0.0.9")),
        ([f"X-Forwarded-For: {VISITOR}", "X-Forwarded-Proto: https"], visitor(https=True)),
        ([f"X-Forwarded-For: {VISITOR}", "X-Forwarded-Proto: WSS"], visitor(https=True)),
        ([f"X-Forwarded-For: {VISITOR}", "X-Forwarded-Proto: http"], visitor()),
        ([f"X-Forwarded-For: {VISITOR}", "X-Forwarded-Proto: https, http"], visitor()),
        ([f"X-Forwarded-For: {VISITOR}", "X-Forwarded-Host: b.test"], visitor()),
        # A visitor cannot have the proxy's words removed, nor put others beside them.
        ([f"X-Forwarded-For: {VISITOR}", "Connection: X-Forwarded-For"], visitor()),
        ([f"X-Forwarded-For: {VISITOR}", "X_Forwarded_For: 1.1.1.1"], visitor()),
        ([f"X-Forwarded-For: {VISITOR}", "Forwarded: for=1.1.1.1;proto=https"], visitor()),
        ([f"X-Forwarded-For: {VISITOR}", "X-Real-IP: 1.1.1.1"], visitor()),
        (["X-Forwarded-For:"], 400),
        (["X-Forwarded-For: unknown"], 400),
        ([f"X-Forwarded-For: {VISITOR},"], 400),
        (["X-Forwarded-For: 203.0.113.256"], 400),
        (["X-Forwarded-For: 203.0.113.9:65536"], 400),
        (["X-Forwarded-For: 203.0.113.9:"], 400),
        (["X-Forwarded-For: [203.0.113.9]"], 400),
        (["X-Forwarded-For: [2001:db8::9"], 400),
        (["X-Forwarded-For: fe80::1%eth0"], 400),
        (["X-Forwarded-For: 1.1.1.1 2.2.2.2"], 400),
        (["X-Forwarded-For: nobody, 10.0.0.9"], 400),
        ([f"X-Forwarded-For: {VISITOR}", "X-Forwarded-Proto: gopher"], 400),
        ([f"X-Forwarded-For: {VISITOR}", "X-Forwarded-Proto: https,"], 400),
        (["X-Forwarded-For: " + ",".join(["10.0.0.9"] * MAX_HOPS)], visitor("10.0.0.9")),
        (["X-Forwarded-For: " + ",".join(["10.0.0.9"] * (MAX_HOPS + 1))], 400),
    ],
)
def test_x_forwarded(lines: list[str], expected: ForwardedIdentity | int) -> None:
    """The rightmost address that is no proxy's is the visitor; what is malformed there is 400."""
    assert told(proxies(), *lines) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], OWN),
        ([f"Forwarded: for={VISITOR}"], visitor()),
        ([f'Forwarded: For="{VISITOR}:5000"; Proto=HTTPS'], visitor(port=5000, https=True)),
        (['Forwarded: for="[2001:db8::9]:80";by=10.0.0.1'], visitor("2001:db8::9", 80)),
        (['Forwarded: for="[2001:d\\b8::9]"'], visitor("2001:db8::9")),
        ([f"Forwarded: for=1.1.1.1;proto=https, for={VISITOR};proto=http"], visitor()),
        ([f"Forwarded: for=1.1.1.1, for={VISITOR} , for=10.0.0.9"], visitor()),
        ([f"Forwarded: for={VISITOR};proto=https", "Forwarded: for=10.0.0.9"], visitor(https=True)),
        (["Forwarded: proto=https"], visitor(PROXY, 4711, https=True)),
        ([f"Forwarded: for={VISITOR}", "X-Forwarded-For: 1.1.1.1"], visitor()),
        (["Forwarded: for=unknown"], 400),
        (["Forwarded: for=_hidden"], 400),
        (["Forwarded:"], 400),
        (["Forwarded: for"], 400),
        (["Forwarded: for=2001:db8::9"], 400),
        (["Forwarded: for=1.1.1.1;for=2.2.2.2"], 400),
        (["Forwarded: for=1.1.1.1;"], 400),
        (["Forwarded: for=1.1.1.1;proto=ftp"], 400),
        # A quote that the visitor has left open hides nothing: its request is malformed.
        ([f'Forwarded: for="1.1.1.1, for={VISITOR}'], 400),
        ([f'Forwarded: for="1.1.1.1, for="{VISITOR}"'], 400),
        (["Forwarded: " + ",".join(["for=10.0.0.9"] * (MAX_HOPS + 1))], 400),
        (["Forwarded: " + ";".join(f"a{n}=b" for n in range(20))], 400),
    ],
)
def test_forwarded(lines: list[str], expected: ForwardedIdentity | int) -> None:
    """RFC 7239: the same rule; scheme and address come from the same hop."""
    assert told(proxies("forwarded"), *lines) == expected


@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("x-forwarded", "X-Forwarded-Host: evil.test, B.test:8443"),
        ("forwarded", 'Forwarded: host="B.test:8443"'),
    ],
)
def test_host_only_where_it_is_asked_for(header: Header, line: str) -> None:
    """With ``host = true`` the proxy's name decides the route and is the app's Host field."""
    head = f"GET / HTTP/1.1\r\nHost: a.test\r\n{line}\r\n\r\n".encode()
    request = read_head(head, len(head), Limits())
    changed = TrustedPeer(proxies(header, host=True), PROXY, 1).read(head, request)[1]
    assert (changed.host, changed.hostname) == (b"B.test:8443", "b.test")
    assert changed.fields == [(b"host", b"B.test:8443")]
    assert TrustedPeer(proxies(header), PROXY, 1).read(head, request)[1] == request


def test_malformed_host_is_refused() -> None:
    """A host that no Host field may have is 400."""
    assert told(proxies(host=True), "X-Forwarded-Host: a b") == 400
    assert told(proxies("forwarded", host=True), 'Forwarded: host="a@b"') == 400


@pytest.mark.parametrize(
    ("address", "is_trusted"),
    [
        ("10.255.0.1", True),
        ("11.0.0.1", False),
        ("::ffff:10.0.0.1", True),  # of a listener that takes IPv4 and IPv6
        ("2001:db8:1::1", True),
        ("2001:db8:2::1", False),
        ("fe80::1%eth0", False),
        ("", False),
    ],
)
def test_trust_is_by_network(address: str, is_trusted: bool) -> None:
    """Addresses in one of the networks are believed, now and when they were seen before."""
    reader = proxies()
    assert [reader.is_trusted(address), reader.is_trusted(address)] == [is_trusted] * 2
    assert (reader.find(address, 1) is not None) == is_trusted


PLAIN, STANDARD = proxies(), proxies("forwarded")


@examples(60)
@given(
    st.lists(
        st.sampled_from(["for=", "10.0.0.2", VISITOR, ",", ";", '"', "[", "]", ":", "::1", " "])
        | st.text("abc=\\%", max_size=2),
        max_size=20,
    ).map("".join)
)
def test_anything_is_an_address_or_400(text: str) -> None:
    """Whatever the fields hold, a visitor with a port comes out, or 400."""
    for reader, name in ((PLAIN, "X-Forwarded-For"), (STANDARD, "Forwarded")):
        found = told(reader, f"{name}: {text}")
        assert found == 400 or (isinstance(found, ForwardedIdentity) and 0 <= found.port <= 65535)


def test_long_spaces_cost_no_more_than_their_length() -> None:
    """60 KiB of spaces are read at once: they were a visitor's way to stop the edge."""
    line = "X-Forwarded-For: a" + " " * 60_000 + f"b, {VISITOR}"
    started = time.perf_counter()
    assert told(proxies(), line) == visitor()
    assert told(proxies("forwarded"), "Forwarded: a" + " " * 60_000 + "b") == 400
    assert time.perf_counter() - started < 0.5


@pytest.mark.parametrize(
    ("config", "mode", "setting"),
    [
        (ProxiesConfig(trusted=("10.0.0.1/8",)), "off", "proxies.trusted"),
        (ProxiesConfig(trusted=("proxy.test",)), "off", "proxies.trusted"),
        (ProxiesConfig(trusted=("0.0.0.0/0",)), "off", "proxies.trusted"),
        (ProxiesConfig(trusted=("::/0",)), "off", "proxies.trusted"),
        (ProxiesConfig(protocol=True), "off", "proxies.protocol"),
        (ProxiesConfig(host=True), "off", "proxies.host"),
        (ProxiesConfig(trusted=TRUSTED, protocol=True), "internal", "proxies.protocol"),
        (ProxiesConfig(trusted=TRUSTED, protocol=True, host=True), "off", "proxies.host"),
    ],
)
def test_settings_that_make_no_sense(
    config: ProxiesConfig, mode: Literal["off", "internal"], setting: str
) -> None:
    """Each is refused at the start, by name."""
    with pytest.raises(EdgeConfigError, match=setting):
        EdgeConfig(
            data_dir=Path("x"),
            domain="a.test",
            listen="127.0.0.1:0",
            tls=TlsConfig(mode=mode),
            proxies=config,
        )


def test_a_wrong_list_is_explained() -> None:
    """A text where a list belongs is told with an example that can be copied."""
    table = {"domain": "a.test", "listen": "127.0.0.1:0", "proxies": {"trusted": "10.0.0.0/8"}}
    with pytest.raises(EdgeConfigError, match=r'trusted = \["127\.0\.0\.1/32"\]'):
        EdgeConfig.from_table(table, Path("x"))


def test_timeout_is_bounded() -> None:
    """A silent connection of a proxy ends before visitors' own deadlines would."""
    assert Limits().head_timeout > PREAMBLE_TIMEOUT
