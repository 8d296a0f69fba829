"""What a person sees when a program asks to come in: the consent page, in Chromium."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from tests.pages.chromium import BROWSER, browser, complaints_of, look_at, needs_axe
from tests.pages.test_login import (
    PHOTOS,
    SETTINGS,
    House,
    house,
    log_in,
)

pytestmark = BROWSER

OAUTH = "/.well-known/asgi-tunnel/oauth/"


@pytest.fixture(autouse=True)
def _takes_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The family's door takes access tokens."""
    monkeypatch.setitem(SETTINGS["access"], "family", {"users": ["anna", "ben"], "oauth": True})


class Program:
    """One on the visitor's computer, which listens for its code."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.heard: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take the code, and show a page."""
        line = await reader.readline()
        body = b'<link rel="icon" href="data:,"><h1>Back in the program</h1>'
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n"
        writer.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()
        if b"/callback" in line and not self.heard.done():
            self.heard.set_result(line.decode().split()[1])

    async def url(self, one: House) -> str:
        """Register, and return the address that it opens in a browser."""
        redirect = f"http://127.0.0.1:{self.port}/callback"
        origin = one.url(path="").rstrip("/")
        base = f"http://127.0.0.1:{one.live.edge.address.port}{OAUTH}register"
        body = json.dumps({"client_name": "Assistant", "redirect_uris": [redirect]}).encode()
        request = Request(base, body, {"Host": origin.removeprefix("http://")})

        def register() -> Any:
            with urlopen(request, timeout=20) as response:  # noqa: S310 - of this test's edge
                return json.load(response)

        client = await asyncio.to_thread(register)
        query = {
            "response_type": "code",
            "client_id": client["client_id"],
            "redirect_uri": redirect,
            "code_challenge": "x" * 43,
            "code_challenge_method": "S256",
            "state": "s1",
            "resource": f"{origin}/mcp",
        }
        return f"{one.url(PHOTOS, OAUTH)}authorize?{urlencode(query)}"


@asynccontextmanager
async def program() -> AsyncIterator[Program]:
    """One of them."""
    one: Program

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await one.answer(reader, writer)

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    one = Program(server.sockets[0].getsockname()[1])
    try:
        yield one
    finally:
        server.close()


@pytest.mark.parametrize(("button", "told"), [("Let it in", "code="), ("Do not", "error=access")])
async def test_a_person_decides(tmp_path: Path, button: str, told: str) -> None:
    """Login, consent, and back to the program: the page's policy lets the form lead there."""
    async with house(tmp_path) as one, browser() as context, program() as asking:
        page = await context.new_page()
        complaints = complaints_of(page)
        await page.goto(await asking.url(one))
        await log_in(page)
        await page.wait_for_selector("h1:text('Let a program in?')")
        await page.click(f"button:text-is('{button}')")
        await page.wait_for_selector("h1:text('Back in the program')")
        heard = await asyncio.wait_for(asking.heard, 10)
        assert told in heard
        assert "state=s1" in heard
        assert complaints == []


@needs_axe
async def test_the_page_can_be_used_by_everybody(tmp_path: Path) -> None:
    """No violation in light and dark, nothing wider than a phone, nothing against the policy."""
    async with house(tmp_path) as one, browser() as context, program() as asking:
        page: Any = await context.new_page()
        complaints = complaints_of(page)
        url = await asking.url(one)
        await page.goto(url)
        await log_in(page)
        await page.wait_for_selector("h1:text('Let a program in?')")
        wrong = await look_at(page, "login-consent", url)
        wrong += await look_at(page, "login-consent-refused", url.replace("c1.", "c0.", 1))
        assert wrong == []
        assert complaints == []
