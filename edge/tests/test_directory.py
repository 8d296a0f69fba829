from __future__ import annotations

import asyncio

from asgi_tunnel.protocol.codes import DrainReason, ResetCode
from asgi_tunnel.protocol.connection import Connection, Role, State
from asgi_tunnel.protocol.frames import FrameDecoder, FrameType, StreamKind
from asgi_tunnel.protocol.head import Arrival, RequestHead
from asgi_tunnel.protocol.limits import STREAM_ID_DRAIN, Settings, Timing
from asgi_tunnel.session import Session
from asgi_tunnel_edge.directory import MAX_WAITING, Holder, Registry
from asgi_tunnel_edge.tokens import Snapshot, TokenRecord

ARRIVAL = Arrival(b"http", b"1.1", b"192.0.2.1", 1, b"192.0.2.2", 80)
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

    def close(self) -> None:
        """Nothing to close."""

    def abort(self) -> None:
        """Nothing to abort."""


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


def make_registry(*records: TokenRecord) -> Registry:
    """A registry of these tokens."""
    return Registry(Snapshot.of(1, records or (SHOP, BLOG)))


def join(
    registry: Registry, token: TokenRecord = SHOP, *, instance: str = "a", slot: int = 0
) -> Session:
    """Let a session of ``instance`` hold the token's names."""
    settings = Settings()
    now = asyncio.get_running_loop().time()
    connection = Connection(Role.EDGE, local=settings, peer=settings, timing=Timing(), now=now)
    session = Session(connection, session_id=instance + "-id", name=instance)
    session.on_end = lambda ended, event: registry.remove(ended)
    session.attach(Wire())
    registry.add(Holder(session, token, instance=instance, slot=slot))
    return session


def open_stream(session: Session) -> int:
    """Put one stream in flight."""
    return session.open_stream(StreamKind.HTTP, HEAD, Ignore(), end=True)  # type: ignore[arg-type]


async def test_exact_name_beats_the_wildcard_of_another_token() -> None:
    """T29: a wildcard serves what nobody has by name, one label deep, and nothing else."""
    registry = make_registry()
    owners = {
        name: None if (route := registry.find(name)) is None else route.token_id
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
    registry = make_registry()
    first, second = join(registry), join(registry, instance="b")
    route = registry.find("shop.test")
    assert route is not None
    open_stream(first)
    assert route.choose() is second
    open_stream(second)
    open_stream(second)
    assert route.choose() is first
    assert route.choose(avoid=first) is second


async def test_small_exchanges_avoid_a_bulk_transfer() -> None:
    """Of one process's connections the one without bulk comes first; processes share alike."""
    registry = make_registry()
    bulk, other = join(registry), join(registry, slot=1)
    route = registry.find("shop.test")
    assert route is not None
    bulk.moved += 1_000_000
    registry.look()
    for _ in range(3):
        assert route.choose() is other
        open_stream(other)
    assert route.choose(avoid=other) is bulk
    neighbour = join(registry, instance="b")
    neighbour.moved += 1_000_000
    registry.look()  # `bulk` has moved nothing since the last look, `neighbour` has
    assert route.choose() is bulk
    open_stream(bulk)
    assert route.choose() is neighbour


async def test_ghost_goes_at_once() -> None:
    """A new session of the same instance and slot ends the old one; other instances stay."""
    registry = make_registry()
    ghost, other = join(registry), join(registry, instance="b")
    fresh = join(registry)
    assert ghost.is_over
    assert {holder.session for holder in registry.holders} == {other, fresh}


async def test_session_without_transport_gets_no_stream() -> None:
    """A suspended session keeps its streams and is given no new one; attached, it is again."""
    registry = make_registry()
    session = join(registry)
    route = registry.find("shop.test")
    assert route is not None
    session.transport_lost(session._transport, None)  # type: ignore[arg-type]
    assert session.connection.state is State.SUSPENDED
    woken: list[Session] = []
    assert route.choose() is None
    assert route.wait(woken.append)
    assert session.resume(Wire(), 0)
    registry.attached(session)
    assert woken == [session]


async def test_a_lost_session_is_known_by_its_token() -> None:
    """Whether somebody may want to resume is asked of the token's own sessions alone."""
    registry = make_registry()
    session, other = join(registry), join(registry, BLOG)
    assert not registry.has_lost("shop")
    other.transport_lost(other._transport, None)  # type: ignore[arg-type]
    assert [registry.has_lost(name) for name in ("shop", "blog")] == [False, True]
    session.transport_lost(session._transport, None)  # type: ignore[arg-type]
    assert registry.has_lost("shop")
    assert session.resume(Wire(), 0)
    assert not registry.has_lost("shop")


async def test_what_a_session_keeps_is_all_of_it() -> None:
    """What is queued, what the peer has not acknowledged, and what the transport has not sent."""
    registry = make_registry()
    session = join(registry)
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


async def test_waiting_visitors_are_bounded_and_woken_in_order() -> None:
    """The room for visitors that wait has an end; who came first is served first."""
    registry = make_registry()
    route = registry.find("shop.test")
    assert route is not None
    woken: list[int] = []
    resumes = [lambda session, number=number: woken.append(number) for number in range(MAX_WAITING)]
    assert all(route.wait(resume) for resume in resumes)
    assert not route.wait(lambda session: None)
    route.give_up(resumes[1])
    join(registry)
    assert woken[:2] == [0, 2]
    assert len(woken) == MAX_WAITING - 1


async def test_revoked_token_ends_its_sessions() -> None:
    """A snapshot without the token, or with it revoked, ends what came in with it alone."""
    registry = make_registry()
    shop, blog = join(registry), join(registry, BLOG, instance="b")
    registry.apply(Snapshot.of(2, (make_token("shop", "shop.test", revoked_at=1), BLOG)))
    assert shop.is_over
    assert not blog.is_over
    assert registry.find("shop.test") is None
    registry.apply(Snapshot.of(3, ()))
    assert blog.is_over


async def test_name_that_moves_moves_at_once() -> None:
    """A hostname that another token owns now is served by that token's sessions only."""
    registry = make_registry()
    join(registry)
    blog = join(registry, BLOG, instance="b")
    registry.apply(
        Snapshot.of(2, (make_token("shop", "other.test"), make_token("blog", "shop.test")))
    )
    route = registry.find("shop.test")
    assert route is not None
    assert route.choose() is blog


async def test_session_is_renewed_before_its_ids_run_out() -> None:
    """T43: the app is asked for a fresh session, and the old one ends once it is empty."""
    registry = make_registry()
    session = join(registry)
    wire = session._transport
    assert isinstance(wire, Wire)
    session.connection.streams._table.last_id = STREAM_ID_DRAIN - 1
    stream_id = open_stream(session)
    registry.renew()
    session._flush()
    frames = FrameDecoder().feed(b"".join(wire.sent))
    drains = [frame for frame in frames if frame.type == FrameType.DRAIN]
    assert [frame.payload[0] for frame in drains] == [DrainReason.RENEW]
    route = registry.find("shop.test")
    assert route is not None
    assert route.choose() is None
    registry.renew()
    assert not session.is_over
    session.reset_stream(stream_id, ResetCode.CANCELLED)
    registry.renew()
    assert session.is_over


async def test_routing_is_the_same_with_one_and_with_a_thousand_names() -> None:
    """T28: each of a thousand names leads to its own token's session, and a near miss to none."""
    for count in (1, 1000):
        tokens = [make_token(f"token{n}", f"app{n}.test") for n in range(count)]
        registry = make_registry(*tokens)
        sessions = [join(registry, token, instance=token.id) for token in tokens]
        for number, session in enumerate(sessions):
            route = registry.find(f"app{number}.test")
            assert route is not None
            assert route.choose() is session
            for near in (f"app{number}.test.", f"xapp{number}.test", f"app{number}.tes"):
                assert registry.find(near) is None
        assert registry.find(f"app{count}.test") is None
