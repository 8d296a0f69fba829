"""Which app's inspector a page is about, and its replies as pages have them.

An app may have several processes, and each has an inspector of its own, with what passed through
it: an *instance*. Who may see a token's tunnel may see what its apps have recorded.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from ..admission.supervisor import printable
from ..inspection import Inquiry, InspectionError, InspectorReply, Inspectors
from .problem import PageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..inspection import Inspectable
    from ..questions import LiveEdge
    from ..route import SessionEntry
    from ..tokens import TokenRecord

__all__ = ["AppInspector", "Instance", "all_instances_of", "instances_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One process of an app.

    Attributes:
        name: As its HELLO has it, shortened: for people, and for addresses.
        agent: Its software.
        since: When its oldest session began, in seconds since 1970.
        session: To ask it by; None: it has no inspector that is on.
    """

    name: str
    agent: str
    since: float
    session: Inspectable | None


def instances_of(entries: Iterable[SessionEntry], token_id: str) -> list[Instance]:
    """Return the processes of a token's apps, newest first."""
    found: dict[str, list[SessionEntry]] = {}
    for entry in entries:
        if entry.token.id == token_id and entry.session.is_attached:
            found.setdefault(entry.instance, []).append(entry)
    instances = [
        Instance(
            name=printable(name[:8]),
            agent=printable(mine[0].agent),
            since=min(one.since for one in mine),
            session=next((one.session for one in mine if one.session.takes_inspect), None),
        )
        for name, mine in found.items()
    ]
    return sorted(instances, key=lambda one: one.since, reverse=True)


async def all_instances_of(edge: LiveEdge, token: TokenRecord) -> list[Instance]:
    """Return the processes of a token's apps at all nodes, newest first.

    One that is connected to two nodes is asked here, or at the first one.
    """
    here = instances_of(edge.directory.entries, token.id)
    names = {one.name for one in here}
    for one in await edge.processes(token.hostnames):
        process = one.process
        name = printable(process.instance[:8])
        if name in names:
            continue
        names.add(name)
        found = Instance(
            name=name,
            agent=printable(process.agent),
            since=process.since,
            session=one if process.inspects else None,
        )
        here.append(found)
    return sorted(here, key=lambda one: one.since, reverse=True)


class AppInspector:
    """The inspector of one process, for one who asks.

    Args:
        inspectors: Of the edge.
        by: Who asks, for what is changed and replayed.
        token: Whose app it is.
        instance: Which process.
        instances: All of the token, for the page to choose from.

    Attributes:
        session: It is asked by.
    """

    def __init__(
        self,
        inspectors: Inspectors,
        by: str,
        token: TokenRecord,
        instance: Instance,
        instances: list[Instance],
    ) -> None:
        assert instance.session is not None
        self.token = token
        self.instance = instance
        self.instances = instances
        self.session = instance.session
        self._inspectors = inspectors
        self._by = by

    @property
    def path(self) -> str:
        """Of its pages."""
        return f"/inspector/{self.token.id}"

    def url(self, below: str = "", **query: str) -> str:
        """Return the address of a page of this process's."""
        if len(self.instances) > 1:
            query = {"instance": self.instance.name, **query}
        text = urlencode({name: value for name, value in query.items() if value})
        return f"{self.path}{below}{'?' if text else ''}{text}"

    async def get(self, target: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Ask for something; see :meth:`ask`."""
        values = {name: value for name, value in (query or {}).items() if value}
        if values:
            target = f"{target}?{urlencode(values)}"
        return (await self.ask("GET", target)).json()

    async def ask(self, method: str, target: str, body: bytes = b"") -> InspectorReply:
        """Ask for something. Cancelling it tells the app's side.

        Raises:
            PageError: The inspector refuses it, with its own sentence.
            InspectionError: It does not reply.
        """
        reply = await self._inspectors.ask(
            self.session,
            Inquiry(target=target, method=method, body=body, by=self._by, may_write=True),
        )
        if reply.status >= 400:
            title = "It is not there" if reply.status == 404 else "This cannot be done"
            raise PageError(reply.status, title, _sentence(reply))
        return reply

    @asynccontextmanager
    async def follow(self) -> AsyncIterator[AsyncIterator[bytes]]:
        """Follow what happens, as a stream of events.

        Raises:
            InspectionError: It cannot be followed.
        """
        inquiry = Inquiry(target="/live", by=self._by)
        async with self._inspectors.follow(self.session, inquiry) as pieces:
            yield pieces


def _sentence(reply: InspectorReply) -> str:
    try:
        text = str(reply.json().get("error") or reply.json().get("detail") or "")
    except InspectionError:
        text = ""
    text = text or f"the app's inspector replied with {reply.status}"
    return f"{text[0].upper()}{text[1:].rstrip('.')}."
