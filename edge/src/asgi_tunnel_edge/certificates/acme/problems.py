"""A CA's problem documents as one sentence each: what, why, what to do (RFC 8555 section 6.7).

What a CA says is a stranger's text: it is escaped and cut before it comes into a sentence. Pure;
called by ``client``.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from asgi_tunnel_edge.errors import AcmeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .messages import Problem

__all__ = ["ORDER_STAYS", "UNREACHABLE", "explain", "name_list", "time_text"]

UNREACHABLE: Final = "unreachable"
"""Our own kind, beside the CA's: nothing came back, or no whole reply."""

ORDER_STAYS: Final = frozenset(
    {UNREACHABLE, "badNonce", "orderNotReady", "rateLimited", "serverInternal"}
)
"""Kinds that say nothing against the order: it can be gone on with later."""

_MAX_DETAIL: Final = 300
"""Characters of what a CA says: its longest, rate limits with a link, have 250."""

_SHOWN_NAMES: Final = 3


@dataclass(frozen=True, slots=True)
class _Meaning:
    """``what`` follows the CA's name; ``{names}`` stands for what it is about."""

    what: str
    fix: str


_MEANINGS: Final[dict[str, _Meaning]] = {
    "accountDoesNotExist": _Meaning(
        "does not know this account",
        "the next try makes a new one",
    ),
    "alreadyReplaced": _Meaning(
        "has already replaced the certificate for {names}",
        "it is ordered again without naming the old one",
    ),
    "alreadyRevoked": _Meaning(
        "has revoked this certificate already", "nothing is left to do for it; renew it"
    ),
    "badCSR": _Meaning(
        "does not accept the certificate request for {names}",
        "look whether it issues for such names and for keys on P-256, or use another CA",
    ),
    "badNonce": _Meaning(
        "refused every nonce that it gave", "it is tried again; if it stays so, tell the CA"
    ),
    "badPublicKey": _Meaning(
        "does not accept this account's key", "use a CA that takes ECDSA keys on P-256"
    ),
    "badRevocationReason": _Meaning(
        "does not take this reason for a revocation", "revoke without a reason"
    ),
    "badSignatureAlgorithm": _Meaning(
        "does not accept ES256 signatures", "use a CA that takes ECDSA keys on P-256"
    ),
    "caa": _Meaning(
        "may not issue for {names}: CAA records of the domain forbid it",
        "add a CAA record that names this CA, or take away those that are there",
    ),
    "connection": _Meaning(
        "could not connect to {names}",
        "let the A and AAAA records of the name lead to the edge and open its ports 80 and 443 "
        "to everybody, or prove by DNS",
    ),
    "dns": _Meaning(
        "could not look up {names} in the DNS",
        "look at the records of the name, and of its `_acme-challenge` name, with `dig`",
    ),
    "externalAccountRequired": _Meaning(
        "takes orders of its customers only",
        "give the key id and the HMAC key that the CA shows in your account there; an edge takes "
        "them by `init --eab-key-id`",
    ),
    "incorrectResponse": _Meaning(
        "got something else than the proof for {names}",
        "look whether the name leads to the edge, or to a proxy or a cache in between",
    ),
    "invalidContact": _Meaning(
        "does not accept the e-mail address of this account", "give another address"
    ),
    "invalidProfile": _Meaning(
        "does not offer the profile asked for", "ask for one that it offers, or for none"
    ),
    "malformed": _Meaning(
        "could not read the request about {names}",
        "look whether the URL of its directory is right; if it is, this is a defect of asgi-tunnel",
    ),
    "orderNotReady": _Meaning("is not ready to issue for {names}", "it is tried again"),
    "rateLimited": _Meaning(
        "issues no more for {names} for a while: one of its rate limits is reached",
        "nothing has to be done, it is tried again then; if it comes back, ask for fewer "
        "certificates (one wildcard for all names below a domain)",
    ),
    "rejectedIdentifier": _Meaning(
        "does not issue for {names}", "take the name out of the settings, or use another CA"
    ),
    "serverInternal": _Meaning(
        "has an error of its own", "nothing has to be done, it is tried again"
    ),
    "tls": _Meaning(
        "could not speak TLS with {names}",
        "open port 443 of the edge to everybody, without a proxy that ends TLS, or prove by "
        "another way",
    ),
    "unauthorized": _Meaning(
        "did not find the right proof for {names}",
        "look whether the records of the name lead to the edge, for a proof by DNS whether "
        "its records are those that were asked for, and take away old ones",
    ),
    "unsupportedContact": _Meaning(
        "does not accept this kind of contact", "give an e-mail address, or none"
    ),
    "unsupportedIdentifier": _Meaning(
        "does not issue for such identifiers as {names}",
        "use a CA that does, or take the name out of the settings",
    ),
    "userActionRequired": _Meaning(
        "wants something of the owner of the account first, as to agree to new terms",
        "follow the link in what it says; it is tried again",
    ),
}
_OTHER: Final = _Meaning(
    "refused the request about {names}", "if its words do not help, look at the CA's status page"
)


def explain(
    problem: Problem, *, ca: str, names: Sequence[str], retry_at: float | None = None
) -> AcmeError:
    """Make an error out of what a CA says.

    Args:
        problem: Its document; of a compound one, the first part counts.
        ca: The host of its directory.
        names: What the request was about, where the problem itself does not name it.
        retry_at: Seconds since 1970 before which it wants no further try.
    """
    parts = [part for part in problem.subproblems if part.identifier is not None]
    about = [part.identifier.value for part in parts if part.identifier is not None]
    if problem.identifier is not None:
        about = [problem.identifier.value]
    first = parts[0] if parts and problem.kind in {"compound", ""} else problem
    meaning = _MEANINGS.get(first.kind, _OTHER)
    what = meaning.what.replace("{names}", name_list(about or names))
    detail = first.detail or problem.detail
    said = f' (it says: "{_one_line(detail)}")' if detail else ""
    wait = "" if retry_at is None else f"; it wants no further try before {time_text(retry_at)}"
    return AcmeError(
        f"the CA {ca} {what}{said}{wait}; {meaning.fix}", kind=first.kind, retry_at=retry_at
    )


def name_list(names: Sequence[str]) -> str:
    """The first names of a list, each escaped, for a sentence."""
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(_one_line(name) for name in names[:_SHOWN_NAMES]) + more or "this account"


def time_text(when: float) -> str:
    """Seconds since 1970 as UTC; a time that no calendar has stays a number."""
    try:
        return dt.datetime.fromtimestamp(when, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"{when:.0f}"


def _one_line(text: str) -> str:
    cut = text if len(text) <= _MAX_DETAIL else text[:_MAX_DETAIL] + "..."
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in cut
    )
