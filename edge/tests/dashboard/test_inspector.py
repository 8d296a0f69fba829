"""The pages about what apps have recorded: asked for by the right people, and shown as it is."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from edge.tests.dashboard.house import House, Person, house

from asgi_tunnel.inspector.settings import Inspect

SECRET = "a-secret-that-nobody-may-read"
XSS = "<script>alert(1)</script>"


async def shop(scope: Any, receive: Any, send: Any) -> None:
    """Say what came; fail where the path says so."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        message = await receive()
        await send({"type": "websocket.send", "text": message["text"].upper()})
        await send({"type": "websocket.close"})
        return
    if scope["type"] != "http":
        return
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message["body"]
        if not message["more_body"]:
            break
    if scope["path"] == "/fail":
        raise ValueError("the price is missing")
    fields = [(b"content-type", b"application/json"), (b"x-app", XSS.encode())]
    said = {"path": scope["path"], "body": body.decode(), "replay": "replay" in str(scope)}
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": json.dumps(said).encode()})


@asynccontextmanager
async def inspected(
    folder: Path, inspect: Inspect | None = None, **settings: Any
) -> AsyncIterator[House]:
    """A house whose shop has an inspector; ``settings`` are those of :func:`house`."""
    async with house(folder, None, **settings) as one:
        await one.live.connect(shop, inspect=inspect or Inspect(level="full"))
        yield one


async def exchange_of(person: Person, one: House, path: str) -> str:
    """The address of the newest exchange's page that is about a path."""
    token = one.live.token.id
    text = (await person.get(f"/inspector/{token}?q={path}")).text
    start = text.index(f'href="/inspector/{token}/exchanges/') + 6
    return text[start : text.index('"', start)]


async def test_an_owner_sees_what_the_app_recorded(tmp_path: Path) -> None:
    """Each exchange is in the list, and all of it on a page of its own."""
    async with inspected(tmp_path) as one:
        ben = await one.somebody("ben")
        await one.live.get(f"/seen?q={XSS}&token={SECRET}", f"Authorization: Bearer {SECRET}")
        chosen = await ben.get("/inspector")
        assert f'href="/inspector/{one.live.token.id}?' in chosen.text
        listed = await ben.get(f"/inspector/{one.live.token.id}")
        assert listed.status_code == 200, listed.text
        assert "/seen?q=" in listed.text
        page = await ben.get(await exchange_of(ben, one, "/seen"))
        assert page.status_code == 200, page.text
        assert "x-app" in page.text
        assert "Tunnel" in page.text  # where the time went
        for text in (listed.text, page.text):
            assert XSS not in text
            assert SECRET not in text


async def test_replaying_and_editing(tmp_path: Path) -> None:
    """Into the app, once for each wish; what came of it is shown, and noted with who wished it."""
    async with inspected(tmp_path) as one:
        anna = await one.somebody("anna")
        await one.live.get("/fail")
        address = await exchange_of(anna, one, "/fail")
        page = await anna.get(address)
        assert "ValueError: the price is missing" in page.text
        again = await anna.post(f"{address}/replay")
        assert again.status_code == 303, again.text
        shown = await anna.get(again.headers["location"])
        assert "A replay of" in shown.text
        assert "ValueError" in shown.text
        edit = {"edited": "1", "method": "POST", "path": "/fixed", "fields": "x-a: b", "body": "hi"}
        edited = await anna.post(f"{address}/replay", edit)
        assert edited.status_code == 303, edited.text
        shown = await anna.get(edited.headers["location"])
        assert "/fixed" in shown.text
        assert "&#34;body&#34;: &#34;hi&#34;" in shown.text
        wrong = await anna.post(f"{address}/replay", {"edited": "1", "fields": "no colon here"})
        assert wrong.status_code == 400
        assert "Write each field as name: value" in wrong.text
        audit = await anna.get("/audit")
        assert audit.status_code == 404 or "inspector.replay" in audit.text
        ids = [where.rpartition("/")[2].partition("?")[0] for where in (address, str(again.url))]
        first, second = address.rpartition("/")[2], again.headers["location"].split("/")[-1]
        second = second.partition("?")[0]
        assert ids
        differs = await anna.get(f"/inspector/{one.live.token.id}/diff?a={first}&b={second}")
        assert differs.status_code == 200, differs.text


async def test_taking_it_along(tmp_path: Path) -> None:
    """As a command, an archive and a test; each a file, of which a browser runs nothing."""
    async with inspected(tmp_path) as one:
        ben = await one.somebody("ben")
        await one.live.get("/fail")
        address = await exchange_of(ben, one, "/fail")
        har = await ben.get(f"{address}/har")
        assert har.json()["log"]["version"] == "1.2"
        test = await ben.get(f"{address}/test")
        assert "def test_" in test.text
        for one_file in (har, test, await ben.get(f"{address}/curl")):
            assert one_file.status_code == 200
            assert one_file.headers["content-disposition"].startswith("attachment; filename=")
            assert one_file.headers["x-content-type-options"] == "nosniff"
        assert (await ben.get(f"{address}/other")).status_code == 404


async def test_levels_and_clearing(tmp_path: Path) -> None:
    """By its owner, for the app's process."""
    async with inspected(tmp_path, Inspect()) as one:
        ben = await one.somebody("ben")
        base = f"/inspector/{one.live.token.id}"
        await one.live.get("/one?q=concealed")
        page = await ben.get(await exchange_of(ben, one, "/one"))
        assert "Only numbers were kept of it" in page.text
        assert "concealed" not in page.text
        assert (await ben.post(f"{base}/level", {"level": "full"})).status_code == 303
        assert (await ben.post(f"{base}/level", {"level": "everything"})).status_code == 400
        await one.live.get("/two?q=shown")
        assert "shown" in (await ben.get(await exchange_of(ben, one, "/two"))).text
        assert (await ben.post(f"{base}/clear")).status_code == 303
        assert "Nothing has passed yet" in (await ben.get(base)).text


@pytest.mark.parametrize(
    "below", ["", "/live", "/exchanges/x", "/diff?a=x&b=y", "/exchanges/x/har"]
)
async def test_somebody_elses_is_not_there(tmp_path: Path, below: str) -> None:
    """Who owns another token learns nothing, and changes nothing."""
    async with inspected(tmp_path) as one:
        cleo = await one.somebody("cleo")
        await one.live.get("/seen")
        token = one.live.token.id
        assert "/seen" not in (await cleo.get("/inspector")).text
        found = await cleo.get(f"/inspector/{token}{below}")
        assert found.status_code == 404 or b"/seen" not in found.content
        assert "/seen" not in (await cleo.get("/traces")).text
        for change in ("level", "clear", "exchanges/x/replay"):
            refused = await cleo.post(f"/inspector/{token}/{change}", {"level": "off"})
            assert refused.status_code == 404, refused.text
        anna = await one.somebody("anna")
        assert "/seen" in (await anna.get(f"/inspector/{token}")).text


async def test_an_app_without_an_inspector(tmp_path: Path) -> None:
    """The page says how to switch it on."""
    async with house(tmp_path, shop) as one:
        ben = await one.somebody("ben")
        page = await ben.get(f"/inspector/{one.live.token.id}")
        assert page.status_code == 404
        assert "asgi-tunnel run --inspect" in page.text
        assert (await ben.get("/inspector/tok_nobody")).status_code == 404


async def test_a_request_appears_within_a_second(tmp_path: Path) -> None:
    """On a page that is open, without being asked for."""
    async with inspected(tmp_path) as one:
        ben = await one.somebody("ben")
        address = f"/inspector/{one.live.token.id}/live"
        cookie = {"cookie": f"__Host-asgi-tunnel={ben.cookie}"}
        async with ben.client.stream("GET", address, headers=cookie) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            pieces = stream.aiter_text()
            await anext(pieces)
            await one.live.get("/fresh")
            async with asyncio.timeout(5):
                while "/fresh" not in await anext(pieces):
                    pass


async def test_timings(tmp_path: Path) -> None:
    """The list and the waterfall of each request; a query is never shown."""
    async with inspected(tmp_path) as one:
        ben = await one.somebody("ben")
        await one.live.get(f"/timed?token={SECRET}")
        listed = await ben.get("/traces")
        assert listed.status_code == 200, listed.text
        start = listed.text.index('href="/traces/') + 6
        page = await ben.get(listed.text[start : listed.text.index('"', start)])
        assert page.status_code == 200, page.text
        assert "/timed" in page.text
        assert "Where the time went" in page.text
        assert SECRET not in listed.text + page.text
        assert "style=" not in page.text
        assert (await ben.get("/traces/unknown")).status_code == 404


async def test_the_api_has_it_too(tmp_path: Path) -> None:
    """For programs, too: the inspector's own interface, and nothing of other people's."""
    async with inspected(tmp_path) as one:
        program = one.program()
        await one.live.get("/fail")
        base = "/api/v1/tunnels/shop/inspector"
        listed = (await program.get(f"{base}/exchanges?status=5xx")).json()
        [exchange] = listed["exchanges"]
        assert exchange["error"] == "ValueError: the price is missing"
        response = await program.client.post(
            f"{base}/exchanges/{exchange['id']}/replay", json={}, headers=program._with({})
        )
        assert response.status_code == 201, response.text
        new = response.json()["id"]
        again = (await program.get(f"{base}/exchanges/{new}")).json()
        assert again["replay_of"] == exchange["id"]
        assert (await program.get(f"{base}/exchanges/none")).status_code == 404
        wrong = await program.get(f"{base}/exchanges?status=odd")
        assert wrong.status_code == 400
        async with program.client.stream(
            "GET", f"{base}/live", headers=program._with({})
        ) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            pieces = stream.aiter_text()
            await anext(pieces)
            await one.live.get("/fresh")
            async with asyncio.timeout(5):
                while "/fresh" not in await anext(pieces):
                    pass
        cleo = await one.somebody("cleo")
        for name in ("shop", one.live.token.id):
            refused = await cleo.get(f"/api/v1/tunnels/{name}/inspector/exchanges")
            assert refused.status_code == 404, refused.text
        audit = (await program.get("/api/v1/audit")).text
        assert "inspector.ask" in audit
        assert "token:svc_0000000000000001" in audit


async def hostile(scope: Any, receive: Any, send: Any) -> None:
    """Put a payload into everything that an app says."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": XSS})
        await send({"type": "websocket.close", "reason": XSS})
        return
    if scope["type"] == "http" and scope["path"].startswith("/raise"):
        raise ValueError(XSS)
    if scope["type"] == "http":
        fields = [(b"content-type", XSS.encode()), (b"x-app", XSS.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": XSS.encode()})


@pytest.mark.parametrize("path", ["/say", "/raise"])
async def test_payloads_in_everything_that_is_recorded(tmp_path: Path, path: str) -> None:
    """No page has one as it was sent, and the policy would run none."""
    async with house(tmp_path, None) as one:
        await one.live.connect(hostile, inspect=Inspect(level="full"))
        anna = await one.somebody("anna")
        quoted = XSS.replace("<", "%3C").replace(">", "%3E")
        fields = (f"User-Agent: {XSS}", f"X-Own: {XSS}", f"Referer: http://x/{XSS}")
        await one.live.get(f"{path}/{XSS}?a={XSS}", *fields)
        await one.live.get(f"{path}/{quoted}?{quoted}={quoted}", *fields)
        base = f"/inspector/{one.live.token.id}"
        listed = (await anna.get(base)).text
        addresses = set(re.findall(rf'href="({base}/exchanges/[^"]+)"', listed))
        assert len(addresses) == 2
        pages = [listed, (await anna.get("/traces")).text]
        for address in addresses:
            shown = await anna.get(address)
            assert "alert(1)" in shown.text
            assert "script-src 'self'" in shown.headers["content-security-policy"]
            pages.append(shown.text)
        first, second = (one.rpartition("/")[2].partition("?")[0] for one in sorted(addresses))
        pages.append((await anna.get(f"{base}/diff?a={first}&b={second}")).text)
        for text in pages:
            assert "<script>alert" not in text


async def leaky(scope: Any, receive: Any, send: Any) -> None:
    """Say a secret in each place where an app may say one; or raise with it."""
    if scope["type"] != "http":
        return
    message = await receive()
    if scope["path"] == "/raise":
        raise ValueError(f"password={SECRET} with {message['body']!r}")
    fields = [
        (b"set-cookie", f"session={SECRET}; HttpOnly".encode()),
        (b"location", f"/next?code={SECRET}".encode()),
        (b"content-type", b"application/json"),
    ]
    said = {"access_token": SECRET, "inner": [{"client_secret": SECRET}], "echo": SECRET}
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": json.dumps(said).encode()})


@pytest.mark.parametrize("path", ["/say", "/raise"])
async def test_a_secret_is_on_no_way_out(
    tmp_path: Path, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """No list, page, command, archive, test, difference, stream or line of the log has it."""
    async with house(tmp_path, None) as one:
        await one.live.connect(leaky, inspect=Inspect(level="full"))
        anna, program = await one.somebody("anna"), one.program()
        fields = (
            f"Authorization: Bearer {SECRET}",
            f"Cookie: sid={SECRET}; other=1",
            f"X-Api-Key: {SECRET}",
            f"Referer: https://anna:{SECRET}@example.test/?token={SECRET}",
        )
        base, api = f"/inspector/{one.live.token.id}", "/api/v1/tunnels/shop/inspector"
        ways: list[str] = []
        async with program.client.stream("GET", f"{api}/live", headers=program._with({})) as live:
            pieces = live.aiter_text()
            await anext(pieces)
            await one.live.get(f"{path}?api_key={SECRET}&a=1", *fields)
            await one.live.get(f"{path}?api_key={SECRET}&a=2", *fields)
            ways.append(await anext(pieces))
        found = (await program.get(f"{api}/exchanges")).json()["exchanges"]
        ids = [str(each["id"]) for each in found if each["path"].startswith(path)]
        assert len(ids) == 2
        for name in ids:
            for below in ("", "/har", "/test", "/curl"):
                ways.append((await anna.get(f"{base}/exchanges/{name}{below}")).text)
                ways.append((await program.get(f"{api}/exchanges/{name}{below}")).text)
        ways.append((await anna.get(base)).text)
        ways.append((await anna.get(f"{base}/diff?a={ids[0]}&b={ids[1]}")).text)
        ways.append((await program.get(f"{api}/exchanges")).text)
        ways.append((await anna.get("/traces")).text)
        assert sum("[redacted]" in way for way in ways) > 8
        # The traceback of an app's own in its own log is the app's: it has raised with it.
        own = [record.getMessage() for record in caplog.records]
        for text in (*ways, *own):
            assert SECRET not in text
