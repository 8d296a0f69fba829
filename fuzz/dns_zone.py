"""What strangers ask of the delegated zone: nothing raises, and replies stay in their bounds.

The first byte chooses UDP or TCP.
"""

import shlex
import sys

import atheris

with atheris.instrument_imports(include=["asgi_tunnel_edge.certificates.dns"]):
    from asgi_tunnel_edge.certificates.dns.wire import MAX_UDP_REPLY
    from asgi_tunnel_edge.certificates.dns.zone import MAX_VALUES, Zone

APEX = b"\x0f_acme-challenge\x07example\x03org\x00"
ZONE = Zone(
    "_acme-challenge.example.org",
    ["example.org", "ns._acme-challenge.example.org"],
    addresses=["192.0.2.1", "2001:db8::1"],
)
for number in range(MAX_VALUES):
    ZONE.add("_acme-challenge.example.org", chr(97 + number) * 60)
    ZONE.add("shop.example.com._acme-challenge.example.org", chr(97 + number) * 200)


def run(data: bytes) -> None:
    """One input."""
    if not data:
        return
    tcp, query = bool(data[0] & 1), data[1:]
    reply, short = ZONE.answer(query, tcp=tcp), ZONE.truncated(query)
    if short is not None:
        assert len(short) <= len(query)
        assert short[2] & 2
    if len(query) < 12 or query[2] & 0x80:
        assert reply is short is None
        return
    assert reply is not None
    assert 12 <= len(reply) <= (65535 if tcp else MAX_UDP_REPLY)
    assert reply[:2] == query[:2]
    assert reply[2] & 0xF8 == 0x80 | query[2] & 0x78
    questions, answers, authorities = (reply[at] << 8 | reply[at + 1] for at in (4, 6, 8))
    if answers or authorities:
        assert questions == 1
        end = query.index(APEX, 12) if APEX in query[12:] else query.lower().index(APEX, 12)
        assert reply[12 : end + len(APEX)] == query[12 : end + len(APEX)]
        assert reply[2] & 4


# The first word is how a merge starts itself again, in a shell.
atheris.Setup([shlex.join([sys.executable, sys.argv[0]]), *sys.argv[1:]], run)
atheris.Fuzz()
