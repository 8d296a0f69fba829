"""Somebody who owns one token reaches for what is another's, in every way that there is.

Nothing of it is read or changed, and no response tells what is another's from what is not there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from edge.tests.api.program import ask, csrf_of, whole
from edge.tests.dashboard.house import BLOG, BLOG_ID, House, Person, house
from edge.tests.dashboard.test_changes import keep_request

from asgi_tunnel_edge.accounts import LinkRecord
from asgi_tunnel_edge.api.table import OPERATIONS
from asgi_tunnel_edge.ban import BanRecord, ScannerBan
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage.access import AccessStore

Body = dict[str, Any] | None

BY_API: list[tuple[str, str, Body]] = [
    ("GET", "/tokens/blog", None),
    ("GET", f"/tokens/{BLOG_ID}", None),
    ("DELETE", "/tokens/blog", None),
    ("POST", "/tokens/blog/rotate", {}),
    ("POST", f"/tokens/{BLOG_ID}/rotate", {"overlap": "0"}),
    ("PATCH", "/tokens/blog", {"owner": "ben"}),
    ("PATCH", "/tokens/shop", {"limits": {"max_tunnels": 999}}),
    ("POST", "/tokens/shop/hosts", {"hostnames": ["admin.example.test"]}),
    ("POST", "/tokens", {"name": "mine", "owner": "ben"}),
    ("DELETE", f"/hosts/{BLOG}", None),
    ("PUT", f"/hosts/{BLOG}/maintenance", {"message": "gone"}),
    ("DELETE", f"/hosts/{BLOG}/maintenance", None),
    ("GET", "/tunnels/blog", None),
    ("POST", "/tunnels/blog/kick", None),
    ("POST", f"/tunnels/{BLOG_ID}/drain", None),
    ("GET", "/tunnels/blog/inspector/exchanges", None),
    ("GET", "/inbox/req2", None),
    ("GET", "/inbox?token=blog", None),
    ("POST", "/inbox/retry", {"ids": ["req2"]}),
    ("POST", "/inbox/drop", {"ids": ["req2"]}),
    ("POST", "/inbox/drop", {"failed": True, "token": "blog"}),
    ("POST", "/links", {"target": f"{BLOG}/x"}),
    ("DELETE", "/links/lnk_2", None),
    ("GET", "/users", None),
    ("GET", "/users/cleo", None),
    ("POST", "/users", {"name": "evil", "groups": ["staff"]}),
    ("PATCH", "/users/ben", {"groups": ["staff"]}),
    ("POST", "/users/anna/invite", {}),
    ("POST", "/users/anna/sign-out", None),
    ("DELETE", "/users/cleo", None),
    ("GET", "/sessions", None),
    ("DELETE", "/sessions", None),
    ("DELETE", "/sessions/s1", None),
    ("GET", "/service-tokens", None),
    ("POST", "/service-tokens", {"name": "evil", "access": ["dashboard"]}),
    ("DELETE", "/service-tokens/ci", None),
    ("POST", "/bans", {"address": "198.51.100.1"}),
    ("DELETE", "/bans/203.0.113.9", None),
    ("DELETE", "/bans/203.0.113.7", None),
    ("POST", "/certificates/renew", {}),
    ("GET", "/status", None),
    ("GET", "/audit", None),
    ("GET", f"/history?hostname={BLOG}", None),
]

BY_PAGE: list[tuple[str, str, dict[str, str]]] = [
    ("GET", f"/tokens/{BLOG_ID}", {}),
    ("POST", f"/tokens/{BLOG_ID}/rotate", {}),
    ("POST", "/tokens/blog/revoke", {}),
    ("POST", "/tokens/shop/owner", {"owner": "cleo"}),
    ("POST", "/tokens/shop/limits", {"max_tunnels": "999"}),
    ("GET", f"/tunnels/{BLOG_ID}", {}),
    ("GET", f"/tunnels/{BLOG_ID}/numbers", {}),
    ("POST", f"/tunnels/{BLOG_ID}/kick", {}),
    ("GET", "/people", {}),
    ("POST", "/people/users/cleo/invite", {}),
    ("POST", "/sharing/links/lnk_2/revoke", {}),
    ("POST", "/sharing/programs", {"name": "evil", "access": "dashboard"}),
    ("POST", "/security/ban", {"address": "198.51.100.1"}),
    ("POST", "/security/undo", {"address": "203.0.113.9"}),
    ("GET", "/inbox/req2", {}),
    ("POST", "/inbox/drop", {"id": "req2"}),
    ("GET", "/audit", {}),
    ("GET", "/logs", {}),
    ("GET", "/settings", {}),
]

SECRETS = ("secret-path", "cleo's", "operators-only", "blogs", "paid")
LISTS = (
    "/limited",
    "/tokens",
    "/hosts",
    "/tunnels",
    "/inbox",
    "/links",
    "/bans",
    "/certificates",
    "/traffic",
)


def fill(one: House) -> None:
    """Give cleo, whom ben reaches for, one of everything."""
    store, access = Store(one.path), AccessStore(one.path)
    access.create_link(
        LinkRecord(id="lnk_2", secret_sha256="e", hostname=BLOG, path="/secret-path", note="cleo's")
    )
    store.add_ban(BanRecord(address="203.0.113.7", created_at=1, reason="operators-only"))
    store.add_scanner_bans(
        [
            ScannerBan(
                address="203.0.113.9", owner=BLOG_ID, created_at=1, expires_at=2**33, reason="blogs"
            )
        ]
    )
    keep_request(one, "req2", BLOG_ID)


def harmless(text: str) -> bool:
    """Whether a response has nothing of cleo's, beyond what ben has typed."""
    return not any(
        it in text for it in ("secret-path", "cleo's", "operators-only", "blogs", "paid")
    )


async def test_over_the_api(tmp_path: Path) -> None:
    """43 ways: each is refused, and nothing has changed."""
    async with house(tmp_path) as one:
        fill(one)
        ben = await one.somebody("ben")
        fields = await csrf_of(ben)
        before = await whole(one)
        reached = []
        for method, path, body in BY_API:
            response = await ask(ben, method, path, body, **fields)
            if response.status_code not in (403, 404) or not harmless(response.text):
                reached.append((method, path, response.status_code, response.text))
        assert reached == []
        assert await whole(one) == before
        for path in LISTS:
            response = await ask(ben, "GET", path)
            assert response.status_code == 200, path
            assert harmless(response.text), path
            assert BLOG_ID not in response.text, path


async def test_over_pages(tmp_path: Path) -> None:
    """19 ways: likewise; and a stream about another's tunnel ends before it has said anything."""
    async with house(tmp_path) as one:
        fill(one)
        ben = await one.somebody("ben")
        before = await whole(one)
        reached = []
        for method, path, form in BY_PAGE:
            response = await (ben.get(path) if method == "GET" else ben.post(path, form))
            if response.status_code not in (403, 404, 422) or not harmless(response.text):
                reached.append((method, path, response.status_code))
        assert reached == []
        stream = await ben.get(f"/live/tunnels/{BLOG_ID}")
        assert stream.text == "retry: 3000\n\n"
        assert await whole(one) == before


@pytest.mark.parametrize("path", ["/tokens/{}", "/tunnels/{}", "/hosts/{}/maintenance"])
async def test_what_is_anothers_and_what_is_not_there_look_the_same(
    tmp_path: Path, path: str
) -> None:
    """Status, code and sentence, but for the name that was asked for."""
    async with house(tmp_path) as one:
        ben = await one.somebody("ben")
        fields = await csrf_of(ben)
        said = []
        for name in ("blog", "none") if "hosts" not in path else (BLOG, "none.example.test"):
            method = "DELETE" if "hosts" in path else "GET"
            response = await ask(ben, method, path.format(name), **fields)
            assert response.status_code == 404
            said.append(response.text.replace(name, "NAME"))
        assert said[0] == said[1]


async def stranger(one: House) -> Person:
    """Return somebody without a login."""
    return one.person()


async def test_no_operation_is_open(tmp_path: Path) -> None:
    """Every one, without a login, with a wrong secret, and by who owns nothing."""
    async with house(tmp_path) as one:
        before = await whole(one)
        wrong = one.program()
        wrong.fields = {**wrong.fields, "asgi-tunnel-token-secret": "wrong"}
        people = [await stranger(one), wrong, await one.somebody("dora")]
        for operation in OPERATIONS:
            path = operation.path.replace("{", "").replace("}", "")
            for person in people:
                response = await ask(person, operation.method, path, {})
                assert response.status_code in (303, 401, 403), (operation.id, response.text)
        assert await whole(one) == before
