"""Which edge a connection dials, by what was found before; with a clock that a test turns."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.dial import Way, dial
from asgi_tunnel.edges import DOWN, FORGET, LOOK_INTERVAL, MAX_EDGES, SILENCE, SPREAD, Edges
from asgi_tunnel.token import Token

TOKEN_URL = "wss://tunnel.example.org"
A, B, C = (f"wss://192.0.2.{number}:443" for number in (1, 2, 3))
PUBLIC = "1.1.1.1:443"


class Clock:
    """Seconds that a test says."""

    now = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def config(url: str = TOKEN_URL, **more: Any) -> TunnelConfig:
    """Of an app whose token leads there."""
    token = Token(edge=url, id="tok_1", secret="s" * 43)
    return TunnelConfig(token=token, text=token.format(), **more)


def known(*urls: str, instance: str = "one", url: str = TOKEN_URL) -> tuple[Edges, Clock]:
    """Edges whose first connection has reached the first one."""
    clock = Clock()
    edges = Edges(config(url), instance, clock=clock)
    assert edges.choose(0) == url
    assert edges.reached(0, url, urls, peer=PUBLIC) == urls[0]
    return edges, clock


def test_one_edge() -> None:
    """Nothing is named: the token's URL is dialed, failed or not, as long as it takes."""
    edges = Edges(config(), "one")
    for number in (0, 1, 7):
        assert edges.choose(number) == TOKEN_URL
        assert edges.reached(number, TOKEN_URL, (), peer=PUBLIC) == ""
        edges.failed(TOKEN_URL)
        assert edges.choose(number) == TOKEN_URL
        assert edges.patience(TOKEN_URL) is None
        assert edges.way(TOKEN_URL) is None
        assert edges.wanted(number) is None
        assert edges.look_in(number) is None
    assert edges.known == ()
    assert not edges.has_ready
    assert edges.pause() == 0


def test_each_connection_has_its_own() -> None:
    """Two connections, two edges; the first one's is where the token has led to."""
    edges, _ = known(A, B)
    assert edges.known == (A, B)
    assert edges.choose(1) == B
    assert edges.choose(2) == A
    assert edges.way(B) == Way("192.0.2.2", 443, is_public=True)
    assert edges.patience(B) == SILENCE
    assert 0 <= edges.pause() <= SPREAD


def test_apps_spread() -> None:
    """The second connections of many apps of one edge go to all of the others."""
    found = Counter(known(A, B, C, instance=str(number))[0].choose(1) for number in range(200))
    assert set(found) == {B, C}
    assert min(found.values()) > 60


def test_a_new_edge_moves_as_few_as_it_can() -> None:
    """The order of those that were known stays; nobody's first connection moves."""
    moved = 0
    for number in range(100):
        edges, _ = known(A, B, C, instance=str(number))
        before = edges.choose(1)
        edges.reached(1, before, (before, A), peer=PUBLIC)
        new = "wss://192.0.2.4:443"
        edges.reached(0, A, (A, B, C, new), peer=PUBLIC)
        assert edges.wanted(0) is None
        assert edges.wanted(1) in (None, new)
        moved += edges.wanted(1) is not None
    assert 15 < moved < 55  # a third


def test_another_while_one_is_away() -> None:
    """One that has failed is left out for a while, and the one with the fewest is taken."""
    edges, clock = known(A, B, C)
    first = edges.choose(1)
    other = ({B, C} - {first}).pop()
    edges.failed(A)
    assert edges.choose(0, A) == other
    edges.reached(0, other, (other, A), peer=PUBLIC)
    assert edges.known[0] == A
    assert edges.wanted(0) is None  # not yet
    pause = edges.look_in(0)
    assert pause is not None
    assert LOOK_INTERVAL / 2 <= pause <= LOOK_INTERVAL * 1.5
    clock.now += DOWN
    assert edges.wanted(0) == A
    edges.stays(0, other)
    assert edges.wanted(0) == A
    edges.reached(0, A, (A, B, C), peer=PUBLIC)
    assert edges.wanted(0) is None
    assert edges.look_in(0) is None


def test_a_session_goes_on_only_where_it_was() -> None:
    """Its place comes first, whichever that is, until that fails."""
    edges, _ = known(A, B)
    assert edges.choose(0, B) == B
    edges.failed(B)
    assert edges.choose(0, B) == A


def test_when_all_are_away() -> None:
    """Each in turn, and what the token's name leads to now, and with all patience."""
    edges, clock = known(A, B)
    tried = []
    for _ in range(9):
        url = edges.choose(0)
        tried.append(url)
        edges.failed(url)
        clock.now += 0.5
    assert tried[:6] == [A, B, TOKEN_URL] * 2
    assert not edges.has_ready
    assert edges.patience(A) is None
    clock.now += DOWN
    assert edges.has_ready


def test_an_own_edge_that_does_not_come_back() -> None:
    """It is forgotten after ten minutes, and where the app is becomes its place."""
    edges, clock = known(A, B)
    edges.failed(A)
    edges.reached(0, B, (B, C), peer=PUBLIC)
    for _ in range(int(FORGET / 30) + 1):
        clock.now += 30.0
        assert edges.known == (A, B)
        assert edges.wanted(0) in (A, None)
        edges.failed(A)
    assert edges.wanted(0) is None
    assert edges.known == (B, C)


def test_the_list_is_taken_back() -> None:
    """An edge that has left its cluster names nothing, and all is as with one edge."""
    edges, _ = known(A, B)
    assert edges.reached(0, A, (), peer=PUBLIC) == ""
    assert edges.known == ()
    assert edges.choose(1) == TOKEN_URL


def test_change_is_told() -> None:
    """Once for each other list."""
    clock, calls = Clock(), []
    edges = Edges(config(), "one", clock=clock)
    edges.on_change = lambda: calls.append(edges.known)
    for names in ((A, B), (A, B), (A,)):
        edges.reached(0, A, names, peer=PUBLIC)
    assert calls == [(A, B), (A,)]


def test_bounds() -> None:
    """No more than eight are kept, whatever is named."""
    urls = [f"wss://192.0.2.{number}" for number in range(1, 100)]
    edges, clock = known(*urls)
    assert len(edges.known) == MAX_EDGES
    for number, url in enumerate(urls):
        clock.now += 1
        edges.failed(url)
        edges.reached(number % 8, url, urls[number:], peer=PUBLIC)
    assert len(edges.known) == MAX_EDGES
    assert len(edges._named) <= MAX_EDGES + 1
    assert len(edges._down) <= MAX_EDGES + 1


@pytest.mark.parametrize(
    ("token", "named", "kept"),
    [
        (TOKEN_URL, "ws://192.0.2.2:80", False),
        (TOKEN_URL, "wss://192.0.2.2:80/path", False),
        (TOKEN_URL, "wss://user@192.0.2.2", False),
        (TOKEN_URL, "https://192.0.2.2", False),
        (TOKEN_URL, "wss://", False),
        (TOKEN_URL, "wss://[::1", False),
        (TOKEN_URL, "wss://b.example.org/", True),
        ("ws://127.0.0.1:80", "ws://127.0.0.2:80", True),
        ("ws://127.0.0.1:80", "ws://192.0.2.2:80", False),
        ("ws://127.0.0.1:80", "wss://192.0.2.2:80", False),
    ],
)
def test_the_token_is_sent_as_safely_as_before(token: str, named: str, kept: bool) -> None:
    """Never without TLS where the token has it, nor beyond this machine without it."""
    first = "ws://127.0.0.1:81" if token.startswith("ws:") else A
    edges, _ = known(first, named, url=token)
    assert edges.known == ((first, named.removesuffix("/")) if kept else (first,))


def test_an_edge_that_names_itself_wrongly() -> None:
    """Without a place of its own nothing of its list is taken."""
    edges = Edges(config(), "one")
    assert edges.reached(0, TOKEN_URL, ("http://x", B), peer=PUBLIC) == ""
    assert edges.known == ()


@pytest.mark.parametrize(
    ("peer", "is_public"),
    [(PUBLIC, True), ("[2606:4700::1]:443", True), ("", True), ("10.0.0.1:443", False)],
)
def test_who_may_name_private_addresses(peer: str, is_public: bool) -> None:
    """Only an edge that is at one itself."""
    edges = Edges(config(), "one")
    edges.reached(0, TOKEN_URL, (A, B), peer=peer)
    assert edges.way(B) == Way("192.0.2.2", 443, is_public)


async def test_an_edge_on_the_internet_leads_nobody_into_the_home() -> None:
    """A private address that such a one names is not dialed; it is no longer known after that."""
    way = Way("127.0.0.1", 9, is_public=True)
    with pytest.raises(OSError, match="one of a private network"):
        await dial("ws://127.0.0.1:9", "token", way=way)
