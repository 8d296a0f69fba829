"""The moment between the edge's answer to HELLO and the session that reads on; what is logged."""

from __future__ import annotations

import asyncio
import itertools
import logging
import re

import pytest

from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.backoff import Backoff
from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.connector import Connector
from asgi_tunnel.errors import BanError, VersionMismatchError
from asgi_tunnel.greeting import greet
from asgi_tunnel.policy.collect import SentPolicy
from asgi_tunnel.protocol.handshake import Hello, Welcome, encode_handshake
from asgi_tunnel.protocol.policy import POLICY, PolicyRule
from asgi_tunnel.slot import Slot
from asgi_tunnel.token import Token
from asgi_tunnel.transport import Receiver, Transport, WebSocketTransport

pytestmark = pytest.mark.plain  # `Edge` is a subclass of a compiled class

WELCOME = Welcome(session="session-1")


class Edge(WebSocketTransport):
    """Answers HELLO at once, and goes on in the same turn of the loop."""

    def __init__(self, *messages: bytes, leaves: bool = False) -> None:
        super().__init__(is_masking=True)
        self._messages = messages
        self._leaves = leaves
        self._greeting: Receiver | None = None

    def start(self, receiver: Receiver) -> None:
        """Note who reads."""
        self._greeting = receiver

    def send(self, data: bytes) -> None:
        """Answer."""
        greeting = self._greeting
        assert greeting is not None
        for message in self._messages:
            greeting.data_received(message)
        if self._leaves:
            transport: Transport = self
            greeting.transport_lost(transport, None)


async def ready(hostnames: tuple[str, ...]) -> None:
    """Nothing is end to end."""
    assert hostnames == ()


def hello() -> Hello:
    """What a connector says."""
    return Hello(instance="instance-1", slot=0)


async def test_frames_right_behind_welcome_are_kept() -> None:
    """Frames that come with WELCOME, in its message or in later ones, are the session's to read."""
    edge = Edge(encode_handshake(WELCOME) + b"one", b"two", memoryview(b"three").tobytes())
    welcome, rest = await greet(edge, hello(), ready)
    assert welcome.session == "session-1"
    assert rest == b"onetwothree"


async def test_loss_right_behind_welcome_is_noticed() -> None:
    """A connection that breaks in the same moment is not taken for a good one."""
    with pytest.raises(ConnectionResetError, match="closed after the handshake"):
        await greet(Edge(encode_handshake(WELCOME), leaves=True), hello(), ready)


async def test_the_reply_to_a_probe_may_be_the_last_word() -> None:
    """WELCOME without a session is whole, though the edge closes right behind it."""
    edge = Edge(encode_handshake(Welcome(session="", time=7)), leaves=True)
    welcome, _ = await greet(edge, hello(), ready)
    assert welcome.time == 7


class Clock:
    """Stands in for the event loop: its time is what a test says."""

    now = 0.0

    def time(self) -> float:
        """The time."""
        return self.now


def connector(*rules: PolicyRule) -> Connector:
    """A connector that has not started, of an app with rules."""

    async def app(scope: object, receive: object, send: object) -> None:
        raise AssertionError

    token = Token(edge="ws://127.0.0.1:9", id="tok_1", secret="s" * 43, pin=None)
    config = TunnelConfig(token=token, text=token.format())
    return Connector(config, Origin(app), name="main:app", policy=SentPolicy(rules=rules))


def test_an_outage_is_logged_from_time_to_time(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first try, a new reason, and then a line every 8 s to every minute, with the next try."""
    caplog.set_level(logging.INFO)
    clock = Clock()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: clock)
    slot, backoff = Slot(connector(), 0), Backoff(0.0)
    times = []
    for second in range(600):
        clock.now = float(second)
        error = OSError("no address") if second < 3 else ConnectionRefusedError("refused")
        before = len(caplog.records)
        slot._unreached(error, backoff)
        times += [second] * (len(caplog.records) - before)
    assert times[:5] == [0, 3, 11, 19, 27]
    gaps = [later - sooner for sooner, later in itertools.pairwise(times)]
    assert gaps == sorted(gaps)
    assert gaps[-1] == 60
    lines = [re.sub(r"next try in \d\.\d s", "next try in N s", one) for one in caplog.messages]
    where = "cannot reach the edge at ws://127.0.0.1:9"
    assert lines[0] == f"{where} (no address); next try in N s, and on until it replies"
    assert lines[1] == f"{where} (refused) since 3 s, in 4 tries; next try in N s"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://shop.example.org", "https://shop.example.org"),
        (
            "https://*.shop.example.org:8443",
            "https://demo.shop.example.org:8443 (or any other name in the place of demo)",
        ),
    ],
)
def test_the_url_can_be_opened(caplog: pytest.LogCaptureFixture, url: str, shown: str) -> None:
    """The banner has a URL that leads to the app, for a wildcard too."""
    caplog.set_level(logging.INFO)
    one = connector()
    one._welcomed = asyncio.Event()
    one.announce(Welcome(session="session-1", urls=(url,)), is_first=True)
    assert caplog.messages == [f"main:app is live: {shown}"]


def test_rules_are_in_hello_and_in_the_status() -> None:
    """As they are sent; the status has what the edge says of them, too."""
    rule = PolicyRule(path="/login", rate=5, per=60.0)
    one = connector(rule)
    assert one.hello(0, None).policy == (rule,)
    welcome = Welcome(session="s", capabilities=(POLICY,), notes=("a note",))
    one.announce(welcome, is_first=True)
    assert one.describe()["policy"] == {
        "rules": [{"path": "/login", "rate": 5, "per": 60.0}],
        "routes": 0,
        "notes": ["a note"],
    }


def test_what_does_not_hold_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """For both connections, and again only when it is something else."""
    one = connector(PolicyRule(path="/login", rate=5, per=60.0))
    for notes in (("a",), ("a",), ("a", "b"), ()):
        one.announce(Welcome(session="s", capabilities=(POLICY,), notes=notes), is_first=True)
    found = [line.message for line in caplog.records if line.message.startswith("policy: ")]
    assert found == ["policy: a", "policy: b"]


def test_an_older_edge_holds_no_rules(caplog: pytest.LogCaptureFixture) -> None:
    """T114: the log says so; where a login is among them no tunnel is opened."""
    old = Welcome(session="s")
    one = connector(PolicyRule(path="/login", rate=5, per=60.0))
    one.policy.check(old)
    one.announce(old, is_first=True)
    assert "the edge is older than this, and holds no rule of the app" in caplog.text
    caplog.clear()
    plain = connector()
    plain.announce(old, is_first=True)
    assert "policy" not in caplog.text
    strict = connector(PolicyRule(path="/admin", access="family"))
    with pytest.raises(VersionMismatchError, match="everybody would be let in; upgrade the edge"):
        strict.policy.check(old)
    strict.policy.check(Welcome(session="s", capabilities=(POLICY,)))


async def test_a_tunnel_that_is_not_connected_bans_nobody() -> None:
    """And says so at once."""
    with pytest.raises(BanError) as caught:
        await connector().asking.ask({"ban": "192.0.2.7"})
    assert caught.value.code == "not-connected"
