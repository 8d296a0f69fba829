from __future__ import annotations

from typing import TYPE_CHECKING

import dns.rcode
from edge.tests.certificates.dns.fakes import FakeDNS, fake_dns

from asgi_tunnel_edge.certificates.dns import records as module
from asgi_tunnel_edge.certificates.dns.caa import CertificateAuthority
from asgi_tunnel_edge.certificates.dns.lookup import Lookup
from asgi_tunnel_edge.certificates.dns.records import (
    Finding,
    Plan,
    RecordState,
    check_records,
    render,
)

if TYPE_CHECKING:
    import pytest

V4, V6 = "192.0.2.1", "2001:db8::1"
APEX = "_acme-challenge.example.org"
PERSISTENT = "ca.test; accounturi=https://ca.test/acme/acct/1; policy=wildcard"
CA = CertificateAuthority(identities=("ca.test",), methods=("dns-01",))
ORG = "ns A 127.0.0.1\n"
GOOD = f"""ns A 127.0.0.1
@ A {V4}
@ AAAA {V6}
* A {V4}
* AAAA {V6}
_acme-challenge NS example.org.
_validation-persist TXT "{PERSISTENT}"
@ CAA 0 issue "ca.test"
"""
PLAN = Plan(
    domain="example.org",
    addresses=(V4, V6),
    zone=APEX,
    servers=("example.org",),
    persistent=PERSISTENT,
    ca=CA,
)
Findings = dict[tuple[str, str], Finding]


async def findings(plan: Plan, zones: dict[str, str], **failing: dns.rcode.Rcode) -> Findings:
    """What is found, by name and type. The fake is the resolver and every zone's server."""
    async with fake_dns({"org": ORG, "test": ORG, **zones}) as server:
        server.failing.update({name.replace("_", "."): code for name, code in failing.items()})
        found = await check_records(plan, lookup_of(server))
    for line in render(found).splitlines():
        assert len(line) <= 100
        assert line.isprintable()
    return {(one.name, one.kind): one for one in found}


def lookup_of(server: FakeDNS) -> Lookup:
    """Asks the fake."""
    return Lookup([("127.0.0.1", server.port)], port=server.port)


async def test_all_is_well() -> None:
    """Each record is there, and the text is a line for each."""
    found = await findings(PLAN, {"example.org": GOOD})
    assert set(found) == {
        ("example.org", "A"),
        ("example.org", "AAAA"),
        ("*.example.org", "A"),
        ("*.example.org", "AAAA"),
        (APEX, "NS"),
        ("_validation-persist.example.org", "TXT"),
        ("example.org", "CAA"),
    }
    assert {one.state for one in found.values()} == {RecordState.OK}
    assert render(list(found.values())).splitlines() == [
        "ok: example.org  A  192.0.2.1",
        "ok: example.org  AAAA  2001:db8::1",
        "ok: *.example.org  A  192.0.2.1",
        "ok: *.example.org  AAAA  2001:db8::1",
        f"ok: {APEX}  NS  example.org",
        f"ok: _validation-persist.example.org  TXT  {PERSISTENT.rpartition(' ')[0]}",
        "    policy=wildcard",
        "ok: example.org  CAA",
    ]


async def test_nothing_is_there() -> None:
    """Each record is missing, with its value and what to do; IPv6 is optional."""
    found = await findings(PLAN, {"example.org": "ns A 127.0.0.1"})
    states = {key: one.state for key, one in found.items()}
    assert states.pop(("example.org", "CAA")) is RecordState.OK  # everybody may issue
    assert set(states.values()) == {RecordState.MISSING}
    assert not found["example.org", "AAAA"].is_required
    assert found[APEX, "NS"].wanted == ("example.org",)
    assert "in the zone example.org at your DNS provider" in found[APEX, "NS"].sentence
    assert "missing, optional: *.example.org  AAAA  2001:db8::1\n" in render(list(found.values()))
    assert "missing: *.example.org  A  192.0.2.1\n" in render(list(found.values()))


async def test_addresses_of_another_machine() -> None:
    """An address that is not this machine's is wrong, and IPv6 says what happens then."""
    text = f"ns A 127.0.0.1\n@ A {V4}\n@ A 198.51.100.9\n* A 198.51.100.9\n@ AAAA 2001:db8::9"
    plan = Plan(domain="example.org", addresses=(V4,))
    found = await findings(plan, {"example.org": text})
    assert found["example.org", "A"].state is RecordState.WRONG
    assert "198.51.100.9 is not this machine; set it to 192.0.2.1" in (
        found["*.example.org", "A"].sentence
    )
    aaaa = found["example.org", "AAAA"]
    assert (aaaa.state, aaaa.is_required) == (RecordState.WRONG, True)
    assert "remove it: browsers and CAs use IPv6 first" in aaaa.sentence
    assert ("*.example.org", "AAAA") not in found  # none, as this machine has none


async def test_behind_nat() -> None:
    """Without a public address of its own the machine cannot compare, and says so."""
    found = await findings(Plan(domain="example.org"), {"example.org": f"ns A 127.0.0.1\n@ A {V4}"})
    assert found["example.org", "A"].state is RecordState.UNKNOWN
    assert "NAT" in found["example.org", "A"].sentence
    assert found["*.example.org", "A"].state is RecordState.MISSING


async def test_another_delegation() -> None:
    """NS records of another server are wrong; a server outside has to lead here."""
    text = GOOD.replace("NS example.org.", "NS ns.old.test.")
    plan = Plan(domain="example.org", addresses=(V4, V6), zone=APEX, servers=("edge.test",))
    zones = {"example.org": text, "edge.test": f"ns A 127.0.0.1\n@ A {V4}"}
    found = await findings(plan, zones)
    assert found[APEX, "NS"].state is RecordState.WRONG
    assert found[APEX, "NS"].found == ("ns.old.test",)
    assert f"the only NS records of {APEX} be edge.test" in found[APEX, "NS"].sentence
    assert found["edge.test", "A"].state is RecordState.OK


async def test_a_zone_elsewhere() -> None:
    """A zone of another name needs a CNAME record to it, and glue for a server inside it."""
    plan = Plan(
        domain="example.org",
        addresses=(V4,),
        zone="acme.example.test",
        servers=("ns.acme.example.test",),
    )
    name, target = APEX, "example.org.acme.example.test"
    above = "ns A 127.0.0.1\nacme NS ns.acme.example.test.\n"
    zones = {"example.org": "ns A 127.0.0.1", "example.test": above}
    found = await findings(plan, zones)
    assert found[name, "CNAME"].state is RecordState.MISSING
    assert found[name, "CNAME"].wanted == (target,)
    assert found["acme.example.test", "NS"].state is RecordState.OK
    assert found["ns.acme.example.test", "A"].state is RecordState.MISSING
    zones["example.org"] = f"ns A 127.0.0.1\n_acme-challenge CNAME {target}."
    assert (await findings(plan, zones))[name, "CNAME"].state is RecordState.OK
    zones["example.org"] = "ns A 127.0.0.1\n_acme-challenge CNAME elsewhere.test."
    assert (await findings(plan, zones))[name, "CNAME"].state is RecordState.WRONG


async def test_caa_of_another_ca() -> None:
    """The record to add is named, and where: at the name whose records decide."""
    plan = Plan(domain="shop.example.org", addresses=(V4,), ca=CA)
    zones = {"example.org": 'ns A 127.0.0.1\n@ CAA 0 issue "other.test"'}
    one = (await findings(plan, zones))["example.org", "CAA"]
    assert one.state is RecordState.WRONG
    assert one.sentence == (
        'example.org lets only other CAs issue; add the record 0 issue "ca.test" there'
    )
    zones = {"example.org": 'ns A 127.0.0.1\n@ CAA 0 issue "ca.test"\n@ CAA 0 issuewild ";"'}
    one = (await findings(plan, zones))["example.org", "CAA"]
    assert one.wanted == ('0 issuewild "ca.test"',)
    assert "for the wildcard" in one.sentence


async def test_what_cannot_be_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question that fails is a finding of its own; the others are answered."""
    found = await findings(PLAN, {"example.org": GOOD}, example_org=dns.rcode.SERVFAIL)
    assert found["example.org", "A"].state is RecordState.UNKNOWN
    assert "looking up" in found["example.org", "A"].sentence
    assert found["*.example.org", "A"].state is RecordState.OK
    monkeypatch.setattr(module, "TIMEOUT", 0.1)
    async with fake_dns({"org": ORG, "example.org": GOOD}) as server:
        server.failing["example.org"] = None
        slow = await check_records(PLAN, lookup_of(server))
        assert "more than 0.1 s" in render(slow)


def test_strange_values_stay_on_their_line() -> None:
    """What others put into the DNS cannot move a terminal's cursor, nor make a line long."""
    one = Finding(
        name="example.org",
        kind="TXT",
        wanted=("wanted " * 40,),
        found=("a\x1b[2Jb" + "c" * 300,),
        state=RecordState.WRONG,
        sentence="change it",
    )
    text = render([one])
    assert "\x1b" not in text
    assert all(len(line) <= 100 for line in text.splitlines())
    assert text.endswith("change it\n")
    assert render([]) == ""
