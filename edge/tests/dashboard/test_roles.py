"""Who sees what: operators everything, owners what is theirs, and nobody else anything."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from edge.tests.dashboard.house import BLOG, BLOG_ID, SHOP, House, Person, house
from edge.tests.live import Live

from asgi_tunnel.identity import Visitor
from asgi_tunnel.token import Token
from asgi_tunnel_edge.dashboard.roles import Role, Roles
from asgi_tunnel_edge.questions.matching import public_id
from asgi_tunnel_edge.settings.dashboard import DashboardConfig
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.tokens import TokenRecord

SETTINGS = DashboardConfig(
    hostname="admin.example.test",
    operators=("anna", "carl@example.org"),
    operator_groups=("staff",),
)


def token(owner: str, *, revoked: bool = False) -> TokenRecord:
    """One that belongs to somebody."""
    return TokenRecord(
        id=f"tok_{owner}",
        name="shop",
        secret_sha256="",
        hostnames=(),
        created_at=0,
        owner=owner,
        revoked_at=1 if revoked else None,
    )


def role_of(tokens: tuple[TokenRecord, ...] = (), **fields: Any) -> Role | None:
    """What a visitor may do."""
    roles = Roles(SETTINGS, lambda: {one.id: one for one in tokens})
    viewer = roles.of(Visitor(**fields))
    return None if viewer is None else viewer.role


@pytest.mark.parametrize(
    ("fields", "role"),
    [
        ({"subject": "user:anna"}, Role.OPERATOR),
        ({"subject": "user:stan", "groups": ("staff", "others")}, Role.OPERATOR),
        ({"subject": "oidc:google:7", "groups": ("staff",)}, Role.OPERATOR),
        ({"subject": "oidc:google:7", "email": "Carl@Example.org"}, Role.OPERATOR),
        ({"subject": "token:svc_1", "method": "token"}, Role.OPERATOR),
        ({"subject": "user:ben"}, Role.OWNER),
        ({"subject": "user:dora"}, None),
        ({"subject": "user:Anna"}, None),
        # An address that nobody has verified, names that only look alike, and a link.
        ({"subject": "user:dora", "email": "carl@example.org"}, None),
        ({"subject": "user:carl@example.org"}, None),
        ({"subject": "oidc:google:anna", "name": "anna"}, None),
        ({"subject": "oidc:user:anna"}, None),
        ({"subject": "oidc:google:ben", "name": "ben"}, None),
        ({"subject": "link:anna", "name": "anna"}, None),
        ({"subject": "user:rest", "groups": ("Staff",)}, None),
    ],
)
def test_who_somebody_is(fields: dict[str, Any], role: Role | None) -> None:
    """By what the door says, and by nothing that anybody chooses for themselves."""
    assert role_of((token("ben"), token("rest", revoked=True)), **fields) == role


#: What ben, who owns `shop`, asks for to see or change what is not his.
REACHES: tuple[tuple[str, str, dict[str, str], int], ...] = (
    ("GET", f"/tunnels/{BLOG_ID}", {}, 404),
    ("GET", "/tunnels/blog", {}, 404),
    ("GET", "/tunnels/BLOG", {}, 404),
    ("GET", f"/tunnels/{BLOG_ID}?span=day", {}, 404),
    ("GET", f"/tunnels/{BLOG_ID}/numbers", {}, 404),
    ("GET", f"/tunnels/{BLOG_ID}/numbers?span=months", {}, 404),
    ("GET", f"/tunnels/{BLOG_ID}/qr.svg", {}, 404),
    ("GET", f"/tunnels/{BLOG_ID}/", {}, 404),
    ("GET", f"//tunnels/{BLOG_ID}", {}, 404),
    ("GET", f"/tunnels/shop/../{BLOG_ID}", {}, 404),
    ("GET", f"/tunnels/shop%2f..%2f{BLOG_ID}", {}, 404),
    ("GET", f"/tunnels/{BLOG_ID}%00", {}, 404),
    ("GET", f"/live/tunnels/{BLOG_ID}", {}, 200),  # a stream that ends without a word of it
    ("POST", f"/tunnels/{BLOG_ID}/kick", {}, 404),
    ("POST", f"/tunnels/{BLOG_ID}/drain", {}, 404),
    ("POST", "/tunnels/blog/kick", {}, 404),
    ("POST", "/tunnels/shop/kick", {"session": "SESSION"}, 404),
    ("POST", "/tunnels/shop/drain", {"session": "SESSION"}, 404),
    ("POST", "/tunnels/shop/kick", {"session": BLOG_ID}, 404),
    ("POST", "/tunnels/shop/kick", {"session": "blog"}, 404),
    ("GET", "/tunnels?q=blog", {}, 200),
    ("GET", "/hosts?q=blog", {}, 200),
    ("GET", "/hosts", {}, 200),
    ("GET", "/hosts/numbers", {}, 200),
    ("GET", f"/hosts/numbers?hostname={BLOG}", {}, 200),
    ("GET", "/certificates", {}, 403),
    ("GET", "/logs", {}, 403),
    ("GET", "/live/logs?after=0", {}, 403),
    ("GET", "/settings", {}, 403),
    ("GET", "/audit", {}, 403),
    ("GET", "/audit?q=blog", {}, 403),
    ("GET", f"/audit?before=99999&q={BLOG_ID}", {}, 403),
    ("POST", "/settings", {}, 405),
)


async def ask(one: House, ben: Person, method: str, path: str, form: dict[str, str]) -> Any:
    """Do it; a session that is named is one of cleo's."""
    if form.get("session") == "SESSION":
        found = [entry for entry in one.edge.directory.entries if entry.token.id == BLOG_ID]
        assert found
        form = {"session": public_id(found[0])}
    if method == "POST":
        return await ben.post(path, form)
    if path.startswith("/live/"):
        async with asyncio.timeout(15):
            return await ben.get(path)
    return await ben.get(path)


async def test_an_owner_reaches_nothing_of_anybody_else(tmp_path: Path) -> None:
    """Neither by names, ids or other spellings, nor by what is asked beside the pages."""
    async with house(tmp_path) as one:
        address = f"ws://127.0.0.1:{one.edge.address.port}"
        cleos = Live(one.edge, Token(edge=address, id=BLOG_ID, secret="another"))

        async def app(_scope: Any, _receive: Any, _send: Any) -> None:
            """Never asked."""

        await cleos.connect(app)
        try:
            await one.live.get("/", host=BLOG)
            ben = await one.somebody("ben")
            for method, path, form, status in REACHES:
                response = await ask(one, ben, method, path, form)
                assert response.status_code == status, (method, path, response.text)
                told = response.text.replace("/hosts?q=blog", "").replace('value="blog"', "")
                assert BLOG not in told, (method, path)
                assert BLOG_ID not in told, (method, path)
                assert "cleo" not in told, (method, path)
                if path.startswith("/hosts/numbers"):
                    assert sum(response.json()["requests"]) == 0  # all there was is cleo's
            entries = [entry for entry in one.edge.directory.entries if entry.token.id == BLOG_ID]
            assert entries
            assert not any(entry.is_draining for entry in entries)
        finally:
            await cleos.disconnect()


async def test_an_owner_sees_and_ends_what_is_theirs(tmp_path: Path) -> None:
    """The same pages, with one token's numbers in them."""
    async with house(tmp_path) as one:
        await one.live.get("/", host=SHOP)
        ben = await one.somebody("ben")
        text = (await ben.get("/")).text
        assert "shop" in text
        assert "owner" in text
        assert "/audit" not in text
        numbers = (await ben.get("/hosts/numbers")).json()
        assert sum(one is not None for one in numbers["p50"]) == 1
        assert (await ben.get("/tunnels/shop")).status_code == 200
        response = await ben.post("/tunnels/shop/drain")
        assert response.status_code == 303
        row = (await asyncio.to_thread(Store(one.path).audit))[-1]
        assert row[1:3] == ("tunnel.drain", one.live.token.id)


async def test_who_owns_nothing_gets_a_page_that_says_so(tmp_path: Path) -> None:
    """On each page; and what they own from now on counts at once."""
    async with house(tmp_path) as one:
        dora = await one.somebody("dora")
        for path in ("/", "/tunnels", "/tunnels/shop", "/logs", "/audit", "/live/overview"):
            response = await dora.get(path)
            assert response.status_code == 403
            assert "Nothing here is yours" in response.text
            assert "shop" not in response.text
        assert (await dora.bare_post("/tunnels/shop/kick")).status_code == 403
        stan = await one.somebody("stan")
        assert (await stan.get("/audit")).status_code == 200
