"""Pages that change things: tokens, people, sharing, security and inbox, as people use them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from edge.tests.dashboard.house import ADMIN, BLOG_ID, SHOP, House, house

from asgi_tunnel.protocol.frames import StreamKind
from asgi_tunnel.protocol.head import Arrival, RequestHead, encode_request
from asgi_tunnel_edge.accounts import LinkRecord
from asgi_tunnel_edge.ban import ScannerBan
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage.access import AccessStore
from asgi_tunnel_edge.storage.inbox import InboxRecord, InboxStore, Lane

PAGES = ("/tokens", "/people", "/sharing", "/security", "/inbox", "/api")


def keep_request(one: House, request_id: str, token_id: str, path: str = "/hook") -> None:
    """Put a request that failed into the inbox."""
    config = one.edge.config
    arrival = Arrival(b"https", b"1.1", b"203.0.113.9", 4711, b"127.0.0.1", 443)
    fields = [(b"host", b"shop.example.test"), (b"x-evil", b"<script>alert(1)</script>")]
    head = RequestHead(b"POST", path.encode(), arrival, b"0" * 32, b"shop.example.test", fields)
    payload = encode_request(StreamKind.HTTP, head) + b"paid"
    store = InboxStore(config.inbox_path, config.acme_key_path)
    store.open()
    lane = Lane(token_id, "shop.example.test", f"POST {path}")
    with store.transaction():
        store.insert(InboxRecord(request_id, lane, 10**18, 0, payload))
        store.note(request_id, 3, "503", failed=True)
    store.close()


async def test_an_operator_makes_rotates_and_revokes_a_token(tmp_path: Path) -> None:
    """The secret is on one page, once; the snippets have it; what is wrong is said there."""
    async with house(tmp_path) as one:
        anna = await one.somebody("anna")
        assert "New token" in (await anna.get("/tokens")).text
        form = {"name": "cafe", "owner": "ben", "hostnames": "cafe.example.test *.cafe.test"}
        made = await anna.post("/tokens/new", form)
        assert made.status_code == 200, made.text
        secret = re.search(r'aria-label="The token">([^<]+)<', made.text)
        assert secret
        assert made.text.count(f"ASGI_TUNNEL_TOKEN={secret[1]}") == 7
        for framework in ("FastAPI", "Starlette", "Django", "Litestar", "Quart", "Flask"):
            assert f"<summary>{framework}</summary>" in made.text
        record = Store(one.path).find_token("cafe")
        assert record.owner == "ben"
        assert record.hostnames == ("*.cafe.test", "cafe.example.test")
        again = await anna.post("/tokens/new", form)
        assert again.status_code == 422
        assert "the name cafe belongs to token" in again.text
        shown = await anna.get(f"/tokens/{record.id}")
        assert secret[1] not in shown.text
        rotated = await anna.post(f"/tokens/{record.id}/rotate")
        assert "has another secret" in rotated.text
        assert secret[1] not in rotated.text
        given = await anna.post(f"/tokens/{record.id}/owner", {"owner": "cleo"})
        assert given.status_code == 303
        limited = await anna.post(f"/tokens/{record.id}/limits", {"max_tunnels": "3"})
        assert limited.status_code == 303
        record = Store(one.path).find_token("cafe")
        assert (record.owner, record.quotas.max_tunnels) == ("cleo", 3)
        revoked = await anna.post(f"/tokens/{record.id}/revoke")
        assert revoked.headers["location"] == "/tokens?done=token-revoke"
        assert Store(one.path).find_token("cafe").revoked
        done = [action for _, action, subject, _ in Store(one.path).audit() if subject == record.id]
        assert done == [
            "token.create",
            "token.rotate",
            "token.owner",
            "token.limit",
            "token.revoke",
        ]


async def test_an_owner_has_their_own_pages(tmp_path: Path) -> None:
    """Ben rotates and revokes his token; he sees nothing of cleo's, and makes none."""
    async with house(tmp_path) as one:
        ben = await one.somebody("ben")
        page = await ben.get("/tokens")
        assert "shop" in page.text
        assert "blog" not in page.text
        assert "New token" not in page.text
        assert (await ben.get("/tokens/new")).status_code == 403
        assert (await ben.post("/tokens/new", {"name": "mine"})).status_code == 403
        assert "is made" not in (await ben.post("/tokens/shop/rotate")).text
        for path in (f"/tokens/{BLOG_ID}", "/tokens/blog", "/tokens/nobodys"):
            assert (await ben.get(path)).status_code == 404
        assert (await ben.get("/people")).status_code == 403
        assert (await ben.post("/tokens/shop/revoke")).status_code == 303
        assert Store(one.path).find_token("shop").revoked


async def test_people_are_made_invited_disabled_and_removed(tmp_path: Path) -> None:
    """Who owns a token stays, and the page says why."""
    doors = {"access": {"family": {"users": ["*"]}}, "hostnames": {SHOP: {"access": "family"}}}
    async with house(tmp_path, **doors) as one:
        anna = await one.somebody("anna")
        made = await anna.post("/people/users", {"name": "emil", "groups": "staff, family"})
        assert made.status_code == 303
        hosts = re.findall(r"<option>([^<]+)</option>", (await anna.get("/people")).text)
        assert hosts[:2] == [ADMIN, SHOP]
        unnamed = await anna.post("/people/users/emil/invite")
        assert "2 hostnames have a door; name one of them" in unnamed.text
        invited = await anna.post("/people/users/emil/invite", {"host": ADMIN})
        assert f"http://{ADMIN}" in invited.text
        assert "/.well-known/asgi-tunnel/access/invite/" in invited.text
        for verb in ("disable", "enable", "sign-out"):
            assert (await anna.post(f"/people/users/emil/{verb}")).status_code == 303
        refused = await anna.post("/people/users/ben/remove")
        assert refused.status_code == 422
        assert "owns the token shop" in refused.text
        assert (await anna.post("/people/users/emil/remove")).status_code == 303
        names = {user.name for user, _, _ in AccessStore(one.path).users()}
        assert names == {"anna", "ben", "cleo", "dora", "stan"}
        ben = await one.somebody("ben")
        [session] = [it for it in AccessStore(one.path).sessions() if it.subject == "user:ben"]
        assert (await anna.post(f"/people/sessions/{session.id}/end")).status_code == 303
        await one.follow()
        assert (await ben.get("/tokens")).status_code == 303  # to the login


async def test_bans_and_who_was_turned_away(tmp_path: Path) -> None:
    """An operator bans and undoes; nobody shuts themselves out; an owner undoes their own only."""
    async with house(tmp_path) as one:
        anna, ben = await one.somebody("anna"), await one.somebody("ben")
        own = await anna.post("/security/ban", {"address": "127.0.0.0/8"})
        assert own.status_code == 422
        assert "you would be shut out" in own.text
        form = {"address": "203.0.113.7", "for": "1h", "reason": "<b>probes</b>"}
        assert (await anna.post("/security/ban", form)).status_code == 303
        page = (await anna.get("/security")).text
        assert "203.0.113.7" in page
        assert "&lt;b&gt;probes&lt;/b&gt;" in page
        assert "203.0.113.7" not in (await ben.get("/security")).text
        shop = one.live.token.id
        store = Store(one.path)
        for address, owner in (("203.0.113.8", shop), ("203.0.113.9", BLOG_ID)):
            ban = ScannerBan(
                address=address, owner=owner, created_at=1, expires_at=2**33, reason="probe"
            )
            store.add_scanner_bans([ban])
        page = (await ben.get("/security")).text
        assert "203.0.113.8" in page
        assert "203.0.113.9" not in page
        for address in ("203.0.113.7", "203.0.113.9"):
            refused = await ben.post("/security/undo", {"address": address})
            assert refused.status_code == 422
        assert (await ben.post("/security/undo", {"address": "203.0.113.8"})).status_code == 303
        assert (await anna.post("/security/undo", {"address": "203.0.113.7"})).status_code == 303
        assert [ban.address for ban in store.scanner_bans()] == ["203.0.113.9"]
        assert store.bans() == []


async def test_links_of_an_owner(tmp_path: Path) -> None:
    """They see and revoke those of their hostnames, and share nobody else's."""
    async with house(tmp_path) as one:
        access = AccessStore(one.path)
        for link_id, host in (("lnk_1", "shop.example.test"), ("lnk_2", "blog.example.test")):
            record = LinkRecord(id=link_id, secret_sha256=link_id, hostname=host, path="/album")
            access.create_link(record)
        ben = await one.somebody("ben")
        page = (await ben.get("/sharing")).text
        assert "shop.example.test/album" in page
        assert "blog.example.test" not in page
        assert "Service tokens" not in page
        assert (await ben.post("/sharing/links/lnk_2/revoke")).status_code == 404
        refused = await ben.post("/sharing/links", {"target": "blog.example.test/x"})
        assert refused.status_code == 422
        assert (await ben.post("/sharing/links/lnk_1/revoke")).status_code == 303
        assert [link.revoked_at is None for link in access.links()] == [False, True]


async def test_the_inbox(tmp_path: Path) -> None:
    """Requests are shown as they came, retried and dropped, by who owns their token."""
    async with house(tmp_path, app=None) as one:
        keep_request(one, "req1", one.live.token.id)
        keep_request(one, "req2", BLOG_ID)
        ben = await one.somebody("ben")
        page = (await ben.get("/inbox")).text
        assert "req1" in page
        assert "req2" not in page
        shown = (await ben.get("/inbox/req1")).text
        assert "<script>alert" not in shown
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
        assert (await ben.get("/inbox/req2")).status_code == 404
        for verb in ("retry", "drop"):
            assert (await ben.post(f"/inbox/{verb}", {"id": "req2"})).status_code == 404
        assert (await ben.post("/inbox/drop")).status_code == 303
        anna = await one.somebody("anna")
        page = (await anna.get("/inbox?state=failed")).text
        assert "req1" not in page
        assert "req2" in page


@pytest.mark.parametrize("user", ["anna", "ben", "dora"])
async def test_each_page_by_who_asks(tmp_path: Path, user: str) -> None:
    """Operators open all, owners those of theirs, and a login alone opens nothing."""
    async with house(tmp_path) as one:
        somebody = await one.somebody(user)
        opened = {path for path in PAGES if (await somebody.get(path)).status_code == 200}
        assert (
            opened
            == {
                "anna": set(PAGES),
                "ben": set(PAGES) - {"/people"},
                "dora": set(),
            }[user]
        )


async def test_what_came_from_elsewhere_is_refused(tmp_path: Path) -> None:
    """A form without the token of this login changes nothing."""
    async with house(tmp_path) as one:
        anna = await one.somebody("anna")
        for path, form in (
            ("/tokens/new", {"name": "evil"}),
            ("/tokens/shop/revoke", {}),
            ("/people/users", {"name": "evil"}),
            ("/security/ban", {"address": "198.51.100.1"}),
        ):
            assert (await anna.bare_post(path, form)).status_code == 403
            other = await anna.post(path, form, origin="http://evil.test")
            assert other.status_code == 403
        assert Store(one.path).bans() == []
        assert not Store(one.path).find_token("shop").revoked
