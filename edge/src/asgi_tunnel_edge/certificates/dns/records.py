"""Which DNS records an owner has to make for an edge, and what is there.

``check_records`` looks up each of them and says in one sentence what to do where something is
missing or wrong; ``render`` makes plain text of that. It changes nothing, here or elsewhere.
"""

from __future__ import annotations

import asyncio
import ipaddress
import textwrap
import time
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

import dns.name
import dns.rdatatype

from .caa import CertificateAuthority, find_caa, why_not_issue
from .delegated import place_in
from .lookup import DNSLookupError, Lookup, absolute, plain
from .persistent import persistent_name, record_fits, texts_of
from .propagation import proof_record

__all__ = ["Finding", "Plan", "RecordState", "check_records", "render"]

TIMEOUT: Final = 30.0
"""Seconds for all questions together; they are asked at one time."""

WIDTH: Final = 100  # columns of the text

PROBE: Final = "asgi-tunnel-check"  # a label that only a wildcard record answers
_SHOWN: Final = 4  # values in one line


class RecordState(Enum):
    """What was found."""

    OK = "ok"
    MISSING = "missing"
    WRONG = "wrong"
    UNKNOWN = "unknown"  #: it could not be looked up, or not be compared


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an edge needs of the DNS."""

    domain: str  #: ``example.org``; the edge serves it and one level below
    addresses: tuple[str, ...] = ()  #: ``public_addresses()``; empty: behind NAT
    zone: str = ""  #: the delegated zone; empty: proofs are made in another way
    servers: tuple[str, ...] = ()  #: hostnames of its NS records
    persistent: str = ""  #: text of the dns-persist-01 record; empty: none
    ca: CertificateAuthority | None = None  #: None: CAA records are not looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One record: what it has to be, and what there is."""

    name: str
    kind: str  #: ``A``, ``NS`` and so on
    wanted: tuple[str, ...]
    found: tuple[str, ...]
    state: RecordState
    sentence: str = ""  #: what to do; empty where all is well
    is_required: bool = True


async def check_records(plan: Plan, lookup: Lookup) -> list[Finding]:
    """Look up every record of a plan; nothing raises, a failed question is a finding.

    Takes ``TIMEOUT`` seconds at the most. Cancelling it loses nothing.
    """
    domain = plan.domain
    hosts = [domain, f"*.{domain}"]
    hosts += [one for one in plan.servers if one != domain and not _is_below(one, plan.zone)]
    checks: list[tuple[str, str, Awaitable[list[Finding]]]] = [
        (host, "A", _check_addresses(host, plan.addresses, lookup)) for host in hosts
    ]
    if plan.zone:
        if plan.zone != proof_record(domain):
            checks.append((proof_record(domain), "CNAME", _check_alias(plan, lookup)))
        checks.append((plan.zone, "NS", _check_delegation(plan, lookup)))
    if plan.persistent:
        checks.append((persistent_name(domain), "TXT", _check_persistent(plan, lookup)))
    if plan.ca is not None:
        checks.append((domain, "CAA", _check_caa(domain, plan.ca, lookup)))
    found = await asyncio.gather(*(_bounded(*check) for check in checks))
    return [finding for findings in found for finding in findings]


def render(findings: Sequence[Finding]) -> str:
    """Plain text of findings, ``WIDTH`` columns wide at the most.

    One line for each record with its state, and below it what was found and what to do.
    """
    lines = []
    for one in findings:
        state = one.state.value
        if one.state is RecordState.MISSING and not one.is_required:
            state += ", optional"
        head = f"{state}: {one.name}  {one.kind}  {_listed(one.wanted)}".rstrip()
        lines += _wrapped(head, "", "    ")
        if one.state is not RecordState.OK:
            if one.found:
                lines += _wrapped(f"found: {_listed(one.found)}", "    ", "        ")
            lines += _wrapped(one.sentence, "    ", "    ")
    return "\n".join(lines) + "\n" if lines else ""


async def _bounded(name: str, kind: str, check: Awaitable[list[Finding]]) -> list[Finding]:
    """The result of a check, or one finding that it could not be made."""
    try:
        async with asyncio.timeout(TIMEOUT):
            return await check
    except TimeoutError:
        sentence = f"looking it up took more than {TIMEOUT:g} s; try again later"
    except DNSLookupError as error:
        sentence = str(error)
    unknown = RecordState.UNKNOWN
    return [Finding(name=name, kind=kind, wanted=(), found=(), state=unknown, sentence=sentence)]


async def _check_addresses(name: str, own: Sequence[str], lookup: Lookup) -> list[Finding]:
    """A and AAAA of a name; a wildcard is looked up by a name that nothing else has."""
    asked = name.replace("*", PROBE)
    by_kind = await asyncio.gather(*(lookup.find(asked, kind) for kind in ("A", "AAAA")))
    findings = []
    for kind, version, records in zip(("A", "AAAA"), (4, 6), by_kind, strict=True):
        wanted = tuple(one for one in own if ipaddress.ip_address(one).version == version)
        found = tuple(one.to_text() for one in records)
        findings.append(_compare_addresses(name, kind, wanted, found, knows_own=bool(own)))
    if own or any(one.found for one in findings):
        # No record of a family that this machine does not have is as it should be.
        return [one for one in findings if one.wanted or one.found]
    return findings[:1]


def _compare_addresses(
    name: str, kind: str, wanted: tuple[str, ...], found: tuple[str, ...], *, knows_own: bool
) -> Finding:
    # IPv6 is a must only where there is nothing else, which the A record does not say; so never.
    is_required = kind == "A"
    state, sentence = RecordState.OK, ""
    foreign = [one for one in found if one not in wanted]
    if not found:
        state = RecordState.MISSING
        sentence = (
            "make this record at your DNS provider, else visitors do not find the edge"
            if is_required
            else "make this record for visitors that have only IPv6"
        )
        if not knows_own:
            sentence = "make an A record with the public address of this machine"
    elif not knows_own:
        state = RecordState.UNKNOWN
        sentence = (
            "this machine has no public address of its own (NAT?); see that this is the address "
            "that leads to it"
        )
    elif foreign:
        state, is_required = RecordState.WRONG, True
        what = f"{foreign[0]} is not this machine"
        if kind == "AAAA":
            fix = (
                f"set it to {wanted[0]}, or remove it" if wanted else "remove it"
            ) + ": browsers and CAs use IPv6 first, so they reach another machine"
        else:
            fix = f"set it to {wanted[0]}" if wanted else "remove it"
            fix += ", or list that address where a proxy or NAT in front of the edge has it"
        sentence = f"{what}; {fix}"
    return Finding(
        name=name,
        kind=kind,
        wanted=wanted,
        found=found,
        state=state,
        sentence=sentence,
        is_required=is_required,
    )


async def _check_alias(plan: Plan, lookup: Lookup) -> list[Finding]:
    """The CNAME record that leads from the domain into the zone."""
    name, target = proof_record(plan.domain), place_in(plan.zone, plan.domain)
    found = await lookup.canonical(name)
    there: tuple[str, ...] = (found,)
    state, sentence = RecordState.OK, ""
    if found == name:
        state, there = RecordState.MISSING, ()
        sentence = "make this record at your DNS provider, once"
    elif found != target:
        state = RecordState.WRONG
        sentence = f"set it to {target}; another program may have used the record that is there"
    wanted = (target,)
    return [
        Finding(name=name, kind="CNAME", wanted=wanted, found=there, state=state, sentence=sentence)
    ]


async def _check_delegation(plan: Plan, lookup: Lookup) -> list[Finding]:
    """NS records of the zone in the zone above, and their glue, as its servers have them."""
    zone = absolute(plan.zone)
    above = await lookup.servers_of(plain(zone.parent()))
    reply, failed = None, DNSLookupError("")
    for _, address in above.servers:
        try:
            reply = await lookup.ask(address, plan.zone, "NS")
            break
        except DNSLookupError as error:
            failed = error
    if reply is None:
        raise failed
    records = [*reply.answer, *reply.authority, *reply.additional]
    found = _values(records, zone, "NS")
    wanted = tuple(server.lower() for server in plan.servers)
    state, sentence = RecordState.OK, ""
    if not found:
        state = RecordState.MISSING
        sentence = (
            f"make this record in the zone {above.zone} at your DNS provider, once; without it no "
            "CA asks this edge"
        )
    elif set(found) != set(wanted):
        state = RecordState.WRONG
        sentence = f"let the only NS records of {plan.zone} be {_listed(wanted)}"
    findings = [
        Finding(
            name=plan.zone, kind="NS", wanted=wanted, found=found, state=state, sentence=sentence
        )
    ]
    for server in wanted:
        if _is_below(server, plan.zone):
            findings += _check_glue(records, server, plan.addresses)
    return findings


def _check_glue(records: Iterable[object], server: str, own: Sequence[str]) -> list[Finding]:
    """Addresses that the zone above has to know, because the name is in the zone itself."""
    findings = []
    for kind, version in (("A", 4), ("AAAA", 6)):
        wanted = tuple(one for one in own if ipaddress.ip_address(one).version == version)
        found = _values(records, absolute(server), kind)
        if wanted or found:
            one = _compare_addresses(server, kind, wanted, found, knows_own=bool(own))
            findings.append(one)
    return findings


async def _check_persistent(plan: Plan, lookup: Lookup) -> list[Finding]:
    """The record of dns-persist-01."""
    name = persistent_name(plan.domain)
    found = tuple(await texts_of(lookup, name))
    state, sentence = RecordState.OK, ""
    if not any(record_fits(text, plan.persistent, now=time.time()) for text in found):
        state = RecordState.WRONG if found else RecordState.MISSING
        sentence = "make this TXT record at your DNS provider, once, beside those that are there"
    wanted = (plan.persistent,)
    return [
        Finding(name=name, kind="TXT", wanted=wanted, found=found, state=state, sentence=sentence)
    ]


async def _check_caa(domain: str, ca: CertificateAuthority, lookup: Lookup) -> list[Finding]:
    """Whether the CA may issue for the domain and its wildcard."""
    owner, records = await find_caa(lookup, domain)
    found = tuple(one.to_text() for one in records)
    why = why_not_issue(records, ca, wildcard=False)
    why_wildcard = why_not_issue(records, ca, wildcard=True)
    state, sentence = RecordState.OK, ""
    wanted: tuple[str, ...] = ()
    if why or why_wildcard:
        state = RecordState.WRONG
        tag = "issue" if why else "issuewild"
        wanted = (f'0 {tag} "{ca.identities[0]}"',) if ca.identities else ()
        of = "" if why else " for the wildcard"
        sentence = f"{owner} {why or why_wildcard}{of}; add the record {_listed(wanted)} there"
    name = owner or domain
    return [
        Finding(name=name, kind="CAA", wanted=wanted, found=found, state=state, sentence=sentence)
    ]


def _values(records: Iterable[object], name: dns.name.Name, kind: str) -> tuple[str, ...]:
    """Values of a record in sections of a reply, names without their final dot."""
    rdtype = dns.rdatatype.from_text(kind)
    return tuple(
        one.to_text().lower().removesuffix(".")
        for rrset in records
        if rrset.name == name and rrset.rdtype == rdtype  # type: ignore[attr-defined]
        for one in rrset  # type: ignore[attr-defined]
    )


def _is_below(name: str, zone: str) -> bool:
    return name == zone or name.endswith(f".{zone}")


def _listed(values: Sequence[str]) -> str:
    more = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
    return ", ".join(values[:_SHOWN]) + more


def _wrapped(text: str, first: str, others: str) -> list[str]:
    """Lines of a text; what others have put into the DNS may hold anything."""
    plain_text = "".join(c if c.isprintable() else "?" for c in text)
    return textwrap.wrap(
        plain_text, WIDTH, initial_indent=first, subsequent_indent=others, break_on_hyphens=False
    )
