"""The whole login in Chromium, with npm's oidc-provider and with oidc-provider-mock."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from asgi_tunnel_edge.login.oidc import flow

from .world import HOST, Providers, World, providers, require, world

pytest.importorskip("playwright", reason="`make oidc` installs it")

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

ACCESS: Final = "/.well-known/asgi-tunnel/access/"


@pytest.fixture(scope="module")
def both() -> Iterator[Providers]:
    """Two providers for all tests."""
    require()
    with providers() as found:
        yield found


@pytest.fixture
async def site(tmp_path: Path, both: Providers) -> AsyncIterator[World]:
    """An edge with a door for everybody of example.org."""
    async with world(tmp_path, both) as one:
        yield one


async def _to_node(page: Any, name: str = "Rs256", user: str = "zoe") -> None:
    """Press the button, log in at npm's oidc-provider, and agree."""
    await page.get_by_role("link", name=f"Continue with {name}").click()
    if await page.locator("input[name=login]").count():
        await page.fill("input[name=login]", user)
        await page.fill("input[name=password]", "any")
        await page.get_by_role("button", name="Sign-in").click()
    if await page.get_by_role("button", name="Continue").count():
        await page.get_by_role("button", name="Continue").click()


async def _seen(page: Any) -> dict[str, Any]:
    """What the app was sent."""
    found = json.loads(await page.inner_text("body"))
    assert isinstance(found, dict)
    return found


async def test_from_the_door_to_the_app_and_out_again(site: World) -> None:
    """With npm's oidc-provider, which keeps e-mail addresses for its userinfo endpoint."""
    page = await site.page()
    await page.goto(f"{site.origin}/album?n=1")
    assert await page.title() == "Log in"
    await _to_node(page)
    assert page.url == f"{site.origin}/album?n=1"
    seen = await _seen(page)
    assert seen["path"] == "/album"
    assert not [value for name, value in seen["headers"] if name == "cookie"]
    cookies = await site.context.cookies(site.origin)
    assert not [one for one in cookies if "-login-" in one["name"]]
    [cookie] = [one for one in cookies if one["name"] == "__Host-asgi-tunnel"]
    assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (True, True, "Lax")
    # Out: of the edge only, so that the next login needs no password.
    await page.goto(f"{site.origin}{ACCESS}")
    assert "zoe@example.org" in await page.inner_text("main")
    await page.get_by_role("button", name="Sign out", exact=True).click()
    assert "Your session" in await page.inner_text("main")
    await page.goto(f"{site.origin}/album")
    assert await page.title() == "Log in"
    await page.get_by_role("link", name="Continue with Rs256").click()
    assert page.url == f"{site.origin}/album"


@pytest.mark.parametrize("name", ["Ps256", "Es256", "Es384", "Eddsa"])
async def test_each_kind_of_signature(site: World, name: str) -> None:
    """And both ways to show the client's secret."""
    page = await site.page()
    await page.goto(f"{site.origin}/album")
    await _to_node(page, name)
    assert page.url == f"{site.origin}/album"


async def test_oidc_provider_mock(site: World) -> None:
    """It has the address in the ID token; its error has no state, so that nothing is said of it."""
    page = await site.page()
    await page.goto(f"{site.origin}/album")
    await page.get_by_role("link", name="Continue with Mock").click()
    await page.get_by_role("button", name="Deny").click()
    assert await page.title() == "This login has ended"
    await page.goto(f"{site.origin}/album")
    await page.get_by_role("link", name="Continue with Mock").click()
    await page.get_by_role("button", name="zoe").first.click()
    assert page.url == f"{site.origin}/album"


async def test_somebody_says_no_at_the_provider(site: World) -> None:
    """The page says so, and still knows where they wanted to go."""
    page = await site.page()
    await page.goto(f"{site.origin}/album")
    await page.get_by_role("link", name="Continue with Rs256").click()
    await page.get_by_role("link", name="Cancel").click()
    assert "Rs256 did not let you in, or you said no there." in await page.inner_text("main")
    await _to_node(page)
    assert page.url == f"{site.origin}/album"


async def test_two_tabs_at_one_time(site: World) -> None:
    """Each comes back to its own page."""
    tabs = []
    for path in ("/one", "/two"):
        page = await site.page()
        await page.goto(f"{site.origin}{path}")
        await page.get_by_role("link", name="Continue with Mock").click()
        tabs.append(page)
    for page, path in zip(reversed(tabs), ("/two", "/one"), strict=True):
        await page.get_by_role("button", name="zoe").first.click()
        assert page.url == f"{site.origin}{path}"


async def test_an_address_that_is_not_verified_lets_nobody_in(site: World) -> None:
    """Whatever it says."""
    page = await site.page()
    await page.goto(f"{site.origin}/album")
    await _to_node(page, user="mallory")
    assert await page.title() == "You may not come in here"
    await page.goto(f"{site.origin}/album")
    assert await page.title() == "Log in"


async def test_groups_of_the_provider(tmp_path: Path, both: Providers) -> None:
    """They let in whom no address does."""
    async with world(tmp_path, both, policy={"groups": ["mallory-group"]}) as site:
        page = await site.page()
        await page.goto(f"{site.origin}/album")
        await _to_node(page, user="mallory")
        assert page.url == f"{site.origin}/album"


async def test_a_way_back_is_good_once_and_in_one_browser(site: World) -> None:
    """Real codes and states, replayed, changed and carried elsewhere."""
    page = await site.page()
    calls: list[str] = []
    page.on(
        "request",
        lambda request: calls.append(request.url) if "/oidc/callback/" in request.url else None,
    )
    await page.goto(f"{site.origin}/album")
    await _to_node(page)
    [url] = calls
    await page.goto(url)
    assert await page.title() == "This login has ended"
    other = await site.context.browser.new_context()
    stranger = await other.new_page()
    for changed in (
        url,
        re.sub("state=[^&]*", "state=other", url),
        url.replace("rs256", "es256"),
        url.replace("rs256", "mock"),
    ):
        await stranger.goto(changed)
        assert await stranger.title() == "This login has ended"
    names = [one["name"] for one in await other.cookies(site.origin)]
    assert "__Host-asgi-tunnel" not in names
    await stranger.goto(f"{site.origin}/album")
    assert await stranger.title() == "Log in"


async def test_a_provider_with_new_keys(site: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It starts again with other ones, on the same port; the next login finds them."""
    monkeypatch.setattr("asgi_tunnel_edge.login.oidc.provider.KEYS_PAUSE", 0.0)
    page = await site.page()
    await page.goto(f"{site.origin}/album")
    await _to_node(page)
    assert page.url == f"{site.origin}/album"
    site.node.stop()
    site.node.start()
    await site.context.clear_cookies()
    await page.goto(f"{site.origin}/album")
    await _to_node(page)
    assert page.url == f"{site.origin}/album"


async def test_a_provider_that_is_away(site: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before and during a login: a page within 5 s, and the other provider works."""
    exchange = flow._exchange
    page = await site.page()
    await page.goto(f"{site.origin}/album")
    await page.get_by_role("link", name="Continue with Rs256").click()
    await page.fill("input[name=login]", "zoe")
    await page.fill("input[name=password]", "any")
    await page.get_by_role("button", name="Sign-in").click()

    # It sends the browser back, and is gone when the edge asks for the token.
    async def end(*args: Any) -> Any:
        site.node.stop()
        return await exchange(*args)

    monkeypatch.setattr(flow, "_exchange", end)
    await page.get_by_role("button", name="Continue").click()
    assert page.url.startswith(f"http://{HOST}")
    assert "Rs256 cannot be reached right now." in await page.inner_text("main")
    monkeypatch.undo()
    began = time.monotonic()
    await page.get_by_role("link", name="Continue with Es256").click()
    assert "Es256 cannot be reached right now." in await page.inner_text("main")
    assert time.monotonic() - began < 5
    await page.get_by_role("link", name="Continue with Mock").click()
    await page.get_by_role("button", name="zoe").first.click()
    assert page.url == f"{site.origin}/album"
