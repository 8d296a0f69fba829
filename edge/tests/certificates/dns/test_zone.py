"""What the delegated zone answers; dnspython, which the zone does not use, reads the replies."""

from __future__ import annotations

import struct

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.tsig
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_tunnel_edge.certificates.dns.wire import MAX_UDP_REPLY
from asgi_tunnel_edge.certificates.dns.zone import MAX_VALUES, Zone, ZoneFullError

APEX = "_acme-challenge.example.org"
ONE, TWO = "A" * 43, "b" * 43


def zone(*values: str, at: str = APEX) -> Zone:
    """The zone of ``example.org`` with TXT values."""
    made = Zone(APEX, ["example.org"], serial=7)
    for value in values:
        made.add(at, value)
    return made


def ask(
    asked: Zone,
    name: str,
    kind: str = "TXT",
    *,
    tcp: bool = False,
    rdclass: str = "IN",
    edns: int = 0,
) -> dns.message.Message:
    """Ask one question; ``edns`` is the size that is offered, 0 is without."""
    query = dns.message.make_query(name, kind, rdclass, use_edns=0 if edns else -1, payload=edns)
    reply = asked.answer(query.to_wire(), tcp=tcp)
    assert reply is not None
    message = dns.message.from_wire(reply)
    assert query.is_response(message)
    assert not message.flags & dns.flags.RA
    return message


def texts(message: dns.message.Message) -> set[str]:
    """The values of the TXT records of a reply."""
    return {text.decode() for rrset in message.answer for rdata in rrset for text in rdata.strings}


def is_empty(message: dns.message.Message) -> bool:
    """An authoritative reply without records, with the SOA record that says for how long."""
    return (
        bool(message.flags & dns.flags.AA)
        and not message.answer
        and [(r.name.to_text(), r.rdtype, r.ttl) for r in message.authority]
        == [(APEX + ".", dns.rdatatype.SOA, 1)]
    )


def test_all_values_of_a_name() -> None:
    """A wildcard and its base are proved at one time: both values are in one reply."""
    message = ask(zone(ONE, TWO), APEX)
    assert message.rcode() == dns.rcode.NOERROR
    assert message.flags & dns.flags.AA
    assert texts(message) == {ONE, TWO}
    assert message.answer[0].ttl == 1


def test_a_value_taken_away() -> None:
    """What is cleared is not there any more; the name of the zone itself stays."""
    made = zone(ONE, TWO)
    made.remove(APEX, ONE)
    made.remove(APEX, "never there")
    assert texts(ask(made, APEX)) == {TWO}
    made.remove(APEX, TWO)
    message = ask(made, APEX)
    assert message.rcode() == dns.rcode.NOERROR
    assert is_empty(message)


def test_apex_records() -> None:
    """SOA, NS and a CAA record that lets nobody issue for names in the zone."""
    made = zone()
    assert ask(made, APEX, "NS").answer[0].to_text() == f"{APEX}. 3600 IN NS example.org."
    assert ask(made, APEX, "CAA").answer[0].to_text() == f'{APEX}. 3600 IN CAA 0 issue ";"'
    soa = ask(made, APEX, "SOA").answer[0][0]
    assert soa.to_text().startswith("example.org. hostmaster.example.org. 8 ")
    made.add(APEX, ONE)
    assert ask(made, APEX, "SOA").answer[0][0].serial == 9


def test_names_below() -> None:
    """A name between the zone and a value exists without records; others do not exist."""
    made = zone(ONE, at=f"shop.example.com.{APEX}")
    assert texts(ask(made, f"shop.example.com.{APEX}")) == {ONE}
    for between in (f"example.com.{APEX}", f"com.{APEX}"):
        message = ask(made, between)
        assert message.rcode() == dns.rcode.NOERROR, between
        assert is_empty(message)
    for absent in (f"x.{APEX}", f"x.shop.example.com.{APEX}", f"shop.{APEX}"):
        message = ask(made, absent)
        assert message.rcode() == dns.rcode.NXDOMAIN, absent
        assert is_empty(message)
    made.remove(f"shop.example.com.{APEX}", ONE)
    assert ask(made, f"com.{APEX}").rcode() == dns.rcode.NXDOMAIN


@pytest.mark.parametrize("kind", ["A", "AAAA", "DS", "DNSKEY", "CNAME", "MX", "NSEC", "TYPE65280"])
def test_other_types_are_not_there(kind: str) -> None:
    """A type that the zone does not have is an empty reply, DS of the zone above included."""
    message = ask(zone(ONE), APEX, kind)
    assert message.rcode() == dns.rcode.NOERROR
    assert is_empty(message)


def test_upper_and_lower_case() -> None:
    """Names match in any case, and the reply repeats that of the question (0x20)."""
    mixed = "_aCmE-cHaLlEnGe.ExAmPlE.oRg"
    query = dns.message.make_query(mixed, "TXT")
    reply = zone(ONE).answer(query.to_wire(), tcp=False)
    assert reply is not None
    message = dns.message.from_wire(reply)
    assert message.question[0].name.to_text() == mixed + "."
    assert message.answer[0].name.to_text() == mixed + "."
    assert b"\x0f_aCmE-cHaLlEnGe\x07ExAmPlE\x03oRg\0" in reply


@pytest.mark.parametrize(
    ("name", "kind", "rdclass"),
    [
        ("example.org", "A", "IN"),
        ("example.org", "TXT", "IN"),
        ("x_acme-challenge.example.org", "TXT", "IN"),
        ("_acme-challenge.example.org.evil.test", "TXT", "IN"),
        ("org", "NS", "IN"),
        (".", "NS", "IN"),
        (".", "ANY", "IN"),
        (APEX, "AXFR", "IN"),
        (APEX, "IXFR", "IN"),
        (APEX, "MAILB", "IN"),
        (APEX, "TXT", "ANY"),
        (APEX, "TXT", "CH"),
        ("version.bind", "TXT", "CH"),
    ],
)
def test_refused(name: str, kind: str, rdclass: str) -> None:
    """Other names, other classes and transfers are refused, without a record."""
    query = dns.message.make_query(name, kind, rdclass)
    query.flags = dns.flags.Flag(0)
    query.authority.clear()  # IXFR has a SOA record there
    reply = zone(ONE).answer(query.to_wire(), tcp=True)
    assert reply is not None
    message = dns.message.from_wire(reply)
    assert message.rcode() == dns.rcode.REFUSED
    assert not message.flags & dns.flags.AA
    assert not any(message.sections[1:])


def test_a_label_that_holds_the_zone() -> None:
    """A label may hold any byte, lengths too: what only ends like the zone is not in it."""
    name = b"\x11x\x0f_acme-challenge\7example\3org\0"
    reply = zone(ONE).answer(QUERY[:12] + name + QUERY[-4:], tcp=True)
    assert reply is not None
    assert dns.message.from_wire(reply).rcode() == dns.rcode.REFUSED


def test_any_is_small() -> None:
    """ANY gets one HINFO record (RFC 8482), whatever there is; an absent name stays absent."""
    made = zone(ONE, at=f"a.b.{APEX}")
    assert ask(made, APEX, "ANY").answer[0][0].to_text() == '"RFC8482" ""'
    assert is_empty(ask(made, f"b.{APEX}", "ANY"))
    assert ask(made, f"c.{APEX}", "ANY").rcode() == dns.rcode.NXDOMAIN


def test_servers_inside_the_zone() -> None:
    """A zone of its own, with its server's name in it, has that name's addresses, also as glue."""
    with pytest.raises(ValueError, match="needs its addresses"):
        Zone("acme.example.net", ["ns.acme.example.net"])
    made = Zone(
        "acme.example.net",
        ["ns.acme.example.net", "ns.example.com"],
        addresses=["192.0.2.1", "2001:db8::1"],
    )
    glue = {rrset.to_text() for rrset in ask(made, "acme.example.net", "NS").additional}
    assert glue == {
        "ns.acme.example.net. 3600 IN A 192.0.2.1",
        "ns.acme.example.net. 3600 IN AAAA 2001:db8::1",
    }
    assert ask(made, "ns.acme.example.net", "A").answer[0][0].to_text() == "192.0.2.1"
    assert ask(made, "ns.acme.example.net", "TXT").rcode() == dns.rcode.NOERROR


def test_edns() -> None:
    """EDNS gets EDNS: our size, the DO flag repeated, unknown options and flags left out."""
    option = dns.edns.GenericOption(dns.edns.OptionType.make(65001), b"x" * 40)
    query = dns.message.make_query(APEX, "TXT", want_dnssec=True, payload=4096, options=[option])
    query.ednsflags |= 0x0400
    reply = zone(ONE).answer(query.to_wire(), tcp=False)
    assert reply is not None
    message = dns.message.from_wire(reply)
    assert (message.edns, message.payload, message.ednsflags) == (0, MAX_UDP_REPLY, 0x8000)
    assert not message.options
    assert ask(zone(ONE), APEX).edns == -1


def test_later_edns() -> None:
    """A later version of EDNS gets BADVERS and version 0."""
    query = dns.message.make_query(APEX, "TXT", use_edns=1)
    reply = zone(ONE).answer(query.to_wire(), tcp=False)
    assert reply is not None
    message = dns.message.from_wire(reply)
    assert (message.rcode(), message.edns, message.answer) == (dns.rcode.BADVERS, 0, [])


def test_truncation() -> None:
    """What is longer than the sender takes, or than 1232 bytes, has the TC flag and no record."""
    full = zone(*(chr(97 + at) * 60 for at in range(MAX_VALUES)))
    huge = zone(*(chr(97 + at) * 255 for at in range(MAX_VALUES)))
    for made, edns in ((full, 0), (full, 511), (full, 1000), (huge, 1232), (huge, 65535)):
        message = ask(made, APEX, edns=edns)
        assert message.flags & dns.flags.TC, edns
        assert not message.answer
    assert len(texts(ask(full, APEX, edns=1232))) == MAX_VALUES
    assert len(texts(ask(huge, APEX, tcp=True))) == MAX_VALUES
    assert len(texts(ask(zone(ONE, TWO), APEX))) == 2


def test_too_fast() -> None:
    """A sender that may be made up gets the TC flag in no more bytes than it sent."""
    query = dns.message.make_query(APEX, "TXT", use_edns=0).to_wire()
    reply = zone(ONE).truncated(query)
    assert reply is not None
    assert len(reply) <= len(query)
    assert dns.message.from_wire(reply).flags & dns.flags.TC
    for nothing in (b"", bytes(11), bytes(12), query[:-1], query[:2] + b"\x80" + query[3:]):
        assert zone(ONE).truncated(nothing) is None


QUERY = dns.message.make_query(APEX, "TXT", id=7).to_wire()
OPT = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"


@pytest.mark.parametrize("data", [b"", QUERY[:11], QUERY[:2] + b"\x80" + QUERY[3:], b"\xff" * 99])
def test_no_reply(data: bytes) -> None:
    """What is shorter than a header, or a reply itself, gets no reply: none goes in circles."""
    assert zone().answer(data, tcp=False) is None


@pytest.mark.parametrize("opcode", [1, 2, 4, 5, 6, 15])
def test_other_operations(opcode: int) -> None:
    """NOTIFY, UPDATE and the like are not implemented; nothing is read behind the header."""
    reply = zone().answer(QUERY[:2] + bytes((opcode << 3,)) + b"\xff" * 9, tcp=False)
    assert reply == QUERY[:2] + bytes((0x80 | opcode << 3, 4)) + bytes(8)


@pytest.mark.parametrize(
    "data",
    [
        QUERY[:12],
        QUERY[:-1],
        QUERY + b"\0",
        QUERY[:5] + b"\0" + QUERY[6:],  # no question
        QUERY[:5] + b"\2" + QUERY[6:] + QUERY[12:],  # two
        QUERY[:7] + b"\1" + QUERY[8:] + OPT,  # an answer
        QUERY[:9] + b"\1" + QUERY[10:] + OPT,  # an authority
        QUERY[:12] + b"\xc0\x0c" + QUERY[-4:],  # the name points to itself
        QUERY[:12] + b"\x40a\0" + QUERY[-4:],  # a label of a type that does not exist
        QUERY[:12] + b"\1a" * 128 + b"\0" + QUERY[-4:],  # 257 bytes of name
        QUERY[:11] + b"\1" + QUERY[12:],  # no record where one was announced
        QUERY[:11] + b"\2" + QUERY[12:] + OPT + OPT,
        QUERY[:11] + b"\5" + QUERY[12:] + OPT * 5,
        QUERY[:11] + b"\1" + QUERY[12:] + b"\1a" + OPT,  # not at the root
        QUERY[:11] + b"\1" + QUERY[12:] + OPT[:-1] + b"\3\0\1\0",  # half an option
        QUERY[:11] + b"\1" + QUERY[12:] + OPT[:-1] + b"\4\0\1\0\1",  # longer than its record
        QUERY[:11] + b"\1" + QUERY[12:] + OPT[:-2] + b"\x20\0" + bytes(8192),  # too long
        QUERY[:-4] + b"\0\x29\0\1",  # a question for OPT
    ],
)
def test_malformed(data: bytes) -> None:
    """A malformed query gets FORMERR with its id, and no record."""
    reply = zone(ONE).answer(data, tcp=False)
    assert reply is not None
    assert reply[:2] == data[:2]
    assert reply[3] & 0xF == 1
    assert reply[6:10] == bytes(4)
    assert len(reply) <= max(len(data), 12)


def test_signed_queries() -> None:
    """There are no keys here: a signed query is refused as such (RFC 8945 section 5.2)."""
    query = dns.message.make_query(APEX, "TXT")
    query.use_tsig(dns.tsig.Key("key.test", "c2VjcmV0c2VjcmV0c2VjcmV0"))
    reply = zone(ONE).answer(query.to_wire(), tcp=False)
    assert reply is not None
    assert dns.message.from_wire(reply).rcode() == dns.rcode.NOTAUTH


def test_bounds() -> None:
    """Values and names are bounded, and names outside the zone are refused."""
    made = zone(*(f"{at}" for at in range(MAX_VALUES)))
    made.add(APEX, "0")  # there already
    with pytest.raises(ZoneFullError, match="16 values"):
        made.add(APEX, "one more")
    for name in ("example.org", "x_acme-challenge.example.org", f"a..{APEX}", f"{'a' * 64}.{APEX}"):
        with pytest.raises(ValueError, match=r"zone|label"):
            made.add(name, "value")
        assert not made.holds(name)
    with pytest.raises(ValueError, match="255"):
        made.add(f"a.{APEX}", "x" * 256)
    with pytest.raises(ValueError, match="longer"):
        made.add(f"{'abcdefg.' * 30}{APEX}", "value")
    assert made.holds(f"a.{APEX.upper()}.")


NAMES = st.lists(st.binary(min_size=1, max_size=63), max_size=5).map(
    lambda labels: b"".join(bytes((len(label),)) + label for label in labels)
)


@given(
    st.binary(max_size=600)
    | st.builds(
        lambda head, name, end, rest: head + name + end + rest,
        st.builds(
            struct.Struct("!6H").pack,
            *[st.integers(0, 0xFFFF), st.sampled_from([0, 0x100, 0x7800, 0x8000, 0x7FFF])],
            *[st.integers(0, 2)] * 4,
        ),
        NAMES | NAMES.map(lambda name: name + b"\x0f_acme-CHALLENGE\7example\3org\0"),
        st.builds(struct.Struct("!HH").pack, st.integers(0, 300), st.sampled_from([1, 3, 255])),
        st.sampled_from([b"", OPT, OPT[:3] + b"\xff" * 4 + OPT[7:]]) | st.binary(max_size=40),
    ),
    st.booleans(),
)
def test_any_bytes(data: bytes, tcp: bool) -> None:
    """Nothing raises; no reply is beyond its bound, and records are only given for the zone."""
    made = zone(*(chr(97 + at) * 200 for at in range(MAX_VALUES)))
    reply = made.answer(data, tcp=tcp)
    slow = made.truncated(data)
    assert slow is None or len(slow) <= len(data)
    if len(data) < 12 or data[2] & 0x80:
        assert reply is None
        return
    assert reply is not None
    assert len(reply) <= (65535 if tcp else MAX_UDP_REPLY)
    assert reply[:2] == data[:2]
    assert reply[2] & 0x80
    message = dns.message.from_wire(reply)
    if message.answer or message.authority:
        name = message.question[0].name
        assert message.flags & dns.flags.AA
        assert name.is_subdomain(dns.name.from_text(APEX))
        assert message.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN)
