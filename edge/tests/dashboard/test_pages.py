"""What single pages say: what is wrong, certificates, settings without secrets, and the log."""

from __future__ import annotations

import asyncio
import datetime as dt
import re
from pathlib import Path

import pytest
from edge.tests.dashboard.house import LOCAL, SETTINGS, SHOP, house
from edge.tests.dashboard.test_escaping import stream

from asgi_tunnel_edge.certificates import internal
from asgi_tunnel_edge.certificates.internal import create_internal_certificate
from asgi_tunnel_edge.dashboard.pages import find_pages
from asgi_tunnel_edge.dashboard.problems import problems_of
from asgi_tunnel_edge.dashboard.roles import Role


def test_pages_are_found_by_looking() -> None:
    """In the order of the navigation, each with a name of its own; owners have few of them."""
    pages = find_pages()
    names = [page.name for page in pages]
    assert names[0] == "overview"
    assert len(set(names)) == len(names)
    owners = {page.name for page in pages if page.role is Role.OWNER}
    assert {"overview", "tunnels", "hosts"} <= owners
    assert not {"certificates", "logs", "settings", "audit"} & owners


async def test_what_is_wrong_is_at_the_top(tmp_path: Path) -> None:
    """For operators; owners cannot do anything about it."""
    async with house(tmp_path) as one:
        anna, ben = await one.somebody("anna"), await one.somebody("ben")
        assert 'class="alerts"' not in (await anna.get("/")).text
        one.edge.context.is_overloaded = True
        assert one.edge._dashboard is not None
        context = one.edge._dashboard._context
        (problem,) = problems_of(context)
        assert problem.is_bad
        one.edge.context.is_overloaded = False

        class Shown:
            """Certificates that cannot be renewed."""

            @property
            def failures(self) -> dict[tuple[str, ...], str]:
                """One of a CA."""
                return {("a.example.test",): "the CA <refuses> it"}

            def expiring(self) -> dict[str, str]:
                """One that ends soon."""
                return {"b.example.test": "expires in 3 days"}

            def expiries(self) -> dict[str, float]:
                """The same."""
                return {"b.example.test": 0.0}

        context.certificates = Shown()  # type: ignore[assignment]
        text = (await anna.get("/")).text
        assert "No new certificate for a.example.test: the CA &lt;refuses&gt; it." in text
        assert "The certificate for b.example.test expires in 3 days." in text
        assert "b.example.test" not in (await ben.get("/")).text


async def test_certificates_are_those_that_are_shown(tmp_path: Path) -> None:
    """With their end, and what apps pin; where TLS is off there is none."""
    create_internal_certificate("example.test", tmp_path / "tls")
    async with house(tmp_path, dashboard=LOCAL, tls={"mode": "internal"}, app=None) as one:
        anna = await one.somebody("anna", local=True)
        text = (await anna.get("/certificates")).text
        assert "<td>example.test</td>" in text
        assert "valid" in text
        assert one.edge._certificates is not None
        for pin in one.edge._certificates.pins:
            assert pin in text
    other = tmp_path / "other"
    other.mkdir()
    async with house(other, app=None) as one:
        anna = await one.somebody("anna")
        assert "This edge shows no certificate." in (await anna.get("/certificates")).text


async def test_settings_hide_secrets(tmp_path: Path) -> None:
    """What holds is shown with where it comes from; secrets of others are not."""
    secret = "a-secret-of-a-provider"
    provider = {"issuer": "https://login.example.org", "client_id": "edge", "client_secret": secret}
    alerts = {"url": f"https://hooks.example.net/{secret}?token={secret}"}
    async with house(tmp_path, alerts=alerts) as one:
        content = (tmp_path / "edge.toml").read_text()
        lines = "\n".join(f'{name} = "{value}"' for name, value in provider.items())
        (tmp_path / "edge.toml").write_text(f"{content}\n[oidc.site]\n{lines}\n")
        anna = await one.somebody("anna")
        text = (await anna.get("/settings")).text
        assert secret not in text
        assert "https://hooks.example.net/(hidden)" in text
        assert "[limits]" in text
        assert "The file has changed since this edge has read it: oidc" in text


async def test_lines_of_the_log_are_followed(tmp_path: Path) -> None:
    """From where the page ends; with what is looked for in them."""
    async with house(tmp_path, dashboard=dict(SETTINGS)) as one:
        await one.live.get("/first", host=SHOP)
        anna = await one.somebody("anna")
        page = (await anna.get("/logs?q=/first")).text
        assert page.count("GET /first") == 1
        place = page.partition("/live/logs?after=")[2].partition("&amp;")[0]
        await one.live.get("/second", host=SHOP)
        await one.live.get("/fail", host=SHOP)
        part = await stream(anna, f"/live/logs?after={place}")
        assert "GET /first" not in part
        assert part.count("GET /second") == 1
        assert "<div class=bad-line>" in part
        async with asyncio.timeout(20):
            part = await stream(anna, f"/live/logs?after={place}&q=/fail")
        assert "GET /second" not in part
        for odd in ("x", "-1", "9" * 30, "%00"):
            assert "GET /first" in await stream(anna, f"/live/logs?after={odd}&q=/first")


@pytest.mark.parametrize(
    ("lifetime", "state"), [(dt.timedelta(days=6), "valid"), (dt.timedelta(hours=6), "ends soon")]
)
async def test_a_certificate_is_late_by_its_own_lifetime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lifetime: dt.timedelta, state: str
) -> None:
    """One of six days is not late on its first day; which one is, the page says in a sentence."""
    monkeypatch.setattr(internal, "_LIFETIME", lifetime)
    internal.create_internal_certificate("example.test", tmp_path / "tls")
    local = {"listen": "127.0.0.1:0", "operators": ["anna"]}
    async with house(tmp_path, None, tls={"mode": "files"}, dashboard=local) as one:
        anna = await one.somebody("anna", local=True)
        text = (await anna.get("/certificates")).text
    assert text.count(f'">{state}</span>') == 5  # the domain, what is below it, and this machine
    sentence = re.search(r"The certificate for [^<]*example\.test[^<]* expires on ", text)
    assert (sentence is not None) == (state == "ends soon")
