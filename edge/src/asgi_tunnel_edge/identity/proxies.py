"""Who sent a request, when the other end of the connection is a proxy that the operator trusts.

Decides whom to believe and reads what the proxy says; without input or output.  Nobody is believed
by default.  PROXY protocol is in :mod:`.proxy_protocol`; removing the fields from what is relayed
stays with :mod:`.head`, for trusted and other peers alike (T15).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import Final, NamedTuple

from ..address import plain_address
from ..errors import RequestError
from ..hostname import host_from_header, is_address
from ..request import Request
from ..settings.config import Network, ProxiesConfig
from .proxy_protocol import Preamble

MAX_HOPS: Final = 32
"""Proxies in a row that are looked through; real chains have three or four."""

_MAX_KNOWN: Final = 1024  # addresses whose trust is remembered
_MAX_PAIRS: Final = 16  # of one hop in Forwarded; four have a meaning

_X_FORWARDED: Final = re.compile(
    rb"^X-Forwarded-(For|Proto|Host):([^\r\n]*+)", re.MULTILINE | re.IGNORECASE
).findall
_FORWARDED: Final = re.compile(rb"^Forwarded:([^\r\n]*+)", re.MULTILINE | re.IGNORECASE).findall
_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_QUOTED: Final = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*+"'
_PAIR: Final = re.compile(rb"(" + _TOKEN + rb")=(" + _TOKEN + rb"|" + _QUOTED + rb")").match
_BETWEEN: Final = re.compile(rb"[ \t]*([;,])[ \t]*").match
_NODE: Final = re.compile(
    rb"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)|([0-9A-Fa-f:.]+))(?::([0-9]{1,5}))?"
).fullmatch
_SCHEMES: Final = {b"http": False, b"https": True, b"ws": False, b"wss": True}


class ForwardedIdentity(NamedTuple):
    """What is known of a request's sender."""

    address: str  # of the visitor; the proxy's own when it names nobody
    port: int  # 0 when it is not known
    is_https: bool  # how it came
    host: bytes | None  # what the visitor asked for, in place of Host; None: it is not known


class _Hop(NamedTuple):
    """What one proxy says of who it heard from."""

    node: bytes | None
    proto: bytes | None
    host: bytes | None


class Proxies:
    """``[proxies]`` at work.

    Args:
        config: At least one network in it.
        is_https: What a visitor speaks when its proxy does not say.
    """

    def __init__(self, config: ProxiesConfig, *, is_https: bool) -> None:
        self.reads_preamble = config.protocol
        self._is_https = is_https
        self._networks: tuple[Network, ...] = config.networks
        self._uses_host = config.host
        self._known: dict[str, bool] = {}
        self._read: Callable[[Proxies, bytes], Iterator[_Hop]] = (
            Proxies._read_x_forwarded if config.header == "x-forwarded" else Proxies._read_forwarded
        )

    def is_trusted(self, address: str) -> bool:
        """Whether what comes from this address is believed."""
        known = self._known.get(address)
        if known is None:
            plain = plain_address(address)
            parsed = None if plain is None else ip_address(plain)
            known = parsed is not None and any(
                parsed.version == one.version and parsed in one for one in self._networks
            )
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()  # visitors send what they like in front of the truth
            self._known[address] = known
        return known

    def find(self, address: str, port: int) -> TrustedPeer | None:
        """Return who will say whose requests come from there; None: nobody is believed."""
        if self.reads_preamble or not self.is_trusted(address):
            return None
        return TrustedPeer(self, address, port)

    def over_https(self, preamble: Preamble) -> bool:
        """Whether the visitor of a connection with this PROXY header has come over https."""
        return self._is_https if preamble.is_secure is None else preamble.is_secure

    def read(self, head: bytes, peer: str, port: int) -> ForwardedIdentity:
        """Find out who sent a request.

        The hops are walked from the nearest one; the first that is no trusted proxy is the
        visitor.  What stands left of it is the visitor's own text and is not even looked at.

        Args:
            head: One whole request head that :func:`..http1.head.read_head` has accepted.
            peer: The other end of the connection, a trusted proxy.
            port: Its port.

        Raises:
            RequestError: A proxy says something that is no address, scheme or host.  400, and not
                the proxy's own address: that would be a way around bans, and a ban on what comes
                that way would shut everybody out.
        """
        identity = ForwardedIdentity(peer, port, self._is_https, None)
        for number, hop in enumerate(self._read(self, head)):
            if number == MAX_HOPS:
                raise RequestError(400, "the proxy's fields name too many hops")
            identity = ForwardedIdentity(
                identity.address,
                identity.port,
                identity.is_https if hop.proto is None else _read_proto(hop.proto),
                identity.host if hop.host is None else _read_host(hop.host),
            )
            if hop.node is None:
                break
            address, port = _read_node(hop.node)
            identity = identity._replace(address=address, port=port)
            if not self.is_trusted(address):
                break
        return identity

    def apply(self, identity: ForwardedIdentity, request: Request) -> Request:
        """Return the request with the host that the visitor asked for."""
        if identity.host is None or not self._uses_host:
            return request
        host = identity.host
        fields = [(b"host", host) if name == b"host" else (name, v) for name, v in request.fields]
        return request._replace(host=host, hostname=host_from_header(host), fields=fields)

    def _read_x_forwarded(self, head: bytes) -> Iterator[_Hop]:
        """Yield the hops, the nearest one first.

        Scheme and host are the nearest proxy's: most proxies replace them, and in a list of them
        nothing says which belongs to which address.
        """
        values: dict[bytes, list[bytes]] = {}
        for name, value in _X_FORWARDED(head):
            values.setdefault(name.lower(), []).append(value)
        proto, host = (
            values[name][-1].rsplit(b",", 1)[-1].strip(b" \t") if name in values else None
            for name in (b"proto", b"host")
        )
        if b"for" not in values:
            yield _Hop(None, proto, host if self._uses_host else None)
            return
        nodes = b",".join(values[b"for"]).rsplit(b",", MAX_HOPS + 1)
        for node in reversed(nodes):
            yield _Hop(node.strip(b" \t"), proto, host if self._uses_host else None)

    def _read_forwarded(self, head: bytes) -> Iterator[_Hop]:
        """Yield the hops, the nearest one first.

        Each line is read whole, from its left, so that a quote which a visitor has left open makes
        its own request malformed and cannot hide what the proxy has written behind it.
        """
        for value in reversed(_FORWARDED(head)):
            for pairs in reversed(_read_elements(value.strip(b" \t"))):
                host = pairs.get(b"host") if self._uses_host else None
                yield _Hop(pairs.get(b"for"), pairs.get(b"proto"), host)


class TrustedPeer:
    """One connection of a trusted proxy: remembers whose it is.

    Args:
        proxies: The settings.
        address: The proxy's own.
        port: Likewise.
    """

    __slots__ = ("_address", "_port", "_proxies")

    def __init__(self, proxies: Proxies, address: str, port: int) -> None:
        self._proxies = proxies
        self._address = address
        self._port = port

    def read(self, head: bytes, request: Request) -> tuple[ForwardedIdentity, Request]:
        """Return who sent the request, and the request as it was meant.

        Raises:
            RequestError: See :meth:`Proxies.read`.
        """
        identity = self._proxies.read(head, self._address, self._port)
        return identity, self._proxies.apply(identity, request)


def _read_node(node: bytes) -> tuple[str, int]:
    match = _NODE(node)
    if match is not None:
        bracketed, ipv4, bare, port = match.groups()
        text = (bracketed or ipv4 or bare).decode("ascii")
        address = plain_address(text)
        # IPv6 with a port needs its brackets; brackets are for IPv6.
        is_written_right = (":" in text) is (ipv4 is None) and not (bare and port)
        if address is not None and is_written_right and int(port or 0) <= 65535:
            return address, int(port or 0)
    raise RequestError(400, "the proxy's fields name no address of the visitor")


def _read_proto(proto: bytes) -> bool:
    is_https = _SCHEMES.get(proto.lower())
    if is_https is None:
        raise RequestError(400, "the proxy's fields name an unknown scheme")
    return is_https


def _read_host(host: bytes) -> bytes:
    if host_from_header(host) is None and not is_address(host):
        raise RequestError(400, "the proxy's fields name a malformed host")
    return host


def _read_elements(value: bytes) -> list[dict[bytes, bytes]]:
    """Take one Forwarded field apart (RFC 7239 section 4)."""
    elements: list[dict[bytes, bytes]] = [{}]
    at = 0
    while True:
        match = _PAIR(value, at)
        if match is None or (name := match[1].lower()) in elements[-1]:
            raise RequestError(400, "the Forwarded field is malformed")
        text = match[2]
        if text[:1] == b'"':
            text = re.sub(rb"\\(.)", rb"\1", text[1:-1])
        elements[-1][name] = text
        at = match.end()
        if at == len(value):
            return elements
        between = _BETWEEN(value, at)
        if between is None:
            raise RequestError(400, "the Forwarded field is malformed")
        if between[1] == b",":
            elements.append({})
        if len(elements) > MAX_HOPS or len(elements[-1]) > _MAX_PAIRS:
            raise RequestError(400, "the proxy's fields name too many hops")
        at = between.end()
