"""What a CA sends, as structures: RFC 8555 section 7.1, RFC 9773, profiles, dns-persist-01.

A CA's replies are from a stranger: everything is read into one of these, with bounds on the length
of lists and texts, or refused. Fields that the edge does not use are not read.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from asgi_tunnel_edge.errors import AcmeError

__all__ = [
    "MAX_IDENTIFIERS",
    "AccountObject",
    "Authorization",
    "Challenge",
    "Directory",
    "DirectoryMeta",
    "Identifier",
    "Order",
    "Problem",
    "RenewalInfo",
    "SuggestedWindow",
    "read",
]

MAX_IDENTIFIERS: Final = 100
"""Names of one certificate, and so authorizations of one order: what public CAs allow."""

_Url = Annotated[str, Meta(min_length=1, max_length=2048)]
_Word = Annotated[str, Meta(max_length=256)]
_Token = Annotated[str, Meta(max_length=512, pattern=r"\A[A-Za-z0-9_-]*\Z")]
"""RFC 8555 section 8.1: base64url. It becomes part of a path and of a record, so no other."""
_Text = Annotated[str, Meta(max_length=20_000)]


class DirectoryMeta(Struct, rename="camel", frozen=True, kw_only=True):
    """What a CA says of itself."""

    terms_of_service: _Url | None = None
    caa_identities: Annotated[list[_Word], Meta(max_length=100)] = []
    external_account_required: bool = False
    profiles: Annotated[dict[_Word, _Text], Meta(max_length=100)] = {}


class Directory(Struct, rename="camel", frozen=True, kw_only=True):
    """Where everything is (RFC 8555 section 7.1.1)."""

    new_nonce: _Url
    new_account: _Url
    new_order: _Url
    revoke_cert: _Url
    renewal_info: _Url | None = None  # RFC 9773; a CA without it is renewed by its lifetimes
    meta: DirectoryMeta = DirectoryMeta()


class Identifier(Struct, frozen=True, kw_only=True):
    """A hostname (``dns``, possibly with ``*.``) or an address (``ip``, RFC 8738)."""

    type: _Word
    value: _Word


class Problem(Struct, frozen=True, kw_only=True):
    """A problem document (RFC 9457, RFC 8555 section 6.7)."""

    type: Annotated[str, Meta(max_length=2048)] = "about:blank"
    detail: _Text = ""
    identifier: Identifier | None = None
    subproblems: Annotated[list[Problem], Meta(max_length=MAX_IDENTIFIERS)] = []

    @property
    def kind(self) -> str:
        """``rateLimited``, ``dns`` and so on; empty for a type that is not ACME's."""
        prefix = "urn:ietf:params:acme:error:"
        return self.type.removeprefix(prefix) if self.type.startswith(prefix) else ""


class AccountObject(Struct, frozen=True, kw_only=True):
    """An account (RFC 8555 section 7.1.2); its URL is in the reply's Location."""

    status: _Word = "valid"


class Order(Struct, frozen=True, kw_only=True):
    """An order (RFC 8555 section 7.1.3)."""

    status: _Word
    authorizations: Annotated[list[_Url], Meta(max_length=MAX_IDENTIFIERS)]
    finalize: _Url
    certificate: _Url | None = None
    error: Problem | None = None
    profile: _Word | None = None


class Challenge(Struct, rename={"issuer_domain_names": "issuer-domain-names"}, frozen=True):
    """A challenge (RFC 8555 section 7.1.5; draft-ietf-acme-dns-persist section 3.1)."""

    type: _Word
    url: _Url
    status: _Word = "pending"
    token: _Token = ""
    error: Problem | None = None
    accounturi: _Url | None = None
    issuer_domain_names: Annotated[
        list[Annotated[str, Meta(max_length=253)]], Meta(max_length=10)
    ] = []


class Authorization(Struct, frozen=True, kw_only=True):
    """What has to be proved of one identifier (RFC 8555 section 7.1.4)."""

    status: _Word
    identifier: Identifier
    challenges: Annotated[list[Challenge], Meta(max_length=32)]
    wildcard: bool = False


class SuggestedWindow(Struct, frozen=True, kw_only=True):
    """RFC 3339 times."""

    start: Annotated[str, Meta(max_length=64)]
    end: Annotated[str, Meta(max_length=64)]


class RenewalInfo(Struct, rename="camel", frozen=True, kw_only=True):
    """When to renew one certificate (RFC 9773 section 4.2)."""

    suggested_window: SuggestedWindow
    explanation_url: Annotated[str, Meta(max_length=2048)] | None = msgspec.field(
        name="explanationURL", default=None
    )


_T = TypeVar("_T", bound=Struct)


def read(body: bytes, what: type[_T]) -> _T:
    """Read one reply.

    Raises:
        AcmeError: It is not what a CA has to send there.
    """
    try:
        return msgspec.json.decode(body, type=what)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        sentence = (
            f"the CA's reply is no {what.__name__.lower()} that this edge can read ({error}); "
            "look whether the URL of the directory is right"
        )
        raise AcmeError(sentence) from error
