"""The API over real sockets: who may ask, what is read and returned, and what errors look like."""

from __future__ import annotations

from pathlib import Path

from edge.tests.api.program import API, ask, csrf_of, whole
from edge.tests.dashboard.house import BLOG_ID, SHOP, house

from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage.audit import AuditStore


async def test_a_program_reads_and_changes(tmp_path: Path) -> None:
    """A token is made, shown, changed, rotated and taken back, as the commands do it."""
    async with house(tmp_path) as one:
        ci = one.program()
        body = {"name": "new", "owner": "ben", "limits": {"max_tunnels": 3}}
        made = await ask(ci, "POST", "/tokens", body)
        assert made.status_code == 201, made.text
        assert made.headers["cache-control"] == "no-store"
        assert made.headers["x-content-type-options"] == "nosniff"
        token = made.json()["token"]
        assert (token["owner"], token["limits"]["max_tunnels"]) == ("ben", 3)
        assert made.json()["secret"].startswith("att1")
        listed = await ask(ci, "GET", "/tokens?limit=2&offset=1")
        assert [it["name"] for it in listed.json()["items"]] == ["blog", "new"]
        assert (listed.json()["total"], listed.json()["next"]) == (3, None)
        path = f"/tokens/{token['id']}"
        changed = await ask(ci, "PATCH", path, {"owner": "", "limits": {"max_visitors": 9}})
        assert changed.json()["owner"] == ""
        assert changed.json()["limits"]["max_tunnels"] is None
        rotated = await ask(ci, "POST", f"{path}/rotate", {"overlap": "0"})
        assert rotated.json()["secret"] != made.json()["secret"]
        assert (await ask(ci, "DELETE", path)).status_code == 204
        assert (await ask(ci, "GET", path)).json()["state"] == "revoked"
        by = {row.by for row in AuditStore(one.path).newest() if row.subject == token["id"]}
        assert by == {"token:svc_0000000000000001"}


async def test_tunnels_are_kicked_and_drained(tmp_path: Path) -> None:
    """It is in the audit log, and the app is back by itself."""
    async with house(tmp_path) as one:
        ci = one.program()
        [tunnel] = (await ask(ci, "GET", "/tunnels")).json()["items"]
        assert tunnel["token"] == "shop"
        assert tunnel["attached"] >= 1
        shown = (await ask(ci, "GET", "/tunnels/shop")).json()["sessions"]
        assert shown[0]["hostnames"] == [SHOP]
        assert (await ask(ci, "POST", "/tunnels/shop/drain")).json()["drained"] >= 1
        kicked = await ask(ci, "POST", f"/tunnels/{one.live.token.id}/kick")
        assert kicked.json()["sessions"] >= 1
        actions = [row.action for row in AuditStore(one.path).newest()]
        assert {"tunnel.kick", "tunnel.drain"} <= set(actions)
        assert (await ask(ci, "POST", "/tunnels/blog/kick")).status_code == 404
        assert one.live.connector is not None
        await one.live.connector.wait_connected()


async def test_a_browser_sends_its_token(tmp_path: Path) -> None:
    """A change by a session needs the token of its login, and comes from the dashboard itself."""
    async with house(tmp_path) as one:
        anna = await one.somebody("anna")
        before = await whole(one)
        fields = await csrf_of(anna)
        body = {"name": "evil"}
        for wrong in (
            {},
            {"origin": anna.origin},
            {"x-csrf-token": fields["x-csrf-token"]},
            {**fields, "origin": "http://evil.test"},
            {**fields, "x-csrf-token": fields["x-csrf-token"][::-1]},
            {**fields, "sec-fetch-site": "cross-site"},
        ):
            refused = await ask(anna, "POST", "/tokens", body, **wrong)
            assert refused.status_code == 403, wrong
            assert refused.headers["content-type"] == "application/problem+json"
        assert await whole(one) == before
        assert (await ask(anna, "POST", "/tokens", body, **fields)).status_code == 201
        ben = await one.somebody("ben")
        stolen = await ask(ben, "DELETE", "/tokens/shop", **fields)  # anna's token
        assert stolen.status_code == 403


WRONG: list[tuple[str, str, bytes | None, int, str]] = [
    ("POST", "/tokens", b"", 400, "json"),
    ("POST", "/tokens", b"{", 400, "json"),
    ("POST", "/tokens", b"\xff\xfe", 400, "json"),
    ("POST", "/tokens", b"[]", 422, "validation"),
    ("POST", "/tokens", b"{}", 422, "validation"),
    ("POST", "/tokens", b'{"name": 1}', 422, "validation"),
    ("POST", "/tokens", b'{"name": "a", "secret": "b"}', 422, "validation"),
    ("POST", "/tokens", b'{"name": "a", "limits": {"max_tunnels": 0}}', 422, "validation"),
    ("POST", "/tokens", b'{"name": "a", "hostnames": ["a b"]}', 422, "hostname"),
    ("POST", "/tokens", b'{"name": "a", "owner": "x"}', 404, "account"),
    ("POST", "/tokens", b'{"name": "shop"}', 409, "name_taken"),
    ("POST", "/tokens", b'"' + b"a" * 70_000 + b'"', 413, "too_large"),
    ("GET", "/tokens?limit=0", None, 422, "validation"),
    ("GET", "/tokens?limit=501", None, 422, "validation"),
    ("GET", "/tokens?limit=1&limit=2", None, 422, "validation"),
    ("GET", "/tokens?colour=red", None, 422, "validation"),
    ("GET", "/tokens/none", None, 404, "token_not_found"),
    ("GET", "/nothing", None, 404, "http"),
    ("PUT", "/tokens", b"{}", 405, "http"),
    ("DELETE", "/bans/203.0.113.7", None, 404, "ban_not_found"),
    ("DELETE", "/users/ben", None, 409, "account"),
    ("DELETE", "/users/zoe", None, 404, "account"),
    ("GET", "/tunnels/shop/inspector/state", None, 404, "tunnel_not_found"),
]


async def test_what_does_not_fit_is_one_sentence(tmp_path: Path) -> None:
    """A problem of RFC 9457, with a word for programs and a sentence for people."""
    async with house(tmp_path, app=None) as one:
        ci = one.program()
        before = await whole(one)
        fields = {**ci.fields, "content-type": "application/json"}
        for method, path, content, status, code in WRONG:
            response = await ci.client.request(
                method, f"{API}{path}", content=content, headers=fields
            )
            said = response.json()
            assert (response.status_code, said["code"]) == (status, code), (path, content)
            assert response.headers["content-type"] == "application/problem+json"
            assert said["status"] == status
            assert "\n" not in said["detail"]
        assert await whole(one) == before


async def test_only_json_is_read(tmp_path: Path) -> None:
    """A form of another site can have no such type without asking first (CORS)."""
    async with house(tmp_path, app=None) as one:
        ci = one.program()
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
            response = await ci.client.post(
                f"{API}/tokens",
                content=b'{"name": "a"}',
                headers={**ci.fields, "content-type": kind},
            )
            assert response.status_code == 415


async def test_an_owner_and_who_owns_nothing(tmp_path: Path) -> None:
    """An owner sees their own, by what the store says now; a login alone gets 403."""
    async with house(tmp_path) as one:
        ben, dora = await one.somebody("ben"), await one.somebody("dora")
        me = (await ask(ben, "GET", "/me")).json()
        assert (me["role"], me["tokens"]) == ("owner", [one.live.token.id])
        hosts = (await ask(ben, "GET", "/hosts")).json()["items"]
        assert [it["hostname"] for it in hosts] == [SHOP]
        refused = await ask(dora, "GET", "/tokens")
        assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed")
        Store(one.path).give_token(BLOG_ID, "ben")
        tokens = (await ask(ben, "GET", "/tokens")).json()["items"]
        assert [it["name"] for it in tokens] == ["shop", "blog"]


async def test_a_page_describes_it(tmp_path: Path) -> None:
    """The document, and the page, are for everybody whom the dashboard shows anything."""
    async with house(tmp_path) as one:
        ben = await one.somebody("ben")
        document = (await ben.get(f"{API}/openapi.json")).json()
        assert document["openapi"] == "3.1.0"
        page = (await ben.get("/api")).text
        for path in document["paths"]:
            assert f"<code>{path}</code>" in page
