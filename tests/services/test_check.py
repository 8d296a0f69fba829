from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.services.scripted import OK, Call, answering, scripted

from asgi_tunnel.services import check
from asgi_tunnel.services.check import check_services
from asgi_tunnel.services.settings import read_services
from asgi_tunnel_edge.certificates.internal import InternalCertificate

if TYPE_CHECKING:
    import pytest


async def problem(to: Any, **keys: Any) -> str:
    """What is wrong with one service."""
    services = read_services([{"hostname": "a.test", "to": to, **keys}], folder=Path())
    found = await check_services(services)
    return found[0].problem


async def _refuse_plaintext(call: Call) -> None:
    """What nginx says on its TLS port."""
    await call.head()
    await call.say(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")


async def _refuse_tls(call: Call) -> None:
    """What web servers say to a ClientHello."""
    await call.reader.read(1000)
    await call.say(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")


async def _close(call: Call) -> None: ...


async def _greet(call: Call) -> None:
    await call.say(b"SSH-2.0-OpenSSH_9.6\r\n")


async def _wait(call: Call) -> None:
    await call.reader.read()


async def test_what_listens_and_speaks_http_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its status."""
    monkeypatch.setattr(check, "PROBE_TIMEOUT", 0.5)
    async with scripted(answering(b"HTTP/1.1 404 x\r\ncontent-length: 0\r\n\r\n")) as service:
        assert await problem(service.url) == ""
    async with scripted(_refuse_plaintext) as service:
        assert await problem(service.url) == ""


async def test_a_port_nobody_listens_on() -> None:
    """With the address, and what to do."""
    async with scripted(_close) as service:
        url = service.url
    sentence = f"nobody listens at {url[7:]}: connection refused; start it, or correct the port"
    assert await problem(url) == sentence
    assert await problem(url.replace("http", "https")) == sentence
    assert "nobody listens at /nowhere/x.sock" in await problem("unix:/nowhere/x.sock")


async def test_other_protocols(monkeypatch: pytest.MonkeyPatch) -> None:
    """Https spoken to http, and servers that are no web servers."""
    monkeypatch.setattr(check, "PROBE_TIMEOUT", 0.5)
    async with scripted(_refuse_tls) as service:
        found = await problem(service.url.replace("http", "https"))
        assert "does not speak https; write http:// in to" in found
    async with scripted(_greet) as service:
        assert "does not speak HTTP/1.1" in await problem(service.url)
    async with scripted(_wait) as service:
        assert "took the connection and said nothing" in await problem(service.url)


async def test_http_spoken_to_https(certificate: InternalCertificate) -> None:
    """A server of TLS closes, sends an alert, or answers 400."""
    async with scripted(answering(OK), tls=certificate) as service:
        found = await problem(service.url)
        assert "speaks https; write https:// in to" in found
        found = await problem(service.url.replace("http", "https"))
        assert "is not accepted" in found
        assert "verify = false" in found
        assert await problem(service.url.replace("http", "https"), verify=False) == ""


async def test_apps_and_shadows() -> None:
    """An app is imported; a service behind another one is never reached."""
    assert "cannot be found" in await problem("nowhere_at_all:app")
    assert await problem(print) == ""
    services = read_services(
        [{"hostname": "*", "status": 404}, {"hostname": "a.test", "status": 200}], folder=Path()
    )
    assert [one.problem for one in await check_services(services)] == [
        "",
        "no request reaches it: * stands above it; move it up",
    ]
