from __future__ import annotations

import asyncio
import gc
import itertools
import time
from collections.abc import Callable, Sequence

import msgspec
import pytest

from asgi_tunnel.protocol.codes import DrainReason, GoawayCode, ResetCode
from asgi_tunnel.protocol.connection import Connection, Role, State
from asgi_tunnel.protocol.frames import Buffer, FrameDecoder, FrameType, StreamKind
from asgi_tunnel.protocol.head import Arrival, RequestHead
from asgi_tunnel.protocol.limits import STREAM_ID_DRAIN, Settings, Timing
from asgi_tunnel.session import Session
from asgi_tunnel_edge.address import networks_of
from asgi_tunnel_edge.directory import LocalDirectory
from asgi_tunnel_edge.replies import Reply
from asgi_tunnel_edge.route import (
    ACK_TIMEOUT,
    BULK_RATE,
    CROWD_RATE,
    MAX_WAITING,
    Route,
    SessionEntry,
    Upstream,
    granted_hostnames,
)
from asgi_tunnel_edge.tokens import Snapshot, TokenRecord

ARRIVAL = Arrival(b"http", b"1.1", b"192.0.2.1", 1, b"192.0.2.2", 80)
_numbers = itertools.count()
HEAD = RequestHead(b"GET", b"/", ARRIVAL, b"r", b"shop.test", [])


class Wire:
    """A transport that keeps what was sent."""

    is_writable = True
    buffered = 0
    room = 128 * 1024

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, data: bytes) -> None:
        """Keep it."""
        self.sent.append(data)

    def send_large(self, pieces: Sequence[Buffer]) -> None:
        """The same."""
        self.send(b"".join(pieces))

    def close(self) -> None:
        """Nothing to close."""

    def abort(self) -> None:
        """Nothing to abort."""


class Visitor:
    """Waits, and notes what it hears; ``act`` is done with the session.

    Attributes:
        sessions: What it was resumed with.
        gave_way: Whether it had to.
        woken: Gets it when it is resumed.
    """

    def __init__(self, act: Callable[[Session], object] | None = None) -> None:
        self.sessions: list[Upstream] = []
        self.gave_way = False
        self.woken: list[Visitor] = []
        self._act = act

    def resume(self, session: Upstream) -> None:
        """Note the session."""
        self.sessions.append(session)
        self.woken.append(self)
        if self._act is not None and isinstance(session, Session):
            self._act(session)

    def refuse(self, reply: Reply) -> None:
        """Nothing is checked here."""

    def give_way(self) -> None:
        """Note it."""
        self.gave_way = True


def wait(route: Route, address: str = "192.0.2.1") -> Visitor:
    """Let a visitor wait."""
    visitor = Visitor()
    route.wait(visitor, networks_of(address))
    return visitor


class Ignore:
    """A handler that hears and does nothing."""

    def __getattr__(self, name: str) -> object:
        return lambda *values: None


def make_token(token_id: str, *hostnames: str, revoked_at: int | None = None) -> TokenRecord:
    """A token of some names."""
    return TokenRecord(
        id=token_id,
        name=token_id,
        secret_sha256="",
        hostnames=hostnames,
        created_at=0,
        revoked_at=revoked_at,
    )


SHOP = make_token("shop", "shop.test", "*.shop.test")
BLOG = make_token("blog", "blog.test", "news.shop.test")


def make_directory(*records: TokenRecord) -> LocalDirectory:
    """A directory of these tokens."""
    return LocalDirectory(Snapshot.of(1, records or (SHOP, BLOG)))


def make_session(directory: LocalDirectory) -> Session:
    """A session that has no transport yet, and leaves the directory at its end."""
    settings = Settings()
    now = asyncio.get_running_loop().time()
    connection = Connection(Role.EDGE, local=settings, peer=settings, timing=Timing(), now=now)
    session = Session(connection, session_id=f"id-{next(_numbers)}")
    session.on_end = lambda ended, event: directory.remove(ended)
    return session


def join(
    directory: LocalDirectory,
    token: TokenRecord = SHOP,
    *,
    instance: str = "a",
    slot: int = 0,
    wanted: tuple[str, ...] = (),
    services: tuple[str, ...] = (),
) -> Session:
    """Let a session of ``instance`` hold the token's names."""
    session = make_session(directory)
    session.attach(Wire())
    entry = SessionEntry(
        session,
        token,
        instance=instance,
        slot=slot,
        wanted=frozenset(wanted),
        services=frozenset(services),
    )
    directory.add(entry)
    return session


def open_stream(session: Session) -> int:
    """Put one stream in flight."""
    return session.open_stream(StreamKind.HTTP, HEAD, Ignore(), end=True)  # type: ignore[arg-type]


def serve_crowd(session: Session) -> None:
    """Put as many streams through as a crowd has in a quarter of a second; none stays."""
    for _ in range(CROWD_RATE // 4 + 1):
        session.reset_stream(open_stream(session), ResetCode.CANCELLED)


async def test_exact_name_beats_the_wildcard_of_another_token() -> None:
    """T29: a wildcard serves what nobody has by name, one label deep, and nothing else."""
    directory = make_directory()
    owners = {
        name: None if (route := directory.find(name)) is None else route.token_id
        for name in ("shop.test", "a.shop.test", "news.shop.test", "a.b.shop.test", "evil.test")
    }
    assert owners == {
        "shop.test": "shop",
        "a.shop.test": "shop",
        "news.shop.test": "blog",
        "a.b.shop.test": None,
        "evil.test": None,
    }


async def test_pool_gives_a_stream_to_the_least_busy() -> None:
    """Instances of one token share its names, least in flight first."""
    directory = make_directory()
    first, second = join(directory), join(directory, instance="b")
    route = directory.find("shop.test")
    assert route is not None
    open_stream(first)
    assert route.choose() is second
    open_stream(second)
    open_stream(second)
    assert route.choose() is first
    assert route.choose(avoid=first) is second


async def test_small_exchanges_avoid_a_bulk_transfer() -> None:
    """Of one process's connections the one without bulk comes first; processes share alike."""
    directory = make_directory()
    bulk, other = join(directory), join(directory, slot=1)
    route = directory.find("shop.test")
    assert route is not None
    directory.sample_throughput(0.0)
    bulk.streamed += 1_000_000
    directory.sample_throughput(0.25)
    for _ in range(3):
        assert route.choose() is other
        open_stream(other)
    assert route.choose(avoid=other) is bulk
    neighbour = join(directory, instance="b")
    neighbour.streamed += 1_000_000
    directory.sample_throughput(0.5)  # `bulk` has streamed nothing in between, `neighbour` has
    assert route.choose() is bulk
    open_stream(bulk)
    assert route.choose() is neighbour


async def test_a_crowd_stays_on_one_connection() -> None:
    """Many exchanges of a process stay together, but not beside bulk; processes share alike."""
    directory = make_directory()
    first, second = join(directory), join(directory, slot=1)
    route = directory.find("shop.test")
    assert route is not None
    directory.sample_throughput(0.0)
    serve_crowd(second)
    open_stream(second)
    assert route.choose() is first
    directory.sample_throughput(0.25)
    assert route.choose() is second
    second.streamed += 1_000_000
    serve_crowd(second)
    directory.sample_throughput(0.5)
    assert route.choose() is first  # behind bulk it would wait
    serve_crowd(second)
    directory.sample_throughput(0.75)
    assert route.choose() is second
    directory.sample_throughput(1.0)
    assert route.choose() is first  # the crowd has gone
    serve_crowd(second)
    directory.sample_throughput(1.25)
    assert route.choose() is second
    other = join(directory, instance="b")
    open_stream(first)
    assert route.choose() is other  # processes share alike


async def test_choice_does_not_depend_on_the_order_of_arrival() -> None:
    """A process's quiet connection is no better than another process that has less to do."""
    for places in itertools.permutations([("a", 0), ("a", 1), ("b", 0)]):
        directory = make_directory()
        sessions = {place: join(directory, instance=place[0], slot=place[1]) for place in places}
        directory.sample_throughput(0.0)
        sessions["a", 0].streamed += 1_000_000
        directory.sample_throughput(0.25)
        for place, streams in ((("a", 1), 3), (("b", 0), 1)):
            for _ in range(streams):
                open_stream(sessions[place])
        route = directory.find("shop.test")
        assert route is not None
        assert route.choose() is sessions["b", 0], places


@pytest.mark.parametrize(("size", "seconds", "is_busy"), [(0.9, 0.25, False), (1.1, 0.25, True)])
async def test_busy_is_a_rate(size: float, seconds: float, is_busy: bool) -> None:
    """Whether a session is busy depends on bytes a second, not on how late the timer was."""
    directory = make_directory()
    session = join(directory)
    for late in (1, 4):
        start = 100.0 * late
        directory.sample_throughput(start)
        session.streamed += int(BULK_RATE * size * seconds * late)
        directory.sample_throughput(start + seconds * late)
        assert [entry.is_busy for entry in directory.entries] == [is_busy]


async def test_stale_session_is_replaced_at_once() -> None:
    """A new session of the same instance and slot ends the old one; other instances stay."""
    directory = make_directory()
    stale, other = join(directory), join(directory, instance="b")
    fresh = join(directory)
    assert stale.is_over
    assert {entry.session for entry in directory.entries} == {other, fresh}


async def test_session_without_transport_gets_no_stream() -> None:
    """A suspended session keeps its streams and is given no new one; attached, it is again."""
    directory = make_directory()
    session = join(directory)
    route = directory.find("shop.test")
    assert route is not None
    session.transport_lost(session._transport, None)  # type: ignore[arg-type]
    assert session.connection.state is State.SUSPENDED
    assert route.choose() is None
    visitor = wait(route)
    assert session.resume(Wire(), 0)
    directory.attached(session)
    assert visitor.sessions == [session]
    assert not route.has_waiting


async def test_a_lost_session_is_known_by_its_token() -> None:
    """Whether somebody may want to resume is asked of the token's own sessions alone."""
    directory = make_directory()
    session, other = join(directory), join(directory, BLOG)
    assert not directory.has_lost("shop")
    other.transport_lost(other._transport, None)  # type: ignore[arg-type]
    assert [directory.has_lost(name) for name in ("shop", "blog")] == [False, True]
    session.transport_lost(session._transport, None)  # type: ignore[arg-type]
    assert directory.has_lost("shop")
    assert session.resume(Wire(), 0)
    assert not directory.has_lost("shop")


async def test_what_a_session_keeps_is_all_of_it() -> None:
    """What is queued, what the peer has not acknowledged, and what the transport has not sent."""
    directory = make_directory()
    session = join(directory)
    before = session.buffered
    stream = session.open_stream(StreamKind.HTTP, HEAD, Ignore(), end=False)  # type: ignore[arg-type]
    opened = session.buffered
    assert opened > before
    session.send_data(stream, b"x" * 50_000)
    assert session.buffered >= opened + 50_000
    await asyncio.sleep(0)  # it is handed to the transport, and kept until it is acknowledged
    assert session.buffered >= opened + 50_000
    transport = session._transport
    assert isinstance(transport, Wire)
    transport.buffered = 7
    kept = session.buffered
    session.data_received(b"\x00\x01\x00")
    assert session.buffered == kept + 3
    transport.buffered = 0
    assert session.buffered == kept - 4


async def test_waiting_visitors_are_woken_in_order() -> None:
    """Who came first is served first, whatever its address; who has left is not served."""
    directory = make_directory()
    route = directory.find("shop.test")
    assert route is not None
    woken: list[Visitor] = []
    visitors = [Visitor() for _ in range(20)]
    for number, visitor in enumerate(visitors):
        visitor.woken = woken
        route.wait(visitor, networks_of(f"192.0.2.{number % 3}"))
    route.give_up(visitors[1])
    join(directory)
    assert woken == [visitors[0], *visitors[2:]]
    assert not route.has_waiting


async def test_two_addresses_do_not_take_all_waiting_places() -> None:
    """Another visitor is let in; the oldest of the address that has the most gives way."""
    directory = make_directory()
    route = directory.find("shop.test")
    assert route is not None
    first = [wait(route, "192.0.2.1") for _ in range(MAX_WAITING // 2)]
    second = [wait(route, "192.0.2.2") for _ in range(MAX_WAITING // 2)]
    good = wait(route, "198.51.100.1")
    assert [one.gave_way for one in first] == [True] + [False] * (len(first) - 1)
    more = [wait(route, "192.0.2.1") for _ in range(50)]  # they take each other's places now
    assert not good.gave_way
    join(directory)
    everybody = [*first, *second, *more, good]
    assert sum(bool(one.sessions) for one in everybody) == MAX_WAITING
    assert all(bool(one.sessions) is not one.gave_way for one in everybody)
    assert good.sessions


async def test_one_address_has_half_of_the_waiting_places() -> None:
    """Its oldest gives way to its newest above that, and others' places are free."""
    directory = make_directory()
    route = directory.find("shop.test")
    assert route is not None
    crowd = [wait(route, "192.0.2.1") for _ in range(MAX_WAITING // 2 + 7)]
    assert [one.gave_way for one in crowd] == [True] * 7 + [False] * (MAX_WAITING // 2)


async def test_a_large_ipv6_network_does_not_take_all_waiting_places() -> None:
    """A /64 for each request: they are one /48, and that gives way."""
    directory = make_directory()
    route = directory.find("shop.test")
    assert route is not None
    many = [wait(route, f"2001:db8:1:{number:x}::1") for number in range(2 * MAX_WAITING)]
    good = [wait(route, "198.51.100.1"), wait(route, "2001:db8:2::1")]
    many += [wait(route, f"2001:db8:1:{number:x}::2") for number in range(MAX_WAITING)]
    assert not any(one.gave_way for one in good)
    assert sum(not one.gave_way for one in many) == MAX_WAITING - len(good)


async def test_an_edge_that_ends_gives_no_session_any_more() -> None:
    """While one session after the other ends, nobody is placed on the next, old or new."""
    directory = make_directory()
    first, second = join(directory), join(directory, instance="b")
    route = directory.find("shop.test")
    assert route is not None
    visitor = wait(route)
    directory.close()
    assert route.is_closed
    first.terminate(GoawayCode.SHUTDOWN)
    directory.wake_all()
    assert route.choose(avoid=first) is None
    second.terminate(GoawayCode.SHUTDOWN)
    assert not visitor.sessions


async def test_revoked_token_ends_its_sessions() -> None:
    """A snapshot without the token, or with it revoked, ends what came in with it alone."""
    directory = make_directory()
    shop, blog = join(directory), join(directory, BLOG, instance="b")
    directory.apply(Snapshot.of(2, (make_token("shop", "shop.test", revoked_at=1), BLOG)))
    assert shop.is_over
    assert not blog.is_over
    assert directory.find("shop.test") is None
    directory.apply(Snapshot.of(3, ()))
    assert blog.is_over


async def test_name_that_moves_moves_at_once() -> None:
    """A hostname that another token owns now is served by that token's sessions only."""
    directory = make_directory()
    join(directory)
    blog = join(directory, BLOG, instance="b")
    directory.apply(
        Snapshot.of(2, (make_token("shop", "other.test"), make_token("blog", "shop.test")))
    )
    route = directory.find("shop.test")
    assert route is not None
    assert route.choose() is blog


async def test_session_is_renewed_before_its_ids_run_out() -> None:
    """T43: the app is asked for a fresh session, and the old one ends once it is empty."""
    directory = make_directory()
    session = join(directory)
    wire = session._transport
    assert isinstance(wire, Wire)
    session.connection.streams._table.last_id = STREAM_ID_DRAIN - 1
    stream_id = open_stream(session)
    directory.renew()
    session._flush()
    frames = FrameDecoder().feed(b"".join(wire.sent))
    drains = [frame for frame in frames if frame.type == FrameType.DRAIN]
    assert [frame.payload[0] for frame in drains] == [DrainReason.RENEW]
    route = directory.find("shop.test")
    assert route is not None
    assert route.choose() is None
    directory.renew()
    assert not session.is_over
    session.reset_stream(stream_id, ResetCode.CANCELLED)
    directory.renew()
    assert session.is_over


async def test_session_is_renewed_for_other_end_to_end_hostnames() -> None:
    """Only WELCOME names them; for a hostname that the edge reads all goes on."""
    directory = make_directory()
    session, other = join(directory), join(directory, BLOG)
    more = (*SHOP.hostnames, "more.test")
    directory.apply(Snapshot.of(2, [msgspec.structs.replace(SHOP, hostnames=more), BLOG]))
    directory.renew()
    directory.renew()
    assert [one.is_over for one in (session, other)] == [False, False]
    end_to_end = msgspec.structs.replace(SHOP, hostnames=more, end_to_end=("more.test",))
    directory.apply(Snapshot.of(3, [end_to_end, BLOG]))
    directory.renew()
    directory.renew()
    fresh = join(directory, end_to_end)
    directory.renew()
    directory.renew()
    assert [one.is_over for one in (session, other, fresh)] == [True, False, False]


async def test_all_sessions_are_renewed() -> None:
    """Each app is asked once for a fresh session, and the old one ends once it is empty."""
    directory = make_directory()
    session = join(directory)
    stream_id = open_stream(session)
    assert directory.renew_all(0.5) == 1
    assert directory.renew_all(0.5) == 0
    fresh = join(directory)
    directory.renew()
    assert directory.entry_of(session) is not None
    session.reset_stream(stream_id, ResetCode.CANCELLED)
    directory.renew()
    assert directory.entry_of(session) is None
    assert directory.entry_of(fresh) is not None


async def test_routing_is_the_same_with_one_and_with_a_thousand_names() -> None:
    """T28: each of a thousand names leads to its own token's session, and a near miss to none."""
    for count in (1, 1000):
        tokens = [make_token(f"token{n}", f"app{n}.test") for n in range(count)]
        directory = make_directory(*tokens)
        sessions = [join(directory, token, instance=token.id) for token in tokens]
        for number, session in enumerate(sessions):
            route = directory.find(f"app{number}.test")
            assert route is not None
            assert route.choose() is session
            for near in (f"app{number}.test.", f"xapp{number}.test", f"app{number}.tes"):
                assert directory.find(near) is None
        assert directory.find(f"app{count}.test") is None


async def test_a_session_is_found_by_its_id_and_token() -> None:
    """T33: an id is of use only with the token that the session came with, until it is over."""
    directory = make_directory()
    session, draining = join(directory), join(directory, slot=1)

    def find(session_id: str, token_id: str = "shop") -> Session | None:
        entry = directory.find_entry(session_id, token_id)
        return None if entry is None else entry.session

    assert find(session.session_id) is session
    assert find(session.session_id, "blog") is None
    assert find("other") is None
    directory.draining(draining)
    fresh = join(directory, slot=1)
    assert not draining.is_over  # it has said itself that it goes
    assert find(draining.session_id) is draining
    draining.terminate(GoawayCode.NO_ERROR)
    newest = join(directory, slot=1)
    assert fresh.is_over
    assert {entry.session for entry in directory.entries} == {session, newest}
    assert find(fresh.session_id) is None
    for one in (session, newest):
        one.terminate(GoawayCode.NO_ERROR)
    assert len(directory) == 0
    route = directory.find("shop.test")
    assert route is not None
    assert not route.entries


async def test_who_is_woken_may_end_the_session() -> None:
    """A session that ends while its first name's visitors are woken is left on no other route."""
    directory = make_directory()
    first, second = (directory.find(name) for name in ("shop.test", "a.shop.test"))
    assert first is not None
    assert second is not None
    first.wait(Visitor(lambda one: one.terminate(GoawayCode.PROTOCOL_ERROR)), ("192.0.2.1",))
    join(directory)
    assert not [*first.entries, *second.entries]


@pytest.mark.parametrize("tokens", ["one", "many"])
async def test_a_storm_costs_each_session_the_same(tokens: str) -> None:
    """Eight times the sessions come and go in about eight times the CPU time.

    A scan of all of them for each one would take 64 times as long.
    """

    def cost(size: int) -> float:
        records = [make_token(f"t{n}", f"a{n}.test") for n in range(size)]
        if tokens == "one":
            records = records[:1] * size
        directory = LocalDirectory(Snapshot.of(1, records))
        entries = [
            SessionEntry(make_session(directory), record, instance=f"i{n}", slot=0)
            for n, record in enumerate(records)
        ]
        started = time.process_time()
        for entry in entries:
            directory.add(entry)
            assert len(directory)
            assert directory.has_lost(entry.token.id)
            assert directory.find_entry(entry.session.session_id, entry.token.id)
            directory.attached(entry.session)
        directory.apply(Snapshot.of(2, records))
        for entry in entries:
            directory.remove(entry.session)
        return time.process_time() - started

    gc.collect()
    gc.disable()
    try:
        small, large = (min(cost(size) for _ in range(3)) for size in (500, 4_000))
    finally:
        gc.enable()
    assert large < 24 * small, (small, large)


async def test_a_session_is_an_upstream() -> None:
    """What exchanges ask for is what a session has; a type checker reads this too."""
    upstream: Upstream = join(make_directory())
    stream_id = upstream.open_stream(StreamKind.HTTP, HEAD, Ignore(), end=False)  # type: ignore[arg-type]
    assert upstream.send_data(stream_id, b"x")
    upstream.reset_stream(stream_id, ResetCode.CANCELLED)


def serving(directory: LocalDirectory, *hostnames: str) -> list[set[Session] | None]:
    """Who serves each of these names; None for one that no token has."""
    routes = [directory.find(hostname) for hostname in hostnames]
    return [
        None if route is None else {entry.session for entry in route.entries} for route in routes
    ]


async def test_session_serves_what_it_wanted() -> None:
    """Two processes with one token share its names; one that wanted none of them has all."""
    directory = make_directory()
    one = join(directory, wanted=("shop.test",))
    below = join(directory, instance="b", wanted=("*.shop.test",))
    assert serving(directory, "shop.test", "a.shop.test") == [{one}, {below}]
    every = join(directory, instance="c")
    assert serving(directory, "shop.test", "a.shop.test") == [{one, every}, {below, every}]
    one.terminate(GoawayCode.NO_ERROR)
    every.terminate(GoawayCode.NO_ERROR)
    assert serving(directory, "shop.test", "a.shop.test") == [set(), {below}]


async def test_wanted_names_come_and_go_with_the_token() -> None:
    """A session that wanted none follows its token; another keeps to what it wanted."""
    directory = make_directory()
    every = join(directory)
    some = join(directory, instance="b", wanted=("shop.test",))
    names = ("shop.test", "more.test")
    directory.apply(Snapshot.of(2, (make_token("shop", *names),)))
    assert serving(directory, *names) == [{every, some}, {every}]
    directory.apply(Snapshot.of(3, (make_token("shop", "more.test"),)))
    assert serving(directory, *names) == [None, {every}]
    assert not some.is_over
    entries = {entry.session: entry.hostnames for entry in directory.entries}
    assert entries == {every: ("more.test",), some: ()}
    directory.apply(Snapshot.of(4, (make_token("shop", *names), BLOG)))
    assert serving(directory, *names) == [{every, some}, {every}]
    some.terminate(GoawayCode.NO_ERROR)
    assert serving(directory, *names) == [{every}, {every}]


@pytest.mark.parametrize(
    ("services", "granted"),
    [
        ((), ("shop.test", "*.shop.test", "more.test")),
        (("shop.test", "elsewhere.test", "not a name"), ("shop.test",)),
        (("a.shop.test",), ("*.shop.test",)),  # the wildcard that it has: no name below is its own
        (("*.test",), ("shop.test", "more.test")),
        (("*.shop.test", "a.b.shop.test"), ("*.shop.test",)),
        (("elsewhere.test",), ()),
    ],
)
def test_what_fits_services_is_granted(services: tuple[str, ...], granted: tuple[str, ...]) -> None:
    """Of the token's names, and of those that are wanted."""
    token = make_token("shop", "shop.test", "*.shop.test", "more.test")
    assert granted_hostnames(token, frozenset(), frozenset(services)) == granted
    some = tuple(name for name in granted if name == "shop.test")
    assert granted_hostnames(token, frozenset(["shop.test"]), frozenset(services)) == some


async def test_services_follow_the_token() -> None:
    """A name that the token gets later is served by who has something behind it."""
    directory = make_directory()
    one = join(directory, services=("shop.test", "late.test"))
    two = join(directory, instance="b", services=("*.shop.test",))
    assert serving(directory, "shop.test", "a.shop.test") == [{one}, {two}]
    names = ("shop.test", "*.shop.test", "late.test")
    directory.apply(Snapshot.of(2, (make_token("shop", *names),)))
    assert serving(directory, *names) == [{one}, {two}, {one}]


async def test_who_serves_a_name_hears_of_another_group() -> None:
    """One session of each instance is renewed, once; WELCOME has told the newcomer itself."""
    directory = make_directory()
    join(directory)
    join(directory, slot=1)
    join(directory, instance="b", wanted=("*.shop.test",))

    def renewed() -> list[tuple[str, int]]:
        return [(one.instance, one.slot) for one in directory.entries if one.is_renewed]

    newcomer = SessionEntry(
        make_session(directory), SHOP, instance="c", slot=0, wanted=frozenset(["shop.test"])
    )
    directory.add(newcomer)
    for _ in range(2):
        directory.tell_shared(newcomer)
        assert renewed() == [("a", 0)]  # "b" serves another name
    told = SessionEntry(make_session(directory), SHOP, instance="d", slot=0, shared=("shop.test",))
    told.session.attach(Wire())
    directory.add(told)
    directory.tell_shared(newcomer)
    assert renewed() == [("a", 0)]
    (asked,) = [one for one in directory.entries if one.is_renewed]
    directory.renew()
    assert asked.is_draining
    directory.renew()
    assert asked.session.is_over  # nothing was in progress


async def test_app_that_renews_its_session() -> None:
    """The old one ends once it is empty, as one that the edge has renewed."""
    directory = make_directory()
    session = join(directory)
    directory.draining(session)
    directory.renew()
    assert not session.is_over
    directory.draining(session, is_renewed=True)
    directory.renew()
    assert session.is_over


async def test_names_that_another_group_serves() -> None:
    """Ready sessions of another group count; those that drain or are lost do not."""
    directory = make_directory()
    session = join(directory)
    (entry,) = directory.entries
    names = entry.hostnames
    shared = directory.shared_hostnames
    assert shared(entry.token.id, entry.group, names) == ()
    assert shared(entry.token.id, "other", names) == names
    assert shared(entry.token.id, "other", ("else.test",)) == ()
    assert shared("tok_other", "other", names) == ()
    directory.draining(session)
    assert shared(entry.token.id, "other", names) == ()


async def test_a_session_that_acknowledges_nothing_ends() -> None:
    """Not while its connection is lost, nor as long as an ACK comes now and then."""
    directory = LocalDirectory(Snapshot.of(1, [SHOP]))
    session = make_session(directory)
    session.attach(Wire())
    directory.add(SessionEntry(session, SHOP, instance="i", slot=0))
    replay = session.connection.sequence.replay
    replay.append(bytes(1024 * 1024), 1)
    for now in (100.0, 100.0 + ACK_TIMEOUT - 0.1):
        directory.end_unacknowledged(now)
        assert not session.is_over
    replay.append(bytes(1024 * 1024), 1)
    replay.acknowledge(1)
    directory.end_unacknowledged(100.0 + ACK_TIMEOUT)
    assert not session.is_over
    directory.end_unacknowledged(100.0 + 2 * ACK_TIMEOUT + 0.1)
    assert session.is_over


async def test_sessions_with_an_old_secret_end_with_its_overlap() -> None:
    """Those with the new one stay; an older one than both ends as soon as the store says so."""
    now = int(time.time())
    shop = msgspec.structs.replace(SHOP, secret_sha256="one")
    directory = make_directory(shop, BLOG)
    old = join(directory, shop)
    rotated = msgspec.structs.replace(
        shop, secret_sha256="two", old_secret_sha256="one", old_until=now + 3600
    )
    directory.apply(Snapshot.of(2, [rotated, BLOG]))
    new = join(directory, rotated, instance="b")
    directory.end_expired(now + 3599)
    assert not old.is_over
    directory.end_expired(now + 3600)
    assert (old.is_over, new.is_over) == (True, False)
    again = msgspec.structs.replace(
        rotated, secret_sha256="three", old_secret_sha256="two", old_until=now - 1
    )
    directory.apply(Snapshot.of(3, [again, BLOG]))
    assert new.is_over


async def test_which_tokens_were_used() -> None:
    """Those with a session now, and those whose session has ended since the last look."""
    directory = make_directory()
    assert directory.take_used() == set()
    session = join(directory)
    join(directory, BLOG)
    assert directory.take_used() == {"shop", "blog"}
    session.terminate(GoawayCode.NO_ERROR, "")
    assert directory.take_used() == {"shop", "blog"}
    assert directory.take_used() == {"blog"}


class Others:
    """Other nodes, which note what they are told."""

    def __init__(self) -> None:
        self.held: list[str] = []

    def elsewhere(self, route: Route) -> None:
        """They have nothing."""

    def hold(self, hostname: str) -> None:
        """Note it."""
        self.held.append(hostname)

    def release(self, hostname: str) -> None:
        """Note it."""
        self.held.remove(hostname)


async def test_who_leaves_is_sent_nothing_any_more() -> None:
    """What its sessions serve is withdrawn at once, and no late session is told of."""
    directory, others = make_directory(), Others()
    directory.join(others)  # type: ignore[arg-type]
    join(directory)
    assert sorted(others.held) == ["*.shop.test", "shop.test"]
    directory.withdraw()
    assert others.held == []
    join(directory, instance="b")
    join(directory, BLOG)
    directory.withdraw()
    assert others.held == []
