"""Whatever is recorded is shown as text: a payload in each field that a page of changes has.

Checks of names and notes keep most of these out; here they are written past them, as if one was
forgotten.
"""

from __future__ import annotations

import sqlite3
from html import escape
from pathlib import Path
from typing import Final

from edge.tests.api.program import ask
from edge.tests.dashboard.house import House, house
from edge.tests.dashboard.test_changes import keep_request

from asgi_tunnel_edge.ban import BanRecord, ScannerBan
from asgi_tunnel_edge.observers.access_log import Entry
from asgi_tunnel_edge.storage import Store

PAYLOADS: Final = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' autofocus onfocus=alert(1) x='",
    "{{ 7*7 }}</textarea><svg/onload=alert(1)>",
)

FIELDS: Final = {
    "tokens": ("name", "owner"),
    "access_users": ("email", "groups"),
    "access_links": ("note", "path", "hostname"),
    "access_sessions": ("subject", "name", "hostname", "method", "address", "agent"),
    "access_service_tokens": ("name", "policies"),
    "bans": ("reason",),
    "scanner_bans": ("reason",),
    "audit": ("by", "action", "subject", "detail"),
}

PAGES: Final = (
    "/",
    "/tokens",
    "/tokens/tok_0000000000000b10",
    "/tokens/new",
    "/tunnels",
    "/hosts",
    "/people",
    "/sharing",
    "/security",
    "/inbox",
    "/inbox/req1",
    "/audit",
    "/logs",
    "/api",
)


def fill(one: House, payload: str) -> None:
    """Write it into every column, and have it in what strangers send."""
    store = Store(one.path)
    store.add_ban(BanRecord(address="203.0.113.7", created_at=1))
    ban = ScannerBan(address="203.0.113.8", owner="", created_at=1, expires_at=2**33, reason="")
    store.add_scanner_bans([ban])
    keep_request(one, "req1", one.live.token.id)
    database = sqlite3.connect(one.path)
    with database:
        database.execute(
            "INSERT INTO access_links (id, secret_sha256, hostname, path, created_at, uses, note) "
            "VALUES ('lnk_1', 'x', '', '', 1, 0, '')"
        )
        for table, columns in FIELDS.items():
            for column in columns:
                where = "WHERE id LIKE 'tok_0000%'" if table == "tokens" else ""
                if table == "access_service_tokens" and column == "policies":
                    continue  # it is what lets the program of this test in
                sql = f'UPDATE {table} SET "{column}" = ? {where}'  # noqa: S608 - names from here
                database.execute(sql, (payload,))
    database.close()
    inbox = sqlite3.connect(one.edge.config.inbox_path)
    with inbox:
        inbox.execute("UPDATE requests SET rule = ?, hostname = ?, outcome = ?", (payload,) * 3)
    inbox.close()
    raw = payload.encode()
    entry = Entry(b"1", raw, raw, payload, raw, 403, 0, 0.0, f"refused: {payload}")
    for observer in one.edge.context.observers:
        observer.closed(entry)


async def test_no_field_is_a_script(tmp_path: Path) -> None:
    """Of 14 pages, with four payloads in 23 fields: none has one of them as it was written."""
    payload = " ".join(PAYLOADS)
    async with house(tmp_path) as one:
        program = one.program()
        fill(one, payload)
        await one.follow()
        shown = 0
        for path in PAGES:
            response = await program.get(path)
            assert response.status_code == 200, (path, response.text)
            assert [it for it in PAYLOADS if it in response.text] == [], path
            shown += escape(PAYLOADS[0]) in response.text
        assert shown >= 8  # they were there to be escaped
        for path in ("/tokens", "/users", "/links", "/sessions", "/bans", "/inbox", "/audit"):
            response = await ask(program, "GET", path)
            assert response.status_code == 200, path
            assert response.headers["content-type"] == "application/json"
            assert response.headers["x-content-type-options"] == "nosniff"
