"""How the login's pages are sent: their policy, and what browsers may keep of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from edge.tests.login.rooms import ACCESS, Rooms

pytestmark = pytest.mark.anyio


async def test_pages_are_never_kept_and_their_files_are(tmp_path: Path) -> None:
    """A file's address says which version it is; any other version is not kept under it."""
    rooms = Rooms(tmp_path)
    async with rooms.browser() as browser:
        page = await browser.get(f"{ACCESS}login")
        assert page.headers["cache-control"] == "no-store"
        files = re.findall(r'(?:href|src)="(/[^"]+\?[0-9a-f]{16})"', page.text)
        assert [one.partition("?")[0] for one in files] == [
            f"{ACCESS}style.css",
            f"{ACCESS}passkey.js",
        ]
        for one in files:
            kept = await browser.get(one)
            assert kept.status_code == 200
            assert kept.headers["cache-control"] == "max-age=31536000, immutable"
            assert kept.headers["x-content-type-options"] == "nosniff"
            other = await browser.get(one[:-1])
            assert other.headers["cache-control"] == "no-store"
            assert other.text == kept.text


async def test_the_policy_of_a_page_has_no_exception(tmp_path: Path) -> None:
    """Nothing inline, nothing from elsewhere, in no frame; and the address goes nowhere."""
    rooms = Rooms(tmp_path)
    async with rooms.browser() as browser:
        for path in (f"{ACCESS}login", rooms.invite("ben"), f"{ACCESS}nothing"):
            page = await browser.get(path)
            policy = page.headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; ")
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert page.headers["x-frame-options"] == "DENY"
            assert page.headers["referrer-policy"] == "strict-origin"
            assert "style=" not in page.text
            assert not re.search(r"<style|<script(?! src)|\son\w+=", page.text)


async def test_what_people_type_is_escaped(tmp_path: Path) -> None:
    """In fields, in text and in attributes."""
    rooms = Rooms(tmp_path)
    async with rooms.browser() as browser:
        evil = '"><script>alert(1)</script>'
        refused = await browser.log_in(user=evil)
        assert evil not in refused.text
        assert "&lt;script&gt;" in refused.text
        page = await browser.get(f"{ACCESS}login?to=/%22%3E%3Cscript%3E")
        assert "<script>" not in page.text
        await browser.log_in()
        await browser.make_passkey(label=evil)
        account = (await browser.get()).text
        assert evil not in account
        assert "&lt;script&gt;alert" in account
