"""Changes that another site asks for, in the name of who is logged in here."""

from __future__ import annotations

from pathlib import Path

import pytest
from edge.tests.dashboard.house import ACCESS, ADMIN, House, Person, house

from asgi_tunnel.identity import Visitor
from asgi_tunnel_edge.dashboard.csrf import CsrfGuard, is_same_origin

ANNA = Visitor(subject="user:anna", method="password", since=1000)
KICK = "/tunnels/shop/kick"


def test_a_token_is_good_for_one_login_at_one_hostname() -> None:
    """Neither for another person, time, way or name, nor with another key."""
    guard = CsrfGuard(b"k" * 32)
    token = guard.token(ANNA, ADMIN)
    assert guard.holds(token, ANNA, ADMIN)
    others = (
        Visitor(subject="user:ben", method="password", since=1000),
        Visitor(subject="user:anna", method="passkey", since=1000),
        Visitor(subject="user:anna", method="password", since=1001),
    )
    for other in others:
        assert not guard.holds(token, other, ADMIN)
    assert not guard.holds(token, ANNA, "localhost")
    assert not CsrfGuard(b"o" * 32).holds(token, ANNA, ADMIN)
    for wrong in ("", token[:-1], token + "a", "\ud800", "ä" * 40):
        assert not guard.holds(wrong, ANNA, ADMIN)


@pytest.mark.parametrize(
    ("fields", "is_same"),
    [
        ({"origin": "https://a.example", "host": "a.example"}, True),
        ({"origin": "https://A.example", "host": "a.Example"}, True),
        (
            {"origin": "https://a.example", "host": "a.example", "sec-fetch-site": "same-origin"},
            True,
        ),
        ({"host": "a.example"}, False),
        ({"host": "a.example", "sec-fetch-site": "same-origin"}, False),
        ({"origin": "null", "host": "a.example"}, False),
        ({"origin": "http://a.example", "host": "a.example"}, False),
        ({"origin": "https://a.example:444", "host": "a.example"}, False),
        ({"origin": "https://b.a.example", "host": "a.example"}, False),
        (
            {"origin": "https://a.example", "host": "a.example", "sec-fetch-site": "same-site"},
            False,
        ),
        (
            {"origin": "https://a.example", "host": "a.example", "sec-fetch-site": "cross-site"},
            False,
        ),
        ({"origin": "https://a.example", "host": "a.example", "sec-fetch-site": "none"}, False),
    ],
)
def test_where_a_form_comes_from(fields: dict[str, str], is_same: bool) -> None:
    """Both fields have to agree, as far as there are two."""
    assert is_same_origin(fields, "https") is is_same


async def is_kept(one: House, anna: Person, form: dict[str, str], **fields: str) -> bool:
    """Whether the sessions of `shop` go on after a request to end them, which gets 403."""
    before = set(one.edge.directory.entries)
    response = await anna.bare_post(KICK, form, **fields)
    assert response.status_code == 403, response.text
    return set(one.edge.directory.entries) == before


async def test_no_other_site_changes_anything(tmp_path: Path) -> None:
    """Without the token, with somebody else's, from another origin, and as another type."""
    async with house(tmp_path) as one:
        anna, stan = await one.somebody("anna"), await one.somebody("stan")
        own, stans = await token_of(anna), await token_of(stan)
        assert own != stans
        assert await is_kept(one, anna, {})
        assert await is_kept(one, anna, {"csrf": ""})
        assert await is_kept(one, anna, {"csrf": stans})
        assert await is_kept(one, anna, {"csrf": own}, origin="https://evil.example")
        assert await is_kept(one, anna, {"csrf": own}, origin="null")
        assert await is_kept(one, anna, {"csrf": own}, sec_fetch_site="cross-site")
        assert await is_kept(one, anna, {"csrf": own}, sec_fetch_site="same-site")
        assert await is_kept(one, anna, {"csrf": own}, origin=anna.origin + "0")
        # The text/plain form of another site, which needs no permission of this one.
        assert await is_kept(one, anna, {"csrf": own}, content_type="text/plain")
        # A token in the address does not count, and GET changes nothing.
        response = await anna.bare_post(f"{KICK}?csrf={own}")
        assert response.status_code == 403
        assert (await anna.get(KICK)).status_code == 405
        # Somebody who has lost their login gets the login, and not the change.
        stranger = one.person()
        assert (await stranger.bare_post(KICK, {"csrf": own})).status_code == 401
        response = await anna.bare_post(KICK, {}, x_csrf_token=own)
        assert response.status_code == 303


async def test_a_program_needs_no_token(tmp_path: Path) -> None:
    """Its secret is in no browser; where somebody has typed it into one, other sites get 403."""
    async with house(tmp_path) as one:
        program = one.program()
        assert (await program.client.post(KICK, headers=program.fields)).status_code == 303
        for origin in ("https://elsewhere.example", "null"):
            assert (await program.bare_post(KICK, origin=origin)).status_code == 403
        fields = {**program.fields, "sec-fetch-site": "cross-site"}
        assert (await program.client.post(KICK, headers=fields)).status_code == 403
        assert (await program.post(KICK)).status_code == 303  # a page of the dashboard itself
        program.fields["asgi-tunnel-token-secret"] = "wrong"
        assert (await program.client.post(KICK, headers=program.fields)).status_code == 401


async def test_the_login_itself_is_guarded(tmp_path: Path) -> None:
    """Another site cannot sign somebody out either."""
    async with house(tmp_path) as one:
        anna = await one.somebody("anna")
        response = await anna.bare_post(f"{ACCESS}logout", origin="https://evil.example")
        assert response.status_code == 403
        assert (await anna.get("/")).status_code == 200


async def token_of(one: Person) -> str:
    """The token of somebody's pages."""
    text = (await one.get("/")).text
    return text.partition('"x-csrf-token": "')[2].partition('"')[0]
