"""What a page of the dashboard is: a module with one of these, found by :mod:`.pages`.

A new page is a module there, and its templates; nothing else names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .roles import Role

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

__all__ = ["Page"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page, and what belongs to it.

    Attributes:
        name: Of its routes, and of its entry in the navigation.
        routes: Returns them, given what makes them: :class:`.serving.PageRoutes`.
        title: In the navigation; empty: it has no entry there.
        path: Where the entry leads.
        section: Under which heading of the navigation it stands.
        order: Among all entries.
        role: What somebody needs to open it; a route may need more.
        done: What the layout says after a change, by the word in the query: nobody can make it say
            anything else.
    """

    name: str
    routes: Callable[..., Sequence[BaseRoute]]
    title: str = ""
    path: str = "/"
    section: str = ""
    order: int = 100
    role: Role = Role.OPERATOR
    done: Mapping[str, str] = field(default_factory=dict)
