"""Whether the DNS lets a CA issue for a name: CAA records (RFC 8659, RFC 8657).

A CA looks at the name, then at each name above it, and the first that has CAA records decides. Also
the form of their values, which the record of dns-persist-01 shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from ...errors import shown
from .lookup import Lookup

if TYPE_CHECKING:
    from dns.rdtypes.ANY.CAA import CAA

__all__ = ["CertificateAuthority", "find_caa", "parse_issue_value", "why_not_issue"]

MAX_LEVELS: Final = 16
"""Names that are looked at upward: each costs a question. Hostnames have three or four labels."""

_CRITICAL: Final = 128
_KNOWN: Final = frozenset(
    {"issue", "issuewild", "iodef", "contactemail", "contactphone", "issuemail", "issuevmc"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateAuthority:
    """Who is to issue, and how."""

    identities: tuple[str, ...]  #: the directory's ``caaIdentities``: ``letsencrypt.org``
    account_url: str = ""  #: empty: there is no account yet
    methods: tuple[str, ...] = ()  #: kinds of challenge that may be used; empty: not looked at


async def find_caa(lookup: Lookup, name: str) -> tuple[str, list[CAA]]:
    """Return the records that decide about a name, and the name that has them.

    Args:
        lookup: Asks the questions, one for each level.
        name: Without ``*.``.

    Returns:
        An empty name and no records where nobody has any: every CA may issue.

    Raises:
        DNSLookupError: A question failed; a CA issues nothing then (RFC 8659 section 3).

    Cancelling it loses nothing.
    """
    labels = name.split(".")[-MAX_LEVELS:]
    for at in range(len(labels)):
        level = ".".join(labels[at:])
        found = await lookup.find(level, "CAA")
        if found:
            return level, [cast("CAA", one) for one in found]
    return "", []


def why_not_issue(records: Sequence[CAA], ca: CertificateAuthority, *, wildcard: bool) -> str:
    """Return why a CA may not issue by these records, as a part of a sentence; empty: it may."""
    properties = [(one.tag.decode("ascii", "replace").lower(), one) for one in records]
    for tag, one in properties:
        if one.flags & _CRITICAL and tag not in _KNOWN:
            return f"has the critical property {shown(tag)}, which CAs do not know"
    issue = [one for tag, one in properties if tag == "issue"]
    if wildcard:
        issue = [one for tag, one in properties if tag == "issuewild"] or issue
    if not issue:
        return ""
    reasons = [_why_not(one.value.decode("utf-8", "replace"), ca) for one in issue]
    if "" in reasons:
        return ""
    # The reason of a record that names the CA says more than that another one names another CA.
    return next((reason for reason in reasons if reason != _OTHER), _OTHER)


_OTHER: Final = "lets only other CAs issue"


def _why_not(value: str, ca: CertificateAuthority) -> str:
    parsed = parse_issue_value(value)
    if parsed is None or parsed[0] not in ca.identities:
        return _OTHER
    parameters = parsed[1]
    account = parameters.get("accounturi")
    if account is not None and account != ca.account_url:
        return f"lets only the account {shown(account)} have certificates"
    methods = parameters.get("validationmethods")
    if methods is not None and ca.methods:
        allowed = [method.strip() for method in methods.split(",")]
        if not any(method in ca.methods for method in allowed):
            return f"allows only {shown(methods)}, and the edge uses {', '.join(ca.methods)}"
    return ""


def parse_issue_value(text: str) -> tuple[str, dict[str, str]] | None:
    """Read ``ca.example; name=value; ...`` (RFC 8659 section 4.2).

    Returns:
        The CA's name, lower-case and perhaps empty (nobody), and the parameters with lower-case
        names; None where it is malformed, which allows nobody.
    """
    domain, *parts = (part.strip(" \t") for part in text.split(";"))
    parameters: dict[str, str] = {}
    for at, part in enumerate(parts):
        if not part and at == len(parts) - 1:
            continue  # a semicolon at the end
        tag, equals, value = (piece.strip(" \t") for piece in part.partition("="))
        tag = tag.lower()
        if not equals or not tag.isalnum() or tag in parameters:
            return None
        parameters[tag] = value
    return domain.lower().removesuffix("."), parameters
