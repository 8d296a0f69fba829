from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any

import pytest
from tests.asgi.fakes import FakeConnector, Life
from tests.asgi.memory import Tunnelled, body, rest, start, until

import asgi_tunnel
from asgi_tunnel.asgi.lifespan import Lifespan
from asgi_tunnel.asgi.types import Message
from asgi_tunnel.errors import AuthenticationError
from asgi_tunnel.token import Token

Tunnel = partial(asgi_tunnel.Tunnel, outermost=True)
"""The server of these tests is none that is known."""

TOKEN = Token(edge="wss://edge.test", id="tok_1", secret="s" * 43, pin=None).format()

pytestmark = pytest.mark.usefixtures("connectors")


class Server:
    """Runs an app's lifespan as servers do.

    Attributes:
        sent: What the app's side said.
        error: What came out of the app.
    """

    def __init__(self, app: Any, **scope: Any) -> None:
        self.app = app
        self.scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": {},
            **scope,
        }
        self.sent: list[Message] = []
        self.error: BaseException | None = None
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self.task = asyncio.ensure_future(self._run())

    @property
    def said(self) -> list[str]:
        """Types of what was sent, without their prefix."""
        return [one["type"].removeprefix("lifespan.") for one in self.sent]

    async def _run(self) -> None:
        try:
            await self.app(self.scope, self._messages.get, self._send)
        except Exception as error:  # noqa: BLE001 - a server survives what an app raises
            self.error = error

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    async def start(self) -> Server:
        """Send startup and wait for the response, or the end of the call."""
        self._messages.put_nowait({"type": "lifespan.startup"})
        await until(lambda: self.sent or self.task.done(), "no response to startup")
        await rest()
        return self

    async def stop(self) -> Server:
        """Send shutdown and wait for the end of the call."""
        self._messages.put_nowait({"type": "lifespan.shutdown"})
        await self.task
        return self

    async def request(self) -> None:
        """Call the app for a request, as a server does beside the tunnel."""
        await self.app({"type": "http", "path": "/"}, None, _swallow)


async def _swallow(message: Message) -> None:
    """Take a response."""


async def test_the_tunnel_opens_after_startup_and_closes_before_shutdown() -> None:
    """A65, A68: it starts after ``startup.complete`` and has drained when shutdown comes."""
    app = Life()
    server = await Server(Tunnel(app, token=TOKEN, enabled=True)).start()
    assert server.said == ["startup.complete"]
    assert [one.log for one in FakeConnector.made] == [["start"]]
    assert (await FakeConnector.made[0].get()).body == b"{'pool': 7}"
    await server.stop()
    assert server.said == ["startup.complete", "shutdown.complete"]
    assert app.log == ["startup", "request", "start", "stop", "shutdown"]


async def test_requests_of_the_server_pass_through() -> None:
    """A65: beside the tunnel the app is served as ever; lifespan state is the server's."""
    app = Life()
    server = await Server(Tunnel(app, token=TOKEN, enabled=True)).start()
    await server.request()
    assert app.log == ["startup", "request"]
    assert len(FakeConnector.made) == 1
    await server.stop()


async def test_a_server_without_state_gets_one() -> None:
    """A17, A65: when the server offers no state the wrapper does: Starlette needs one."""
    tunnel = Tunnel(Life(), token=TOKEN, enabled=True)
    server = Server(tunnel)
    del server.scope["state"]
    await server.start()
    assert (await FakeConnector.made[0].get()).body == b"{'pool': 7}"
    await server.stop()


async def test_without_a_known_server_there_is_no_tunnel(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It could pass by a login; the app is served on, and the log says what to do."""
    server = await Server(asgi_tunnel.Tunnel(Life(), token=TOKEN, enabled=True)).start()
    assert server.said == ["startup.complete"]
    assert not FakeConnector.made
    assert "Tunnel(app, outermost=True)" in caplog.text
    await server.stop()


async def test_a_startup_that_raises_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """The app is served without its startup, as servers do, but not without a word."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise RuntimeError("the database is away")

    server = await Server(Tunnel(app, token=TOKEN, enabled=True)).start()
    assert "the database is away" in caplog.text
    await server.stop()


@pytest.mark.parametrize("options", [{}, {"token": TOKEN}, {"token": TOKEN, "enabled": False}])
async def test_it_is_off_under_pytest_and_when_disabled(options: Any) -> None:
    """A65: under pytest, or with ``enabled=False``, nothing is opened and the app is untouched."""
    app = Life()
    server = await Server(Tunnel(app, **options)).start()
    await server.request()
    await server.stop()
    assert server.said == ["startup.complete", "shutdown.complete"]
    assert app.log == ["startup", "request", "shutdown"]
    assert not FakeConnector.made


async def test_without_a_token_it_does_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A65: no token is one line in the log; even an error on lifespan passes as it is."""
    monkeypatch.delitem(__import__("sys").modules, "pytest")
    caplog.set_level(logging.INFO)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("no lifespan here")

    server = await Server(Tunnel(app)).start()
    assert isinstance(server.error, ValueError)
    assert [one.getMessage() for one in caplog.records] == [
        "no tunnel: ASGI_TUNNEL_TOKEN is not set; the app is served locally only"
    ]
    assert not FakeConnector.made


async def test_a_token_of_the_environment_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """A65: with the variable set and no test running, wrapping is all that is needed."""
    monkeypatch.delitem(__import__("sys").modules, "pytest")
    monkeypatch.setenv("ASGI_TUNNEL_TOKEN", TOKEN)
    server = await Server(Tunnel(Life())).start()
    assert [one.log for one in FakeConnector.made] == [["start"]]
    await server.stop()


async def test_enabled_without_a_token_is_an_error_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A65: ``enabled=True`` without a token serves locally, and says why there is no tunnel."""
    server = await Server(Tunnel(Life(), enabled=True)).start()
    assert server.said == ["startup.complete"]
    assert "ASGI_TUNNEL_TOKEN is not set" in caplog.text
    await server.stop()


@pytest.mark.parametrize("token", [None, "att1.nonsense"])
async def test_a_required_tunnel_needs_a_token(token: str | None) -> None:
    """A67: with ``required=True`` a missing or broken token is ``startup.failed``."""
    app = Life()
    server = await Server(Tunnel(app, token=token, enabled=True, required=True)).start()
    assert server.said == ["startup.failed"]
    assert server.sent[0]["message"].startswith("asgi-tunnel: ")
    assert not app.log


class Cleaning:
    """An app whose lifespan cleans up, and does or does not say that it failed."""

    def __init__(self, *, tells: bool) -> None:
        self.tells = tells
        self.is_clean = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve the lifespan as Starlette does."""
        try:
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
        except BaseException:
            if self.tells:
                await send({"type": "lifespan.startup.failed", "message": "a traceback"})
            raise
        finally:
            self.is_clean = True


@pytest.mark.parametrize("tells", [True, False])
async def test_a_required_tunnel_that_is_refused_fails_the_startup(
    monkeypatch: pytest.MonkeyPatch, tells: bool
) -> None:
    """A67: a refused token is ``startup.failed``, told once, after the app has cleaned up."""
    monkeypatch.setattr(FakeConnector, "refusal", AuthenticationError(1, "the token was revoked"))
    app = Cleaning(tells=tells)
    server = await Server(Tunnel(app, token=TOKEN, enabled=True, required=True)).start()
    await server.task
    assert server.sent == [
        {"type": "lifespan.startup.failed", "message": "asgi-tunnel: the token was revoked"}
    ]
    assert app.is_clean
    assert FakeConnector.made[0].log == ["start", "abort"]


async def test_a_required_tunnel_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A67: a required tunnel that is not open in time is ``startup.failed``."""
    monkeypatch.setattr(FakeConnector, "connects", False)
    monkeypatch.setattr("asgi_tunnel.middleware.REQUIRED_TIMEOUT", 0.01)
    server = Server(Tunnel(Life(), token=TOKEN, enabled=True, required=True))
    await server.start()
    async with asyncio.timeout(5):
        await server.task
    assert server.said == ["startup.failed"]
    assert "not reached" in server.sent[0]["message"]
    assert FakeConnector.made[0].log == ["start", "abort"]


async def test_a_required_tunnel_that_opens_is_silent() -> None:
    """A67: with ``required=True`` the app starts when the tunnel is open."""
    server = await Server(Tunnel(Life(), token=TOKEN, enabled=True, required=True)).start()
    assert server.said == ["startup.complete"]
    await server.stop()
    assert FakeConnector.made[0].log == ["start", "stop"]


async def django_like(scope: Any, receive: Any, send: Any) -> None:
    """Raise on a lifespan, as Django and Channels do."""
    if scope["type"] != "http":
        raise ValueError("Django can only handle ASGI/HTTP connections, not lifespan.")
    await send(start())
    await send(body(b"django"))


async def received_first(scope: Any, receive: Any, send: Any) -> None:
    """Raise after having received."""
    await receive()
    raise ValueError("not for me")


async def silent(scope: Any, receive: Any, send: Any) -> None:
    """Return from a lifespan without a word."""


@pytest.mark.parametrize("app", [django_like, received_first, silent])
async def test_an_app_without_lifespan_is_answered_for(app: Any) -> None:
    """A66: the tunnel opens and closes although the app raises on lifespan, or ignores it."""
    server = await Server(Tunnel(app, token=TOKEN, enabled=True)).start()
    assert server.said == ["startup.complete"]
    assert FakeConnector.made[0].log == ["start"]
    if app is django_like:
        assert (await FakeConnector.made[0].get()).body == b"django"
    await server.stop()
    assert server.error is None
    assert server.said == ["startup.complete", "shutdown.complete"]
    assert FakeConnector.made[0].log == ["start", "stop"]


async def test_startup_failed_is_passed_on() -> None:
    """A67: an app that cannot start says so to its server, and no tunnel is opened."""
    server = await Server(Tunnel(Life("failed"), token=TOKEN, enabled=True)).start()
    assert server.sent == [{"type": "lifespan.startup.failed", "message": "no database"}]
    assert not FakeConnector.made
    await server.stop()


async def test_an_error_after_startup_is_passed_on() -> None:
    """A67, A69: an app that breaks its lifespan is not covered up, and its tunnel is closed."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        raise ValueError("broken")

    server = await Server(Tunnel(app, token=TOKEN, enabled=True)).start()
    assert isinstance(server.error, ValueError)
    assert FakeConnector.made[0].log == ["start", "abort"]


async def test_an_app_that_leaves_its_lifespan_keeps_its_tunnel() -> None:
    """A68: an app that returns after ``startup.complete`` stays live until the server stops."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})

    server = await Server(Tunnel(app, token=TOKEN, enabled=True)).start()
    assert FakeConnector.made[0].log == ["start"]
    await server.stop()
    assert FakeConnector.made[0].log == ["start", "stop"]
    assert server.said == ["startup.complete", "shutdown.complete"]


async def test_a_cancelled_lifespan_closes_the_tunnel() -> None:
    """A69: gunicorn cancels the lifespan on SIGINT: the tunnel is closed without a shutdown."""
    server = await Server(Tunnel(Life(), token=TOKEN, enabled=True)).start()
    server.task.cancel()
    await asyncio.wait([server.task])
    assert FakeConnector.made[0].log == ["start", "abort"]


@pytest.mark.parametrize("has_lifespan", [True, False])
async def test_no_second_tunnel_under_the_runner(has_lifespan: bool) -> None:
    """A65: an app served by the runner has its tunnel; a wrapper inside opens none."""
    app = Tunnel(Life(), token=TOKEN, enabled=True)
    lifespan = Lifespan(app)
    if has_lifespan:
        await lifespan.startup()
    assert (await Tunnelled(app).get()).status == 200
    await lifespan.shutdown()
    assert not FakeConnector.made


async def test_a_late_start_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    """A66: a server without lifespan gets the tunnel with the first request, and a warning."""
    app = Life()
    server = Server(Tunnel(app, token=TOKEN, enabled=True))
    server.task.cancel()
    await asyncio.wait([server.task])
    assert not FakeConnector.made
    await server.request()
    await server.request()
    assert [one.log for one in FakeConnector.made] == [["start"]]
    assert app.log == ["request", "request"]
    warnings = [
        one
        for one in caplog.records
        if one.levelno == logging.WARNING and one.name == "asgi_tunnel.middleware"
    ]
    assert len(warnings) == 1
    assert "no lifespan" in warnings[0].getMessage()


def test_a_late_tunnel_ends_with_its_loop(connectors: list[FakeConnector]) -> None:
    """A69: where no shutdown comes, the end of the event loop closes the tunnel."""
    tunnel = Tunnel(Life(), token=TOKEN, enabled=True)
    asyncio.run(tunnel({"type": "http", "path": "/"}, None, _swallow))
    assert [one.log for one in connectors] == [["start", "abort"]]


async def test_a_late_start_without_a_required_token_serves(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A66: where no startup can be refused, the missing token is an error in the log."""
    app = Life()
    tunnel = Tunnel(app, enabled=True, required=True)
    await tunnel({"type": "http", "path": "/"}, None, _swallow)
    assert app.log == ["request"]
    assert "one is required" in caplog.text


def test_nothing_happens_when_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A65: servers import apps in processes that never serve: making it reads no setting."""
    monkeypatch.setenv("ASGI_TUNNEL_TOKEN", "att1.nonsense")
    app = Life()
    tunnel = Tunnel(app, token="att1.nonsense", enabled=True, required=True)
    assert tunnel.app is app
    assert not FakeConnector.made


async def test_asgi_2_apps_can_be_wrapped() -> None:
    """A75: an ASGI 2 app is served beside its tunnel as well."""

    def app(scope: Any) -> Any:
        async def second(receive: Any, send: Any) -> None:
            await django_like(scope, receive, send)

        return second

    server = await Server(Tunnel(app, token=TOKEN, enabled=True)).start()  # type: ignore[arg-type]
    await server.request()
    assert (await FakeConnector.made[0].get()).body == b"django"
    await server.stop()
