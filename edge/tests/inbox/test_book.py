from __future__ import annotations

import pytest

from asgi_tunnel.protocol.head import Arrival, Fields, RequestHead
from asgi_tunnel_edge.inbox.book import (
    MAX_HELD,
    Book,
    delivered_fields,
    request_id_of,
    settles,
)
from asgi_tunnel_edge.inbox.journal import Journal
from asgi_tunnel_edge.route import Route
from asgi_tunnel_edge.settings.inbox import InboxConfig
from asgi_tunnel_edge.storage.inbox import InboxRecord, Lane

LANE = Lane("tok_1", "shop.a.test", "POST /hooks")
ARRIVAL = Arrival(b"https", b"1.1", b"203.0.113.7", 1, b"192.0.2.1", 443)


def head(*fields: tuple[bytes, bytes], target: bytes = b"/hooks") -> RequestHead:
    """A request's."""
    found: Fields = [(b"host", b"shop.a.test"), *fields]
    return RequestHead(b"POST", target, ARRIVAL, b"id", b"shop.a.test", found)


@pytest.fixture
async def book() -> Book:
    """One that writes nothing."""
    journal = Journal.__new__(Journal)
    routes = {"shop.a.test": Route("shop.a.test", "tok_1")}
    config = InboxConfig(max_requests=2, max_bytes=1048576)
    return Book(config, journal, routes.get, lambda _: None)


@pytest.mark.parametrize(
    ("status", "is_settled"),
    [(200, True), (204, True), (302, True), (400, True), (410, True)]
    + [(one, False) for one in (408, 425, 429, 500, 503)],
)
def test_what_settles_a_request(status: int, is_settled: bool) -> None:
    """What an app may want later is delivered again."""
    assert settles(status) is is_settled


def test_ids_of_what_a_sender_names() -> None:
    """The same for the same; another one for another name, content, place, token or field."""
    named = head((b"webhook-id", b"msg_1"))
    one = request_id_of(LANE, named, b"body")
    assert one == request_id_of(LANE, named, b"body")
    others = {
        request_id_of(LANE, named, b"body2"),
        request_id_of(LANE, head((b"webhook-id", b"msg_2")), b"body"),
        request_id_of(LANE, head((b"webhook-id", b"msg_1"), target=b"/x"), b"body"),
        request_id_of(LANE._replace(token_id="tok_2"), named, b"body"),
        request_id_of(LANE, head((b"webhook-id", b"msg_1b")), b"ody"),
        request_id_of(LANE, head(), b"body"),
        request_id_of(LANE, head(), b"body"),
    }
    assert len(others | {one}) == 8
    github = head((b"x-github-delivery", b"1"), (b"webhook-id", b"msg_1"))
    assert request_id_of(LANE, github, b"body") == one  # the first of the known names


def test_fields_of_a_delivery() -> None:
    """Id, second and attempt."""
    record = InboxRecord("0f", LANE, 1_700_000_000_900_000_000, 1, b"")
    assert [value for _, value in delivered_fields(record, 2)] == [b"0f", b"1700000000", b"2"]


async def test_room_in_the_store(book: Book) -> None:
    """For each token, by number and by bytes; what is gone makes room."""
    assert book.admit("tok_1", 600_000)
    assert not book.admit("tok_1", 600_000)
    assert book.admit("tok_1", 10)
    assert not book.admit("tok_1", 10)
    assert book.admit("tok_2", 10)
    assert (book.waiting, book.refused) == (3, 2)
    book.written("tok_1", 600_000, is_new=True)
    book.release("tok_1", 600_000)
    assert book.admit("tok_1", 600_000)
    book.written("tok_1", 600_000, is_new=False)
    assert book.admit("tok_1", 1)
    book.recount({"tok_1": (1, 5)})  # of the three that are on their way it had seen none
    assert book.waiting == 4
    assert not book.admit("tok_1", 1)
    for token_id, size in (("tok_1", 10), ("tok_1", 1), ("tok_2", 10)):
        book.written(token_id, size, is_new=True)
    book.recount({})
    assert book.waiting == 0
    book.release("tok_1", 10)  # of one that the store has not shown
    assert book.admit("tok_1", 1)


async def test_room_in_memory(book: Book) -> None:
    """For each token, and for all."""
    tokens = [f"tok_{number}" for number in range(9)]
    taken = [book.hold(one, MAX_HELD) for one in tokens]
    assert taken == [True] * 8 + [False]
    assert not book.hold("tok_0", 1)
    for one in tokens[:8]:
        book.let_go(one, MAX_HELD)
    assert book.held == 0
    assert book.hold("tok_8", MAX_HELD)


async def test_numbers_grow(book: Book) -> None:
    """Also within one tick of the clock."""
    found = [book.next_seq() for _ in range(1000)]
    assert found == sorted(set(found))


async def test_the_route_of_a_lane(book: Book) -> None:
    """As long as its token has the hostname, and the edge reads what is sent to it."""
    route = book.route(LANE)
    assert route is not None
    assert book.route(LANE._replace(token_id="tok_2")) is None
    assert book.route(LANE._replace(hostname="other.a.test")) is None
    route.is_end_to_end = True
    assert book.route(LANE) is None
