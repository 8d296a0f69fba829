"""What a running edge finds wrong, and has said: a real edge, app and webhook."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from edge.tests.alerts.webhook import Got, Hook, webhook
from edge.tests.live import live_edge

from asgi_tunnel_edge import monitor
from asgi_tunnel_edge.alerts import conditions
from asgi_tunnel_edge.certificates import internal
from asgi_tunnel_edge.certificates.acme import IssuanceFailure
from asgi_tunnel_edge.certificates.internal import create_internal_certificate
from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.monitor import SECRET_VARIABLE, URL_VARIABLE, webhook_of
from asgi_tunnel_edge.settings.config import EdgeConfig


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks follow each other closely."""
    monkeypatch.setattr(monitor, "LOOK_EVERY", 0.02)
    monkeypatch.setattr(monitor, "CERTIFICATES_EVERY", 0.02)
    monkeypatch.setattr(monitor, "DATABASE_AFTER", 0.02)
    monkeypatch.setattr(monitor, "OVERLOAD_AFTER", 0.02)
    monkeypatch.setattr(conditions, "REPEAT", 0.0)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Never called."""


def settings(hook: Hook, **others: Any) -> dict[str, Any]:
    """``[alerts]`` for a webhook."""
    return {"alerts": {"url": hook.url, "after": 0.1, **others}}


async def said(hook: Hook) -> list[tuple[str, str, str]]:
    """Event, state and subject of what is said next."""
    got: Got = await hook.next()
    return [(one["event"], one["state"], one["subject"]) for one in got.content["alerts"]]


async def test_a_tunnel_goes_and_comes(tmp_path: Path) -> None:
    """It is said when it is away for long enough, and when it is back."""
    async with webhook() as hook, live_edge(tmp_path, app, **settings(hook)) as live:
        await asyncio.sleep(0.05)
        await live.disconnect()
        assert await said(hook) == [("tunnel_down", "firing", "shop")]
        await live.connect(app)
        assert await said(hook) == [("tunnel_down", "resolved", "shop")]
        await asyncio.sleep(0.3)
    assert len(hook.got) == 2


async def test_a_token_that_was_never_used_is_not_missed(tmp_path: Path) -> None:
    """Nor one that the settings do not name."""
    async with webhook() as hook:
        async with live_edge(tmp_path, **settings(hook)):
            await asyncio.sleep(0.3)
        async with live_edge(tmp_path, app, **settings(hook, tokens=["blog"])) as live:
            await live.disconnect()
            await asyncio.sleep(0.3)
    assert not hook.got


async def test_the_next_process_knows(tmp_path: Path) -> None:
    """What was said before is not said again, and its end is."""
    async with webhook() as hook:
        async with live_edge(tmp_path, app, **settings(hook)) as live:
            await asyncio.sleep(0.05)
            await live.disconnect()
            assert await said(hook) == [("tunnel_down", "firing", "shop")]
            token = live.token
        kept = json.loads((tmp_path / "alerts.json").read_text())
        assert list(kept["firing"]) == [f"tunnel {token.id}"]
        async with live_edge(tmp_path, token=token, **settings(hook)) as live:
            await asyncio.sleep(0.3)
            assert len(hook.got) == 1
            await live.connect(app)
            assert await said(hook) == [("tunnel_down", "resolved", "shop")]
    assert json.loads((tmp_path / "alerts.json").read_text()) == {"firing": {}}


async def test_a_file_that_cannot_be_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The edge starts, and says it."""
    (tmp_path / "alerts.json").write_text('{"firing": {"a": 1}}')
    async with webhook() as hook, live_edge(tmp_path, **settings(hook)):
        pass
    assert "alerts.json cannot be read" in caplog.text


async def test_a_database_that_cannot_be_read(tmp_path: Path) -> None:
    """And can be again."""
    async with webhook() as hook, live_edge(tmp_path, **settings(hook)) as live:
        path = live.edge.config.database_path
        path.rename(path.with_suffix(".away"))
        assert await said(hook) == [("database_unreadable", "firing", "")]
        path.with_suffix(".away").rename(path)
        assert await said(hook) == [("database_unreadable", "resolved", "")]


async def test_overload(tmp_path: Path) -> None:
    """As long as new requests are refused."""
    async with webhook() as hook, live_edge(tmp_path, **settings(hook)) as live:
        live.edge._sweep.stop()  # which looks at memory
        live.edge.context.is_overloaded = True
        assert await said(hook) == [("overload", "firing", "")]
        live.edge.context.is_overloaded = False
        assert await said(hook) == [("overload", "resolved", "")]


async def test_certificates_of_a_ca(tmp_path: Path) -> None:
    """One that cannot be had is said at once, and that it is there."""
    acme: dict[str, Any] = {
        "tls": {"mode": "acme"},
        "acme": {"directory": "https://127.0.0.1:1/dir"},
    }
    async with webhook() as hook, live_edge(tmp_path, **acme, **settings(hook)) as live:
        shown = live.edge._certificates
        assert shown is not None
        assert shown._issuance is not None
        names = ("example.test",)
        shown._issuance._report(
            IssuanceFailure(
                names=names, sentence="the CA says no", count=1, retry_at=0.0, not_after=None
            )
        )
        assert await said(hook) == [("certificate_failing", "firing", "example.test")]
        assert hook.got[0].content["text"].endswith("for example.test: the CA says no")
        made = create_internal_certificate("example.test", tmp_path / "made")
        shown._issuance._install(names, made.certificate.read_bytes(), made.key.read_bytes())
        assert await said(hook) == [("certificate_failing", "resolved", "example.test")]


async def test_a_certificate_that_expires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the log says it, once a day."""
    monkeypatch.setattr(internal, "_LIFETIME", dt.timedelta(hours=6))
    create_internal_certificate("example.test", tmp_path / "tls")
    async with webhook() as hook, live_edge(tmp_path, tls={"mode": "files"}, **settings(hook)):
        [(event, state, subject)] = await said(hook)
    assert (event, state) == ("certificate_expiring", "firing")
    assert "example.test" in subject
    assert "expires on" in hook.got[0].content["text"]


async def test_only_what_is_asked_for(tmp_path: Path) -> None:
    """``events`` leaves the others out."""
    async with (
        webhook() as hook,
        live_edge(tmp_path, app, **settings(hook, events=["overload"])) as live,
    ):
        await live.disconnect()
        path = live.edge.config.database_path
        path.rename(path.with_suffix(".away"))
        await asyncio.sleep(0.6)
    assert not hook.got


async def test_a_webhook_that_is_away_delays_nothing(tmp_path: Path) -> None:
    """Visitors are served, and the edge stops in time."""
    async with webhook() as hook:
        url = hook.url
    async with live_edge(tmp_path, app, alerts={"url": url, "after": 0.05}) as live:
        await live.disconnect()
        await asyncio.sleep(0.2)
        assert (await live.get(host="nobody.example.test")).status == 404


def config(folder: Path, **alerts: Any) -> EdgeConfig:
    """Settings with such alerts."""
    table = {"domain": "example.test", "listen": "127.0.0.1:0", "alerts": alerts}
    return EdgeConfig.from_table(table, folder)


def test_variables_come_first(tmp_path: Path) -> None:
    """URL and secret may stand outside of the file, as both may be secrets."""
    (tmp_path / "secret").write_text("of the file\n")
    found = webhook_of(config(tmp_path, url="https://a.test/", secret_file="secret"), {})
    assert found is not None
    assert (found.url, found.secret) == ("https://a.test/", "of the file")
    environ = {URL_VARIABLE: "https://b.test/", SECRET_VARIABLE: "given"}
    found = webhook_of(config(tmp_path, url="https://a.test/", secret_file="none"), environ)
    assert found is not None
    assert (found.url, found.secret) == ("https://b.test/", "given")
    assert webhook_of(config(tmp_path), {}) is None


@pytest.mark.parametrize("content", [None, "", " \n", b"\xff"])
def test_a_secret_that_cannot_be_read(tmp_path: Path, content: str | bytes | None) -> None:
    """The edge does not start without the signature that it was told to make."""
    if content is not None:
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / "secret").write_bytes(data)
    with pytest.raises(EdgeConfigError, match=r"alerts\.secret_file"):
        webhook_of(config(tmp_path, url="https://a.test/", secret_file="secret"), {})


@pytest.mark.parametrize(
    "url", ["ftp://a.test/", "https:///a", "a.test", "https://u:p@a.test/", "https://a.test/ x"]
)
def test_no_url(tmp_path: Path, url: str) -> None:
    """It is refused, in the file and in the variable, and not repeated."""
    with pytest.raises(EdgeConfigError) as caught:
        config(tmp_path, url=url)
    assert url not in str(caught.value)
    with pytest.raises(EdgeConfigError):
        webhook_of(config(tmp_path), {URL_VARIABLE: url})
