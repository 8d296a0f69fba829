from __future__ import annotations

from typing import TYPE_CHECKING, cast

import dns.rcode
import dns.rdata
import pytest
from edge.tests.certificates.dns.fakes import fake_dns

from asgi_tunnel_edge.certificates.dns.caa import (
    CertificateAuthority,
    find_caa,
    parse_issue_value,
    why_not_issue,
)
from asgi_tunnel_edge.certificates.dns.lookup import DNSLookupError, Lookup

if TYPE_CHECKING:
    from dns.rdtypes.ANY.CAA import CAA

ACCOUNT = "https://ca.test/acct/1"
CA = CertificateAuthority(identities=("ca.test",), account_url=ACCOUNT, methods=("dns-01",))


def records(*texts: str) -> list[CAA]:
    """CAA records from their text form."""
    return [cast("CAA", dns.rdata.from_text("IN", "CAA", text)) for text in texts]


@pytest.mark.parametrize(
    ("texts", "base", "wildcard"),
    [
        ([], "", ""),
        (['0 iodef "mailto:a@b.test"'], "", ""),
        (['0 issue "ca.test"'], "", ""),
        (['0 ISSUE " CA.test. ; "'], "", ""),
        (['0 issue "other.test"', '0 issue "ca.test"'], "", ""),
        (['0 issue "other.test"'], "only other CAs", "only other CAs"),
        (['0 issue ";"'], "only other CAs", "only other CAs"),
        (['0 issue "%%%%%"'], "only other CAs", "only other CAs"),
        (['0 issue "ca.test; novalue"'], "only other CAs", "only other CAs"),
        (['0 issue "ca.test"', '0 issuewild ";"'], "", "only other CAs"),
        (['0 issuewild "ca.test"'], "", ""),
        (['0 issue "other.test"', '0 issuewild "ca.test"'], "only other CAs", ""),
        ([f'0 issue "ca.test; accounturi={ACCOUNT}"'], "", ""),
        (
            ['0 issue "other.test"', '0 issue "ca.test; accounturi=https://ca.test/acct/2"'],
            "only the account",
            "only the account",
        ),
        (['0 issue "ca.test; validationmethods=http-01,dns-01"'], "", ""),
        (['0 issue "ca.test; validationmethods=http-01"'], "allows only", "allows only"),
        (['128 unheard "of"'], "critical property", "critical property"),
        (['0 unheard "of"'], "", ""),
        (['128 issue "ca.test"'], "", ""),
    ],
)
def test_who_may_issue(texts: list[str], base: str, wildcard: str) -> None:
    """As RFC 8659 and RFC 8657 have it, for a name and for its wildcard."""
    for expected, is_wildcard in ((base, False), (wildcard, True)):
        why = why_not_issue(records(*texts), CA, wildcard=is_wildcard)
        assert expected in why
        assert bool(expected) == bool(why)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("", {})),
        (";", ("", {})),
        ("Ca.Test.", ("ca.test", {})),
        ("ca.test; A=1 ;b = 2;", ("ca.test", {"a": "1", "b": "2"})),
        ("ca.test; a=b=c", ("ca.test", {"a": "b=c"})),
        ("ca.test;;a=1", None),
        ("ca.test; a", None),
        ("ca.test; a=1; A=2", None),
        ("ca.test; =1", None),
    ],
)
def test_values(text: str, expected: tuple[str, dict[str, str]] | None) -> None:
    """A CA's name and parameters; what is malformed allows nobody."""
    assert parse_issue_value(text) == expected


async def test_the_nearest_name_decides() -> None:
    """The name, then those above it; the first that has records, which may be through a CNAME."""
    zones = {
        "test": 'example CAA 0 issue "ca.test"\nb.example A 192.0.2.1\nalias.example CNAME other\n'
        'other CAA 0 issue "other.test"\nns A 127.0.0.1'
    }
    async with fake_dns(zones) as server:
        lookup = Lookup([("127.0.0.1", server.port)])
        owner, found = await find_caa(lookup, "a.b.example.test")
        assert (owner, [one.value for one in found]) == ("example.test", [b"ca.test"])
        asked = [name for name, kind in server.asked if kind == "CAA"]
        assert asked == ["a.b.example.test", "b.example.test", "example.test"]
        owner, found = await find_caa(lookup, "alias.example.test")
        assert (owner, [one.value for one in found]) == ("alias.example.test", [b"other.test"])
        assert await find_caa(lookup, "nobody.test") == ("", [])
        server.failing["b.example.test"] = dns.rcode.SERVFAIL
        with pytest.raises(DNSLookupError, match="looking up CAA"):
            await find_caa(lookup, "a.b.example.test")
