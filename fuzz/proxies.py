"""What a proxy says of a visitor: only the readers' own errors come out, and any cut is the same.

The first byte chooses the reader.
"""

import shlex
import sys
from ipaddress import ip_address

import atheris

with atheris.instrument_imports(
    include=["asgi_tunnel_edge.identity", "asgi_tunnel_edge.http1", "asgi_tunnel_edge.address"]
):
    from asgi_tunnel_edge.errors import ProxyHeaderError, RequestError
    from asgi_tunnel_edge.http1.head import read_head
    from asgi_tunnel_edge.identity.proxies import Proxies, TrustedPeer
    from asgi_tunnel_edge.identity.proxy_protocol import Preamble, read_preamble
    from asgi_tunnel_edge.settings.config import Limits, ProxiesConfig

LIMITS = Limits()
TRUSTED = ("10.0.0.0/8", "2001:db8::/32")
READERS = [
    Proxies(ProxiesConfig(trusted=TRUSTED, header="x-forwarded", host=True), is_https=False),
    Proxies(ProxiesConfig(trusted=TRUSTED, header="forwarded", host=True), is_https=False),
]


def preamble(data: bytes) -> Preamble | str | None:
    """What the header says, or why it is refused; from the shortest start that shows it."""
    for end in range(min(len(data), 300) + 1):
        try:
            found = read_preamble(data[:end])
        except ProxyHeaderError as error:
            return str(error)
        if found is not None:
            assert found.size == end
            return found
    return None


def fields(proxies: Proxies, data: bytes) -> None:
    """Whoever is named has an address in its one spelling."""
    whole = b"GET / HTTP/1.1\r\nHost: a.test\r\n" + data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    try:
        request = read_head(whole, len(whole), LIMITS)
        told, request = TrustedPeer(proxies, "10.0.0.1", 1).read(whole, request)
    except RequestError:
        return
    assert str(ip_address(told.address)) == told.address
    assert 0 <= told.port <= 65535
    assert [name for name, _ in request.fields].count(b"host") == 1


def run(data: bytes) -> None:
    """One input."""
    if not data:
        return
    which, rest = data[0] % 3, data[1:]
    if which < 2:
        fields(READERS[which], rest)
        return
    slow = preamble(rest)
    try:
        quick: Preamble | str | None = read_preamble(rest)
    except ProxyHeaderError as error:
        quick = str(error)
    # A value that is cut short is seen at the end of the header, so a cut may only see it later.
    assert slow == quick or (len(rest) > 300 and slow is None)
    if isinstance(quick, Preamble) and quick.source is not None:
        assert str(ip_address(quick.source.host)) == quick.source.host


# The first word is how a merge starts itself again, in a shell.
atheris.Setup([shlex.join([sys.executable, sys.argv[0]]), *sys.argv[1:]], run)
atheris.Fuzz()
