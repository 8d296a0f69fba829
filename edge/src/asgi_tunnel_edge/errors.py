"""The edge's own errors, below the one root of both distributions.

::

    TunnelError
    └── EdgeError                 .sentence               what, why, what to do
        ├── EdgeConfigError       .setting .why .fix .file    (also ConfigError)
        ├── HostnameError         .text .why              a text is no hostname
        ├── CertificateError                              a certificate or key cannot be used
        ├── AcmeError             .kind .retry_at         a CA refused, or could not be reached
        ├── SolverError                                   the proof for a CA cannot be made visible
        ├── NameTakenError        .name .owner            a live token has this name
        ├── HostnameTakenError    .hostname .owner        a live token has this hostname
        ├── HostnameNotFoundError .hostname               no live token has this hostname
        ├── HostnameElsewhereError .hostname .why         its DNS records do not lead to this edge
        ├── TooManyHostnamesError .name                   a token cannot have so many
        ├── TokenNotFoundError    .wanted                 no token has this id or name
        ├── TunnelNotFoundError   .wanted                 no app is connected with this token
        ├── TokenRevokedError     .name .id               the token was revoked
        ├── KeptRequestNotFoundError .wanted              the inbox has no request with this id
        ├── BanNotFoundError      .address .covered_by    nobody has banned this address
        ├── TooManyBansError      .limit                  there is no room for another ban
        ├── AccountError          .wanted .why .fix       no user, service token or link is meant
        ├── RequestError          .status .why            a request that is not relayed
        ├── WebSocketError        .code .why              a visitor broke RFC 6455
        ├── ProxyHeaderError      .why                    what came is no PROXY header
        ├── AlertError            .may_pass .retry_after  a webhook has not taken an alert
        ├── EdgeNotRunningError   .folder                 no edge runs there
        ├── ChangeError                                   a running edge stays as it was
        ├── PeerError                                     another node cannot be asked, or used
        └── StorageError                                  the database cannot be used now

Those that visitors and proxies cause (RequestError, WebSocketError, ProxyHeaderError) end an
exchange or a connection; nobody prints them. The command line prints ``str()`` of the others as its
one sentence. A StorageError, ChangeError or AlertError ends it with exit code 1 (the same command
may work later), an EdgeNotRunningError with 3, every other one with 2 (it will not).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from asgi_tunnel.errors import ConfigError, TunnelError

__all__ = [
    "AccountError",
    "AcmeError",
    "AlertError",
    "BanNotFoundError",
    "CertificateError",
    "ChangeError",
    "EdgeConfigError",
    "EdgeError",
    "EdgeNotRunningError",
    "HostnameElsewhereError",
    "HostnameError",
    "HostnameNotFoundError",
    "HostnameTakenError",
    "KeptRequestNotFoundError",
    "NameTakenError",
    "PeerError",
    "ProxyHeaderError",
    "RequestError",
    "SolverError",
    "StorageError",
    "TokenNotFoundError",
    "TokenRevokedError",
    "TooManyBansError",
    "TooManyHostnamesError",
    "TunnelNotFoundError",
    "WebSocketError",
]


class EdgeError(TunnelError):
    """The root of what the edge raises on purpose."""


class EdgeConfigError(EdgeError, ConfigError):
    """A setting in ``edge.toml``, or an option of the command line, is missing or wrong.

    Unlike secrets, these values are shown: somebody has to find the typing mistake.

    Attributes:
        setting: Its path with dots (``limits.hold_timeout``) or the option (``--listen``).
        why: What was expected and what was there.
        fix: What to do, as an instruction.
        file: The file's name; None for an option.
    """

    def __init__(self, setting: str, why: str, fix: str, *, file: str | None = None) -> None:
        super().__init__(setting, why, fix)
        self.file = file

    def __str__(self) -> str:
        where = self.setting if self.file is None else f"{self.file}: {self.setting}"
        return f"{where}: {self.why}; {self.fix}"


class HostnameError(EdgeError):
    """A text is not a hostname that this edge can serve.

    Attributes:
        text: What was given.
        why: The rule it breaks, as the predicate of a sentence.
    """

    def __init__(self, text: str, why: str) -> None:
        super().__init__(text, why)
        self.why = why
        self.text = text

    def __str__(self) -> str:
        return (
            f"hostname {shown(self.text)} {self.why}; write a name like shop.example.org "
            "(letters, digits, hyphens and dots)"
        )


class EdgeNotRunningError(EdgeError):
    """No edge runs in a folder, or none that can be asked.

    Attributes:
        folder: Which one.
    """

    def __init__(self, folder: str, why: str = "") -> None:
        super().__init__(folder, why)
        self.folder = folder
        self.why = why

    def __str__(self) -> str:
        if self.why:
            return f"the edge that runs in {self.folder} cannot be asked ({self.why})"
        start = f"start it with `asgi-tunnel-edge run --data {self.folder}`"
        return f"no edge runs in {self.folder}; {start}, or wait until one that starts is ready"


class ChangeError(EdgeError):
    """A reload or an upgrade has changed nothing: one sentence says why."""


class PeerError(EdgeError):
    """Another node of this edge or cluster cannot be reached, or replies in no way that helps."""


class AlertError(EdgeError):
    """A webhook has not taken an alert.

    Attributes:
        sentence: What happened; of the URL it has the host alone.
        may_pass: Whether the same request may be taken later.
        retry_after: Seconds that the webhook asked for; 0: it did not.
    """

    def __init__(self, sentence: str, *, may_pass: bool = False, retry_after: float = 0.0) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.may_pass = may_pass
        self.retry_after = retry_after

    def __str__(self) -> str:
        return self.sentence


class CertificateError(EdgeError):
    """A certificate or its key is missing, unreadable or does not fit."""


class AcmeError(EdgeError):
    """A certificate authority refused something, said nothing, or could not be reached.

    Attributes:
        sentence: What happened, why, and what to do.
        kind: The last part of the CA's error type (``rateLimited``, ``dns``); empty for others.
        retry_at: Seconds since 1970 before which the CA wants no further try; None: it did not say.
    """

    def __init__(self, sentence: str, *, kind: str = "", retry_at: float | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.kind = kind
        self.retry_at = retry_at

    def __str__(self) -> str:
        return self.sentence


class SolverError(EdgeError):
    """The proof that a certificate authority asks for cannot be made visible: one sentence."""


class NameTakenError(EdgeError):
    """A token that is not revoked already has this name."""

    def __init__(self, name: str, owner: str) -> None:
        super().__init__(name, owner)
        self.name = name
        self.owner = owner

    def __str__(self) -> str:
        return (
            f"the name {self.name} belongs to token {self.owner}; "
            "take another name, or revoke that token first"
        )


class HostnameTakenError(EdgeError):
    """A token that is not revoked already has this hostname.

    Attributes:
        hostname: The hostname wanted.
        owner: The NAME of the token that has it.
    """

    def __init__(self, hostname: str, owner: str) -> None:
        super().__init__(hostname, owner)
        self.hostname = hostname
        self.owner = owner

    def __str__(self) -> str:
        return (
            f"the hostname {self.hostname} belongs to the token named {self.owner}; "
            "take another hostname, or release this one with `asgi-tunnel-edge host rm`"
        )


class HostnameNotFoundError(EdgeError):
    """No token that is not revoked has this hostname."""

    def __init__(self, hostname: str) -> None:
        super().__init__(hostname)
        self.hostname = hostname

    def __str__(self) -> str:
        return (
            f"no token has the hostname {self.hostname}; "
            "see the hostnames with `asgi-tunnel-edge host list`"
        )


class HostnameElsewhereError(EdgeError):
    """The DNS records of a hostname do not lead to this edge.

    Attributes:
        hostname: As it was given.
        why: Where they lead, and what to do: a whole sentence.
    """

    def __init__(self, hostname: str, why: str) -> None:
        super().__init__(hostname, why)
        self.hostname = hostname
        self.why = why

    def __str__(self) -> str:
        return f"{self.why}; --unchecked keeps the hostname as it is"


class TooManyHostnamesError(EdgeError):
    """A token has, or would have, more hostnames than fit into the reply to its app."""

    def __init__(self, name: str, most: int, characters: int) -> None:
        super().__init__(name, most, characters)
        self.name = name
        self.most = most
        self.characters = characters

    def __str__(self) -> str:
        return (
            f"token {self.name} would have more than {self.most} hostnames, or of more than "
            f"{self.characters} characters together; take a wildcard, or make another token"
        )


class TokenNotFoundError(EdgeError):
    """No token has this id or name."""

    def __init__(self, wanted: str) -> None:
        super().__init__(wanted)
        self.wanted = wanted

    def __str__(self) -> str:
        return (
            f"no token has the id or name {shown(self.wanted)}; "
            "see the tokens with `asgi-tunnel-edge token list`"
        )


class TunnelNotFoundError(EdgeError):
    """No app is connected with this token, and no session has this id."""

    def __init__(self, wanted: str) -> None:
        super().__init__(wanted)
        self.wanted = wanted

    def __str__(self) -> str:
        return (
            f"no app is connected with a token {shown(self.wanted)}, and no session has this id; "
            "see what is connected with `asgi-tunnel-edge tunnel list`"
        )


class KeptRequestNotFoundError(EdgeError):
    """The inbox has no request with this id; it may have reached its app."""

    def __init__(self, wanted: str) -> None:
        super().__init__(wanted)
        self.wanted = wanted

    def __str__(self) -> str:
        return (
            f"the inbox has no request {shown(self.wanted)}; it may have reached its app: see what "
            "there is with `asgi-tunnel-edge inbox list`"
        )


class TokenRevokedError(EdgeError):
    """The token was revoked, and nothing about it can be changed any more."""

    def __init__(self, name: str, id_: str) -> None:
        super().__init__(name, id_)
        self.name = name
        self.id = id_

    def __str__(self) -> str:
        return (
            f"token {self.name} ({self.id}) was revoked; make a new one with "
            "`asgi-tunnel-edge token create`"
        )


class BanNotFoundError(EdgeError):
    """Nobody has banned this address, or its ban is over.

    Attributes:
        address: Of no ban.
        covered_by: Banned networks that it is in, or that are in it.
    """

    def __init__(self, address: str, covered_by: Sequence[str] = ()) -> None:
        super().__init__(address, covered_by)
        self.address = address
        self.covered_by = covered_by

    def __str__(self) -> str:
        if self.covered_by:
            return (
                f"{self.address} is not banned by itself; take back "
                f"{', '.join(self.covered_by)}, where it is banned"
            )
        return f"{self.address} is not banned; see the bans with `asgi-tunnel-edge ban list`"


class AccountError(EdgeError):
    """A user, a service token or a share link cannot be made, found or changed.

    Attributes:
        wanted: Its name or id, as given.
        why: What is wrong with it, as the rest of a sentence.
        fix: What to do.
        is_missing: There is nothing of that name or id; otherwise it is in the way.
    """

    def __init__(self, wanted: str, why: str, fix: str, *, is_missing: bool = False) -> None:
        super().__init__(wanted, why, fix)
        self.is_missing = is_missing
        self.wanted = wanted
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        return f"{shown(self.wanted)} {self.why}; {self.fix}"


class TooManyBansError(EdgeError):
    """There are as many bans as the edge keeps."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return (
            f"there are {self.limit} bans already; ban a network instead of its addresses, or "
            "take some back with `asgi-tunnel-edge ban rm`"
        )


class StorageError(EdgeError):
    """The database is missing, locked, broken or of another version."""


def code_of(error: BaseException) -> str:
    """What a program knows an error by: ``token_not_found`` for a TokenNotFoundError."""
    words = re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__.removesuffix("Error"))
    return _OTHER_CODES.get(type(error).__name__, words.lower())


_OTHER_CODES: Final = {"EdgeConfigError": "config"}

_SHOWN_LENGTH: Final = 60  # characters: enough to recognise a value, short enough for one line


def shown(text: str) -> str:
    """A user's text in quotes: escaped, so that it stays on one line, and cut when long."""
    cut = text if len(text) <= _SHOWN_LENGTH else text[:_SHOWN_LENGTH] + "..."
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)
    return f'"{escaped}"'


class RequestError(EdgeError):
    """A request that is not relayed: malformed, too large, or of a kind that is not served.

    Attributes:
        status: The HTTP status of the reply; the connection is closed after it.
        why: One sentence that repeats nothing of the request.
    """

    def __init__(self, status: int, why: str) -> None:
        super().__init__(status, why)
        self.status = status
        self.why = why

    def __str__(self) -> str:
        return f"{self.status}: {self.why}"


class WebSocketError(EdgeError):
    """The visitor broke RFC 6455.

    Attributes:
        code: The close code that ends the WebSocket.
        why: The close reason.
    """

    def __init__(self, code: int, why: str) -> None:
        super().__init__(code, why)
        self.code = code
        self.why = why

    def __str__(self) -> str:
        return f"{self.code}: {self.why}"


class ProxyHeaderError(EdgeError):
    """What came is no PROXY header: the connection is closed without a reply."""
