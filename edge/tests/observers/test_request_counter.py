from __future__ import annotations

from asgi_tunnel_edge.context import EdgeContext
from asgi_tunnel_edge.observers.access_log import Entry
from asgi_tunnel_edge.observers.observer import notify
from asgi_tunnel_edge.observers.request_counter import MAX_HOSTNAMES, RequestCounter
from asgi_tunnel_edge.replies import Reply
from asgi_tunnel_edge.settings.config import Limits


def exchange(
    hostname: str = "a.test",
    status: int = 200,
    *,
    method: bytes = b"GET",
    seconds: float = 0.004,
    outcome: str = "",
) -> Entry:
    """An exchange that is over, with a body of ten bytes."""
    return Entry(b"r1", b"192.0.2.7", method, hostname, b"/", status, 10, seconds, outcome)


def counting(*hostnames: str) -> RequestCounter:
    """Counts these."""
    counter = RequestCounter({"no app": "offline", "no memory": "memory"})
    counter.follow(hostnames)
    return counter


def test_an_exchange() -> None:
    """Its status, its method, its time in the bucket that it is in, and its bytes."""
    counter = counting("a.test", "b.test")
    for seconds in (0.0025, 0.0026, 60.0):
        counter.closed(exchange(seconds=seconds))
    counter.closed(exchange(status=503, method=b"BREW", outcome="no app"))
    host = counter.hosts["a.test"]
    assert host.codes == {200: 3, 503: 1}
    assert host.seconds.counts[:2] == [1, 2]
    assert host.seconds.counts[-1] == 1
    assert host.seconds.total == 0.0025 + 0.0026 + 60.0 + 0.004
    assert host.sent == 40
    assert (counter.methods[b"GET"], counter.other_methods) == (3, 1)
    assert counter.refused == {"memory": 0, "offline": 1}
    assert not counter.hosts["b.test"].codes


def test_names_that_visitors_make_up() -> None:
    """They are one, but for those below a wildcard; nothing grows with them."""
    counter = counting("a.test", "*.b.test")
    for number in range(1000):
        counter.closed(exchange(f"x{number}.test"))
        counter.closed(exchange(f"x{number}.b.test", 403, seconds=0.0))
    assert set(counter.hosts) == {"a.test", "*.b.test"}
    assert counter.others.codes == {200: 1000}
    assert counter.hosts["*.b.test"].codes == {403: 1000}


def test_what_is_no_response() -> None:
    """A WebSocket's hours are not the time of a response; a connection end to end is no request."""
    counter = counting("a.test")
    counter.closed(exchange(status=101, seconds=3600.0))
    counter.closed(exchange(method=b"TLS", seconds=3600.0))
    counter.closed(exchange(status=400, seconds=0.0))
    host = counter.hosts["a.test"]
    assert host.codes == {101: 1, 400: 1}
    assert host.passed == 1
    assert not any(host.seconds.counts)


def test_hostnames_are_bounded() -> None:
    """Those that are there stay; a place that is left is taken by the next one."""
    counter = counting(*(f"a{number:04}.test" for number in range(2 * MAX_HOSTNAMES)))
    assert len(counter.hosts) == MAX_HOSTNAMES
    counter.closed(exchange("a0001.test"))
    counter.closed(exchange("a0150.test"))
    assert counter.others.codes == {200: 1}
    counter.follow(
        ["a0000.test", *(f"a{number:04}.test" for number in range(1, 300) if number % 2)]
    )
    assert len(counter.hosts) == MAX_HOSTNAMES
    assert counter.hosts["a0001.test"].codes == {200: 1}
    assert "a0002.test" not in counter.hosts
    counter.closed(exchange("a0101.test"))
    assert counter.hosts["a0101.test"].codes == {200: 1}


def test_each_reply_is_counted_once() -> None:
    """Also those that the log sums up: it is told of twenty, the numbers of all."""
    counter = counting("a.test")
    lines: list[Entry] = []

    class Log:
        def closed(self, entry: Entry) -> None:
            lines.append(entry)

    context = EdgeContext(limits=Limits(), observers=[Log()], now=lambda: 1.0)
    context.attach(counter)
    for _ in range(100):
        context.note_reply(Reply(400, "malformed"), None, b"192.0.2.7", b"r1")
    context.note_reply(Reply(503, "no memory"), None, b"192.0.2.7", b"r1")
    notify(context.observers, exchange())
    context.refusals.stop()
    assert counter.others.codes == {400: 100, 503: 1}
    assert counter.hosts["a.test"].codes == {200: 1}
    assert counter.refused["memory"] == 1
    assert len(lines) == 23
    assert not EdgeContext(limits=Limits(), now=lambda: 1.0).observers
