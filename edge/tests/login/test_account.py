"""The page of one's own login: what it shows, and what it changes for whom."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import urlencode

import pytest
from edge.tests.login.rooms import ACCESS, HOST, OTHER, PASSWORD, Rooms

from asgi_tunnel_edge.access.cookies import SESSION_COOKIE
from asgi_tunnel_edge.access.passwords import MAX_WAITING
from asgi_tunnel_edge.accounts import LinkRecord, SessionRecord
from asgi_tunnel_edge.tokens import secret_digest

pytestmark = pytest.mark.anyio

CHANGE = {"old": PASSWORD, "new": "another horse battery", "repeated": "another horse battery"}


async def test_a_changed_password_ends_the_other_sessions(tmp_path: Path) -> None:
    """At once, and this browser stays in; the old password is worth nothing."""
    rooms = Rooms(tmp_path)
    async with rooms.browser() as browser, rooms.browser() as other:
        await browser.log_in()
        await other.log_in()
        done = await browser.form("account/password", **CHANGE)
        assert done.headers["location"] == f"{ACCESS}?done=password"
        for _ in range(2):
            assert (await browser.get()).status_code == 200
            assert (await other.get()).status_code == 303
            rooms.follow()
        assert len(rooms.store.sessions(subject="user:anna")) == 1
        assert (await other.log_in()).status_code == 403
        assert (await other.log_in(password=CHANGE["new"])).status_code == 303


async def test_an_older_snapshot_takes_no_password_back(tmp_path: Path) -> None:
    """One that was read before the change and comes after it."""
    rooms = Rooms(tmp_path)
    async with rooms.browser() as browser, rooms.browser() as other:
        await browser.log_in()
        await other.log_in()
        rooms.follow()
        before = rooms.doors._records
        assert before is not None
        await browser.form("account/password", **CHANGE)
        rooms.doors._records = None
        rooms.doors.apply(before)
        assert (await browser.get()).status_code == 200
        assert (await other.get()).status_code == 303
        rooms.store.change_user("anna", disabled=True)
        rooms.follow()
        assert (await browser.get()).status_code == 303


async def test_the_old_password_is_asked_for_and_tried_slowly(tmp_path: Path) -> None:
    """As at the login: an open browser is no place to guess it."""
    rooms = Rooms(tmp_path)
    async with rooms.browser() as browser:
        await browser.log_in()
        wrong = {**CHANGE, "old": "something else"}
        statuses = [(await browser.form("account/password", **wrong)).status_code for _ in range(9)]
        assert statuses == [403] * 8 + [429]


async def test_a_wrong_new_password_changes_nothing(tmp_path: Path) -> None:
    """The page says what is wrong with it, and the form is open."""
    rooms = Rooms(tmp_path)
    async with rooms.browser() as browser:
        await browser.log_in()
        refused = await browser.form("account/password", **{**CHANGE, "repeated": "x"})
        assert refused.status_code == 422
        assert "<details open>" in refused.text
        assert (await browser.log_in()).status_code == 303


async def test_who_has_a_passkey_only_sets_a_password(tmp_path: Path) -> None:
    """Without an old one, and soon after the login."""
    rooms = Rooms(tmp_path)
    async with rooms.browser() as browser:
        await browser.make_passkey(rooms.invite("ben"))
        assert "Set a password" in (await browser.get()).text
        new = {name: CHANGE[name] for name in ("new", "repeated")}
        assert (await browser.form("account/password", **new)).status_code == 303
        assert "Change the password" in (await browser.get()).text
        assert (await browser.log_in("ben", CHANGE["new"])).status_code == 303


async def test_ones_own_sessions_are_listed_and_ended(tmp_path: Path) -> None:
    """Nobody else's, neither by the list nor by a form."""
    rooms = Rooms(tmp_path)
    async with rooms.browser() as browser, rooms.browser() as other, rooms.browser() as ben:
        await browser.log_in()
        await other.log_in()
        await ben.make_passkey(rooms.invite("ben"))
        page = (await browser.get()).text
        assert page.count("account/session") == 1
        [theirs] = [one.id for one in rooms.store.sessions(subject="user:ben")]
        assert theirs not in page
        await browser.form("account/session", id=theirs)
        assert (await ben.get()).status_code == 200
        # Of two of one second any may come first; the page has no button for its own.
        ids = [one.id for one in rooms.store.sessions(subject="user:anna")]
        [mine] = [one for one in ids if one in page]
        assert len(ids) == 2
        done = await browser.form("account/session", id=mine)
        assert done.headers["location"] == f"{ACCESS}?done=session"
        assert (await other.get()).status_code == 303
        assert (await browser.get()).status_code == 200


async def test_another_login_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    """The list does not grow with each login of one browser, and the old cookie is dead."""
    rooms = Rooms(tmp_path)
    async with rooms.browser() as browser:
        await browser.log_in()
        old = browser.client.cookies[SESSION_COOKIE.decode()]
        again = await browser.get(f"{ACCESS}login?again=1&to={ACCESS}")
        assert again.status_code == 200
        done = await browser.form("password", user="anna", password=PASSWORD, to=ACCESS)
        assert done.headers["location"] == ACCESS
        assert len(rooms.store.sessions(subject="user:anna")) == 1
        assert rooms.app.sessions.current(old, HOST) is None


async def test_a_session_of_another_hostname_is_named(tmp_path: Path) -> None:
    """And its passkeys are not: they work there only."""
    rooms = Rooms(tmp_path)
    async with rooms.browser() as browser:
        await browser.log_in()
        rooms.store.add_passkey(
            "anna", "a", b"", hostname=OTHER, sign_count=0, label="The blue key"
        )
        now = int(time.time())
        rooms.store.add_session(
            SessionRecord(
                id="x",
                subject="user:anna",
                name="anna",
                hostname=OTHER,
                method="passkey",
                created_at=now - 7200,
                expires_at=now + 100,
                address="203.0.113.7",
                agent="curl/8.19",
            )
        )
        page = (await browser.get()).text
        assert "The blue key" not in page
        assert "curl" in page
        assert f"at {OTHER}" in page
        assert "2 hours ago" in page


async def test_who_came_by_a_link_sees_nobody_elses_session(tmp_path: Path) -> None:
    """All of them have one subject, and none can end another's."""
    rooms = Rooms(tmp_path)
    link = LinkRecord(id="link_1", secret_sha256=secret_digest("s"), hostname=HOST, path="/a")
    rooms.store.create_link(link)
    rooms.follow()
    async with rooms.browser() as one, rooms.browser() as other:
        await one.form("link/s")
        await other.form("link/s")
        page = (await one.get()).text
        assert "somebody with a link" in page
        assert "account/" not in page
        for record in rooms.store.sessions():
            await one.form("account/session", id=record.id)
        assert (await other.get()).status_code == 200
        for path in ("account/password", "account/passkey"):
            assert (await one.form(path, **CHANGE)).status_code == 403
        assert (await one.script("options")).status_code == 403


async def test_without_a_session_there_is_nothing(tmp_path: Path) -> None:
    """Neither the page nor any of its forms, nor for a form of another site."""
    rooms = Rooms(tmp_path)
    async with rooms.browser() as browser, rooms.browser(origin="https://evil.test") as evil:
        login = (await browser.get()).headers["location"]
        assert login == f"{ACCESS}login?{urlencode({'to': ACCESS})}"
        await evil.client.get(ACCESS)
        for path in ("account/password", "account/passkey", "account/session"):
            assert (await browser.form(path, **CHANGE)).status_code == 403
            assert (await evil.form(path, **CHANGE)).status_code == 403


async def test_nothing_is_typed_over_http(tmp_path: Path) -> None:
    """Neither a password, nor an old or a new one, nor an invitation; also where TLS is off."""
    rooms = Rooms(tmp_path)
    invitation = rooms.invite("ben")
    async with rooms.browser(scheme="http") as browser:
        for page in (f"{ACCESS}login", ACCESS, invitation):
            refused = await browser.get(page)
            assert refused.status_code == 403
            assert "over https only" in refused.text
        assert (await browser.log_in()).status_code == 403
        assert (await browser.form("account/password", **CHANGE)).status_code == 403
        assert (await browser.script("challenge")).status_code == 403


async def test_new_passwords_take_turns_with_those_that_are_checked(tmp_path: Path) -> None:
    """Each takes 32 MiB and 0.1 s, so that many at once would be the whole machine."""
    rooms = Rooms(tmp_path)
    async with rooms.browser() as browser, rooms.browser() as other:
        await browser.log_in()
        path = rooms.invite("ben")
        rooms.checker._waiting = MAX_WAITING
        busy = await browser.form("account/password", **CHANGE)
        assert (busy.status_code, "Try again in a few seconds" in busy.text) == (503, True)
        busy = await other.form(path, **CHANGE)
        assert (busy.status_code, "Try again in a few seconds" in busy.text) == (503, True)
        rooms.checker._waiting = 0
        assert (await other.form(path, **CHANGE)).status_code == 303
