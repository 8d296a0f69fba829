"""Invitations: shown to who has the link, used once, and only by what the pages send."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from edge.tests.login.rooms import ACCESS, HOST, OTHER, Rooms

from asgi_tunnel_edge.login.invitation import INVITATION_PATH
from asgi_tunnel_edge.operations import users
from asgi_tunnel_edge.storage.users import MAX_INVITATION
from asgi_tunnel_edge.tokens import secret_digest

pytestmark = pytest.mark.anyio

NEW = {"new": "four or five words", "repeated": "four or five words"}


async def test_a_password_is_set_once(tmp_path: Path) -> None:
    """The browser is logged in with it, and the link is over; looking at it uses nothing up."""
    rooms = Rooms(tmp_path)
    async with rooms.browser() as browser, rooms.browser() as other:
        path = rooms.invite("ben")
        for _ in range(2):
            page = await browser.get(path)
            assert page.status_code == 200
            assert 'autocomplete="new-password"' in page.text
            assert 'value="ben"' in page.text
        done = await browser.form(path, **NEW)
        assert done.status_code == 303
        assert done.headers["location"] == f"{ACCESS}?done=password"
        assert (await browser.get()).status_code == 200
        rooms.follow()
        assert (await browser.get()).status_code == 200
        for again in (await other.get(path), await other.form(path, **NEW)):
            assert again.status_code == 404
            assert "does not work any more" in again.text
        assert (await other.log_in("ben", NEW["new"])).status_code == 303


def test_the_command_leads_here() -> None:
    """It does not import the pages, which takes 0.1 s."""
    assert users.INVITE_PATH == INVITATION_PATH


async def test_a_lost_key_is_replaced_by_invitation(tmp_path: Path) -> None:
    """A new password ends the old sessions; the passkey that was lost can be removed then."""
    rooms = Rooms(tmp_path)
    async with rooms.browser() as old, rooms.browser() as new:
        lost, _ = await old.make_passkey(rooms.invite("ben"))
        done = await new.form(rooms.invite("ben"), **NEW)
        assert done.status_code == 303
        assert (await old.get()).status_code == 303
        key = rooms.store.passkeys("ben")[0][0]
        assert (await new.form("account/passkey", id=key)).status_code == 303
        assert (await old.use_passkey(lost)).status_code == 403


@pytest.mark.parametrize(
    ("new", "repeated", "said"),
    [
        ("short", "short", "10 to 256 characters"),
        ("x" * 257, "x" * 257, "10 to 256 characters"),
        ("four or five words", "four or six words", "not the same"),
    ],
)
async def test_a_wrong_form_uses_nothing_up(
    tmp_path: Path, new: str, repeated: str, said: str
) -> None:
    """The page says what is wrong, where it is announced."""
    rooms = Rooms(tmp_path)
    async with rooms.browser() as browser:
        path = rooms.invite("ben")
        refused = await browser.form(path, new=new, repeated=repeated)
        assert refused.status_code == 422
        assert said in refused.text.partition('role="alert">')[2]
        assert (await browser.form(path, **NEW)).status_code == 303


async def test_it_is_used_by_one_of_two_ways(tmp_path: Path) -> None:
    """A passkey that was begun before the password was set comes too late."""
    rooms = Rooms(tmp_path)
    async with rooms.browser() as browser, rooms.browser() as other:
        path = rooms.invite("ben")
        options = await other.options("options", invitation=path.rpartition("/")[2])
        assert (await browser.form(path, **NEW)).status_code == 303
        _, credential = other.authenticator.make(options)
        assert (await other.script("new", credential=credential)).status_code == 404
        assert rooms.store.passkeys("ben") == []


async def test_it_ends(tmp_path: Path) -> None:
    """At its time, with a newer one, with its user; and after a week at the latest."""
    rooms = Rooms(tmp_path)
    async with rooms.browser() as browser:
        over = rooms.invite("ben", lifetime=-1)
        first = rooms.invite("ben")
        second = rooms.invite("ben")
        statuses = [(await browser.get(one)).status_code for one in (over, first, second)]
        assert statuses == [404, 404, 200]
        rooms.store.change_user("ben", disabled=True)
        rooms.follow()
        assert (await browser.get(second)).status_code == 404
        long = rooms.invite("anna", lifetime=10 * MAX_INVITATION).rpartition("/")[2]
        digest, now = secret_digest(long), time.time()
        assert rooms.store.invited(digest, now=now + MAX_INVITATION - 60) == "anna"
        assert rooms.store.invited(digest, now=now + MAX_INVITATION + 60) is None


async def test_a_form_of_another_site_does_nothing(tmp_path: Path) -> None:
    """Although it knows the link."""
    rooms = Rooms(tmp_path)
    async with rooms.browser(origin="https://evil.test") as browser, rooms.browser() as own:
        path = rooms.invite("ben")
        assert (await browser.form(path, **NEW)).status_code == 403
        assert (await own.get(path)).status_code == 200


async def test_it_says_so_where_its_user_cannot_come_in(tmp_path: Path) -> None:
    """And is not used up there; a site with passkeys only offers no password."""
    rooms = Rooms(tmp_path)
    async with rooms.browser(OTHER) as browser, rooms.browser() as own:
        path = rooms.invite("ben")
        refused = await browser.get(path)
        assert refused.status_code == 403
        assert "leads to the wrong site" in refused.text
        assert (await browser.form(path, **NEW)).status_code == 403
        assert (await own.get(path)).status_code == 200
        page = (await browser.get(rooms.invite("anna"))).text
        assert 'id="passkey"' in page
        assert 'name="new"' not in page
        assert HOST not in page


async def test_a_password_for_programs_is_set_without_a_login(tmp_path: Path) -> None:
    """Where only Basic authentication is taken there is no session to begin."""
    rooms = Rooms(tmp_path)
    async with rooms.browser("dav.example.org") as browser:
        done = await browser.form(rooms.invite("anna"), **NEW)
        assert done.status_code == 200
        assert "Your password is set" in done.text
        assert not browser.is_in
