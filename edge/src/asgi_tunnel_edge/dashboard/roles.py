"""Who somebody is at the dashboard: an operator, the owner of some tokens, or nobody here.

A pure decision about what the door has said; who a token belongs to stands in the store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from asgi_tunnel.identity import Visitor

if TYPE_CHECKING:
    from ..settings.dashboard import DashboardConfig
    from ..tokens import TokenRecord

__all__ = ["Role", "Roles", "Viewer"]


class Role(IntEnum):
    """What somebody may see and do; each may what the one before may."""

    OWNER = 1  #: sees the tokens that are theirs
    OPERATOR = 2  #: sees and changes everything


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """Somebody at the dashboard."""

    visitor: Visitor  #: as the door has let them in
    role: Role
    tokens: frozenset[str]  #: ids of the tokens that are theirs

    @property
    def is_operator(self) -> bool:
        """Whether nothing is hidden from them."""
        return self.role is Role.OPERATOR

    @property
    def is_program(self) -> bool:
        """Whether it came with a service token: no browser sends that by itself."""
        return self.visitor.method == "token"

    @property
    def subject(self) -> str:
        """What the audit log calls them."""
        return self.visitor.subject

    def may_see(self, token_id: str) -> bool:
        """Whether what belongs to a token is shown to them."""
        return self.is_operator or token_id in self.tokens


class Roles:
    """See the module.

    Args:
        settings: Name the operators.
        tokens: Returns the tokens of the store, by id.
    """

    def __init__(
        self, settings: DashboardConfig, tokens: Callable[[], Mapping[str, TokenRecord]]
    ) -> None:
        self._users = frozenset(one for one in settings.operators if "@" not in one)
        self._emails = frozenset(one.lower() for one in settings.operators if "@" in one)
        self._groups = frozenset(settings.operator_groups)
        self._tokens = tokens

    def of(self, visitor: Visitor) -> Viewer | None:
        """Return who somebody is here; None: the dashboard shows them nothing."""
        mine = self._owned(visitor)
        if self._is_operator(visitor):
            return Viewer(visitor=visitor, role=Role.OPERATOR, tokens=mine)
        return Viewer(visitor=visitor, role=Role.OWNER, tokens=mine) if mine else None

    def _is_operator(self, visitor: Visitor) -> bool:
        if visitor.method == "token":
            return True  # the door has seen that it was made for the dashboard
        if not self._groups.isdisjoint(visitor.groups):
            return True
        if visitor.subject.startswith("user:"):
            return visitor.subject.removeprefix("user:") in self._users
        # A provider has verified the address; what a user of this edge has, somebody has typed.
        return visitor.subject.startswith("oidc:") and visitor.email.lower() in self._emails

    def _owned(self, visitor: Visitor) -> frozenset[str]:
        if not visitor.subject.startswith("user:"):
            return frozenset()
        name = visitor.subject.removeprefix("user:")
        tokens = self._tokens().values()
        return frozenset(one.id for one in tokens if one.owner == name and not one.revoked)
