"""What somebody may see and change: everything, or their own tokens and what belongs to these.

The one place where this is decided, for the API and for the dashboard's pages. What is somebody
else's and what does not exist are the same error, so that no name is given away.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from asgi_tunnel_edge.errors import (
    AccountError,
    EdgeError,
    HostnameNotFoundError,
    KeptRequestNotFoundError,
    TokenNotFoundError,
    TunnelNotFoundError,
)
from asgi_tunnel_edge.hostname import normalise_hostname, wildcard_of

if TYPE_CHECKING:
    from asgi_tunnel_edge.accounts import LinkRecord
    from asgi_tunnel_edge.storage.inbox import InboxRow
    from asgi_tunnel_edge.tokens import Snapshot, TokenRecord

    from .bans import Ban

__all__ = ["NotAllowedError", "Scope"]

_USER: Final = "user:"


class NotAllowedError(EdgeError):
    """Only operators may do this, whatever it is done to."""

    def __str__(self) -> str:
        return "this is for the operators of this edge; ask one of them"


@dataclass(frozen=True, kw_only=True)
class Scope:
    """See the module.

    Attributes:
        subject: Who it is, as the door calls them: ``user:anna``, ``token:svc_1``.
        is_operator: Nothing is hidden from them.
        snapshot: Of the store, read for this request: what was given or taken away counts at once.
    """

    subject: str
    is_operator: bool
    snapshot: Snapshot

    def require_operator(self) -> None:
        """See that it is one.

        Raises:
            NotAllowedError: It is not.
        """
        if not self.is_operator:
            raise NotAllowedError

    @cached_property
    def token_ids(self) -> frozenset[str] | None:
        """The ids of the tokens that are theirs, looked up once; None: all are."""
        return None if self.is_operator else frozenset(one.id for one in self.tokens())

    def tokens(self) -> list[TokenRecord]:
        """Return the tokens that they may see, oldest first; one that is revoked is nobody's."""
        every = self.snapshot.tokens.values()
        if self.is_operator:
            return list(every)
        if not self.subject.startswith(_USER):
            return []
        name = self.subject.removeprefix(_USER)
        return [one for one in every if one.owner == name and not one.revoked]

    def token(self, wanted: str) -> TokenRecord:
        """Return a token by its id or name; the one that has the name now, or had it last.

        Raises:
            TokenNotFoundError: There is none, or it is somebody else's.
        """
        found = [one for one in self.tokens() if wanted in (one.id, one.name)]
        if not found:
            raise TokenNotFoundError(wanted)
        by_id = [one for one in found if one.id == wanted]
        return by_id[0] if by_id else max(found, key=_how_new)

    def sees_token(self, token_id: str) -> bool:
        """Whether what belongs to a token is theirs to see."""
        ids = self.token_ids
        return ids is None or token_id in ids

    def hostname(self, text: str) -> str:
        """Return a hostname that a token of theirs has, in its one spelling.

        Raises:
            HostnameError: It is none.
            HostnameNotFoundError: No token has it, or somebody else's has.
        """
        name = normalise_hostname(text, wildcard=True)
        owner = self.snapshot.owners.get(name)
        if owner is None or not self.sees_token(owner.id):
            raise HostnameNotFoundError(name)
        return name

    def sees_hostname(self, name: str) -> bool:
        """Whether what happens at a hostname, also one below a wildcard, is theirs to see."""
        if self.is_operator:
            return True
        owners = self.snapshot.owners
        owner = owners.get(name) or owners.get(wildcard_of(name) or "")
        return owner is not None and self.sees_token(owner.id)

    def hostnames(self) -> frozenset[str] | None:
        """Return the hostnames of their tokens; None: all there are."""
        if self.is_operator:
            return None
        return frozenset(name for one in self.tokens() for name in one.hostnames)

    def sessions(
        self, sessions: Iterable[dict[str, Any]], wanted: str | None = None
    ) -> list[dict[str, Any]]:
        """Return those sessions of apps that they may see, as the question ``tunnels`` has them.

        Args:
            sessions: All of the edge.
            wanted: Only those of a token (its name or id), or the one of an id; None: all.

        Raises:
            TunnelNotFoundError: ``wanted`` means none of theirs.
        """
        ids = self.token_ids
        mine = [one for one in sessions if ids is None or one["token_id"] in ids]
        if wanted is None:
            return mine
        keys = ("token", "token_id", "id")
        found = [one for one in mine if wanted in [one[key] for key in keys]]
        if not found:
            raise TunnelNotFoundError(wanted)
        return found

    def links(self, links: Sequence[LinkRecord]) -> list[LinkRecord]:
        """Return those links that lead to hostnames of theirs."""
        return [one for one in links if self.sees_hostname(one.hostname)]

    def check_link(self, link_id: str, links: Sequence[LinkRecord]) -> None:
        """See that a link leads to a hostname of theirs.

        Raises:
            AccountError: There is none, or it leads elsewhere.
        """
        if not any(one.id == link_id for one in self.links(links)):
            fix = "list them with `asgi-tunnel-edge link list`"
            raise AccountError(link_id, "is no share link that holds", fix, is_missing=True)

    def bans(self, bans: Sequence[Ban]) -> list[Ban]:
        """Return those bans from hostnames of theirs; the operator's are for operators."""
        ids = self.token_ids
        return [one for one in bans if ids is None or one.token_id in ids]

    def kept(self, rows: Iterable[tuple[InboxRow, str]]) -> list[tuple[InboxRow, str]]:
        """Return those requests of the inbox that are for apps of theirs."""
        ids = self.token_ids
        return [one for one in rows if ids is None or one[0].lane.token_id in ids]

    def check_kept(self, wanted: Collection[str], rows: Iterable[tuple[InboxRow, str]]) -> None:
        """See that requests of the inbox are for apps of theirs.

        Raises:
            KeptRequestNotFoundError: One is unknown, or somebody else's.
        """
        mine = {row.id for row, _ in self.kept(rows)}
        for one in wanted:
            if one not in mine:
                raise KeptRequestNotFoundError(one)


def _how_new(record: TokenRecord) -> tuple[bool, int]:
    """Of tokens of one name: the one that has it now, or had it last."""
    return (not record.revoked, record.revoked_at or record.created_at)
