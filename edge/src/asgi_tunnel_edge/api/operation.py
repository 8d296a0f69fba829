"""What one operation of the API is, and what its function is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from asgi_tunnel_edge.operations.scope import Scope

if TYPE_CHECKING:
    from asgi_tunnel_edge.settings.config import EdgeConfig

    from .context import APIContext

__all__ = ["Call", "Done", "Empty", "Operation"]


class Empty(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A query without parameters."""


class Done(Struct, frozen=True, kw_only=True):
    """How many things were changed."""

    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, read and allowed.

    Attributes:
        context: Of the edge.
        scope: What who asks may see and change.
        path: The parameters of the path.
        query: The parameters of the query: the operation's struct.
        body: Likewise; None: it takes none.
        address: From which it came.
        csrf: What a form of this login sends along; empty for a program.
    """

    context: APIContext
    scope: Scope
    path: Mapping[str, str] = field(default_factory=dict)
    query: Any = None
    body: Any = None
    address: str | None = None
    csrf: str = ""

    @property
    def config(self) -> EdgeConfig:
        """The settings of the edge."""
        return self.context.config

    def note(self, action: str, subject: str, detail: str = "") -> None:
        """Write into the audit log what changes nothing in the store, before it is done.

        Raises:
            StorageError: It cannot be noted; then it is not to be done.
        """
        self.context.note(action, subject, detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing that the API does.

    Attributes:
        id: Its name in the document, and in clients.
        method: Of HTTP.
        path: Below ``/api/v1``, with its parameters in braces.
        run: Does it: in a thread where it is a plain function, which may block; in the event loop
            where it is a coroutine. It returns ``result``.
        summary: What it does, in a few words.
        role: Who may ask; ``owner`` are all whom the dashboard shows anything.
        query: The parameters that it takes.
        body: What the body has to be; None: there is none.
        result: What it returns; None: nothing (204).
        status: Where it went well.
        commands: Of the command line, that do the same.
    """

    id: str
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    run: Callable[[Call], Any] | Callable[[Call], Awaitable[Any]]
    summary: str
    role: Literal["owner", "operator"]
    query: type[Struct] = Empty
    body: type[Struct] | None = None
    result: Any = None
    status: int = 200
    commands: tuple[str, ...] = ()

    @property
    def writes(self) -> bool:
        """Whether it changes something."""
        return self.method != "GET"
