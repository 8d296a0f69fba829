"""Asks the API as a page of the dashboard does, with a session, and as a program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage.access import AccessStore

if TYPE_CHECKING:
    from edge.tests.dashboard.house import House, Person

__all__ = ["API", "ask", "csrf_of", "whole"]

API = "/api/v1"


async def ask(person: Person, method: str, path: str, body: object = None, **fields: str) -> Any:
    """Send a request; the fields of a person's browser, and more."""
    given = {**person._with({}), **fields}
    more: dict[str, Any] = {} if body is None else {"json": body}
    return await person.client.request(method, f"{API}{path}", headers=given, **more)


async def csrf_of(person: Person) -> dict[str, str]:
    """Return the fields with which a browser's changes are taken."""
    me = (await ask(person, "GET", "/me")).json()
    return {"x-csrf-token": me["csrf"], "origin": person.origin}


async def whole(one: House) -> dict[str, Any]:
    """Return all that the store has, to see that nothing was changed."""
    store, access = Store(one.path), AccessStore(one.path)
    snapshot = store.snapshot()
    return {
        "tokens": dict(snapshot.tokens),
        "bans": (snapshot.bans, snapshot.scanner_bans),
        "maintenance": snapshot.maintenance,
        "links": access.links(),
        "users": access.users(),
        "service_tokens": access.service_tokens(),
    }
