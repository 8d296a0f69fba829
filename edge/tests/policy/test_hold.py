"""Rules that are held by dispatch: whose they are, who waits for them, which ones hold."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from edge.tests.exchange.fakes import ARRIVAL, ListWriter, context_of, request_of
from edge.tests.test_directory import Wire, make_session, make_token

from asgi_tunnel.protocol.policy import PolicyRule
from asgi_tunnel.session import Session
from asgi_tunnel_edge.directory import LocalDirectory
from asgi_tunnel_edge.dispatch import Dispatcher
from asgi_tunnel_edge.exchange.http import HTTPExchange
from asgi_tunnel_edge.exchange.writer import Exchange
from asgi_tunnel_edge.guards import Guards
from asgi_tunnel_edge.replies import Reply
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.settings.guards import GuardsConfig
from asgi_tunnel_edge.tokens import Snapshot

pytestmark = pytest.mark.plain  # a stand-in for the writer

SHOP = make_token("shop", "shop.test", "www.shop.test")
BLOG = make_token("blog", "blog.test")
LOGIN = PolicyRule(path="/login", rate=1, per=3600.0)
ADMIN = PolicyRule(path="/admin", access="family")


class Stage:
    """A dispatcher and its directory, with two tokens."""

    def __init__(self, folder: Path, **guards: Any) -> None:
        config = EdgeConfig(
            data_dir=folder, domain="a.test", listen="127.0.0.1:0", guards=GuardsConfig(**guards)
        )
        snapshot = Snapshot.of(1, [SHOP, BLOG])
        self.guards = Guards(config, lambda: 0.0)
        self.guards.apply(snapshot)
        self.directory = LocalDirectory(
            snapshot, hides_offline=config.guards.hide_offline, judge=self.guards.judge
        )
        self.dispatcher = Dispatcher(context_of(), self.directory, self.guards)
        self.writer = ListWriter()

    def join(
        self, *rules: PolicyRule, instance: str = "a", slot: int = 0, wanted: str = ""
    ) -> Session:
        """Let a session serve, of a process whose HELLO has these rules."""
        from asgi_tunnel_edge.route import SessionEntry

        session = make_session(self.directory)
        session.attach(Wire())
        entry = SessionEntry(
            session,
            SHOP,
            instance=instance,
            slot=slot,
            wanted=frozenset([wanted] if wanted else []),
            policy=self.directory.policy_of(SHOP.id, rules, ()),
        )
        self.directory.add(entry)
        return session

    def rules(self) -> tuple[PolicyRule, ...]:
        """Those that hold for shop.test."""
        route = self.directory.find("shop.test")
        assert route is not None
        return () if route.policy is None else route.policy.rules

    def leave(self, *sessions: Session) -> None:
        """End sessions."""
        for session in sessions:
            session.terminate(0)  # type: ignore[arg-type]

    def ask(
        self, target: str = "/login", *, host: str = "shop.test", **request: Any
    ) -> Reply | Exchange:
        """Decide about one request; an exchange is started."""
        self.writer = ListWriter()
        visitor = self.guards.visitor_address("192.0.2.7")
        decision = self.dispatcher.dispatch(
            request_of(hostname=host, target=target.encode(), **request),
            ARRIVAL,
            visitor,
            self.writer,
        )
        if not isinstance(decision, Reply):
            decision.start()
        return decision

    def statuses(self, count: int, target: str = "/login", *, host: str = "shop.test") -> list[int]:
        """The statuses of replies to the same request; 0: it goes to the app."""
        found = [self.ask(target, host=host) for _ in range(count)]
        return [one.status if isinstance(one, Reply) else 0 for one in found]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A new one."""
    return Stage(tmp_path)


async def test_rules_hold_for_the_names_of_the_session(stage: Stage) -> None:
    """T111: of a token, and of those that the session serves."""
    stage.join(LOGIN, wanted="shop.test")
    assert stage.statuses(3) == [0, 429, 429]
    assert stage.statuses(3, host="www.shop.test") == [0, 0, 0]
    assert stage.statuses(3, host="blog.test") == [0, 0, 0]


async def test_rules_hold_while_the_app_is_away(stage: Stage) -> None:
    """And a rate goes on when the same rules come again."""
    session = stage.join(LOGIN)
    assert stage.statuses(1) == [0]
    stage.leave(session)
    assert stage.statuses(1) == [429]
    stage.join(LOGIN, instance="b")
    assert stage.statuses(1) == [429]


async def test_the_process_that_came_last_decides(stage: Stage) -> None:
    """Also by wanting nothing; its own sessions say what they say, each time they come."""
    old = stage.join(LOGIN)
    new = stage.join(instance="b")
    assert stage.rules() == ()
    again = stage.join(LOGIN, slot=1)  # the old process has lost a connection
    assert stage.rules() == ()
    stage.leave(old, new, again)
    stage.join(LOGIN, instance="c")
    assert stage.rules() == (LOGIN,)
    stage.join(ADMIN, instance="c", slot=1)
    assert stage.rules() == (ADMIN,)
    assert stage.statuses(1, "/admin") == [503]


async def test_equal_rules_are_compiled_once(stage: Stage) -> None:
    """For all connections of all processes of a token."""
    for number in range(4):
        stage.join(LOGIN, ADMIN, instance=f"i{number // 2}", slot=number % 2)
    policies = {id(entry.policy) for entry in stage.directory.entries}
    route = stage.directory.find("shop.test")
    assert route is not None
    assert policies == {id(route.policy)}


async def test_a_token_that_gains_a_name(stage: Stage) -> None:
    """The rules of its sessions hold there, too."""
    stage.join(LOGIN)
    more = make_token("shop", "shop.test", "www.shop.test", "new.shop.test")
    stage.directory.apply(Snapshot.of(2, [more, BLOG]))
    assert stage.statuses(2, host="new.shop.test") == [0, 429]


async def test_who_waits_when_rules_come(stage: Stage) -> None:
    """T110: an edge that started anew lets nobody past a rule that it did not know yet."""
    waiting = []
    asked: list[tuple[str, dict[str, Any]]] = [
        ("/admin", {}),
        ("/login", {}),
        ("/login", {}),
        ("/public", {}),
        ("/admin", {"websocket_key": b"dGhlIHNhbXBsZSBub25jZQ=="}),
    ]
    for target, request in asked:
        exchange = stage.ask(target, **request)
        assert not isinstance(exchange, Reply)
        assert stage.writer.names == ["hold"]
        waiting.append(stage.writer)
    with contextlib.suppress(NotImplementedError):
        stage.join(LOGIN, ADMIN)
    replies = [writer.replied for writer in waiting]
    assert [None if one is None else one.status for one in replies] == [503, None, 429, None, 503]
    assert replies[0] is not None
    assert replies[0].reason == "access-unknown"


async def test_who_waits_is_asked_once_by_rules_that_stay(stage: Stage) -> None:
    """A restart of the app counts no request twice; other rules do ask, and bounds hold."""
    session = stage.join(PolicyRule(path="/login", rate=2, per=3600.0))
    stage.leave(session)
    assert not isinstance(stage.ask(), Reply)
    writer = stage.writer
    fresh = stage.join(PolicyRule(path="/login", rate=2, per=3600.0), instance="b")
    assert writer.replied is None
    assert stage.statuses(2) == [0, 429]
    stage.leave(fresh)
    exchange = stage.ask("/upload")
    writer = stage.writer
    assert not isinstance(exchange, Reply)
    assert not isinstance(stage.ask("/upload", length=10), Reply)
    large = stage.writer
    assert not isinstance(stage.ask("/upload", length=None), Reply)
    counted = stage.writer  # while it comes, and its beginning was not
    stage.join(PolicyRule(path="/upload", max_body=9, timeout=5.0), instance="c")
    assert (writer.replied, exchange.max_time) == (None, 5.0)
    assert large.replied is not None
    assert large.replied.status == 413
    assert counted.replied is not None
    assert (counted.replied.status, counted.replied.retry_after) == (503, 1)


async def test_bounds_of_an_exchange(stage: Stage) -> None:
    """The stricter of the app's and the edge's, also for a body whose size is not said."""
    stage.join(PolicyRule(path="/up", max_body=9, timeout=2.0))
    exchange = stage.ask("/up", length=None)
    assert isinstance(exchange, HTTPExchange)
    assert (exchange.max_body, exchange.max_time) == (9, 2.0)
    assert stage.ask("/up", length=10) == Reply(413, "the body is larger than 9 bytes")
    other = stage.ask("/other", length=None)
    assert isinstance(other, HTTPExchange)
    assert (other.max_body, other.max_time) == (0, 0)


async def test_a_hidden_name_does_not_show_its_rules(tmp_path: Path) -> None:
    """With ``hide_offline`` what a rule refuses waits, as for a name that no token has."""
    stage = Stage(tmp_path, hide_offline=True)
    session = stage.join(LOGIN, ADMIN)
    assert stage.statuses(2) == [0, 429]
    stage.leave(session)
    assert stage.statuses(2) == [0, 0]
    assert not isinstance(stage.ask("/admin"), Reply)
    refused = stage.writer
    assert refused.names == ["hold"]
    stage.join(LOGIN, ADMIN, instance="b")
    assert refused.replied is None  # it waits on, and gets 503 in the end
