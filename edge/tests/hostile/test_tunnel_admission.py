"""T29 to T34, T43: only a known token opens a session, and a session that breaks a rule ends."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.e2e.harness import Edge, running_edge, wait_until

from asgi_tunnel.protocol.codes import GoawayCode, RefuseCode
from asgi_tunnel.protocol.frames import FrameType, encode_frame
from asgi_tunnel.protocol.handshake import Hello, Refuse, Welcome, encode_handshake

from .dialer import Dialer, data_frame, head_frame, known_token
from .wire import Wire, frame, name_of, request


@dataclass
class TwoTokens:
    """An edge with two tokens and no app."""

    edge: Edge
    one: str  # one.example.test
    two: str  # two.example.test and *.two.example.test

    @property
    def port(self) -> int:
        """Where the edge listens."""
        return self.edge.port


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoTokens]:
    """An edge of this file's own: wrong tokens are counted."""
    with running_edge(tmp_path_factory.mktemp("tenants"), limits="hold_timeout = 0.5") as edge:
        names = ("--hostname", "two.example.test", "--hostname", "*.two.example.test")
        two = known_token(edge, "two", *names)
        yield TwoTokens(edge, known_token(edge, "one"), two)
        output = edge.running.output
    assert "Traceback" not in output, output


def _parts(token: str) -> tuple[str, str]:
    head, secret = token.rsplit(".", 1)
    return head, secret


@pytest.mark.parametrize(
    "names",
    [
        ("two.example.test",),
        ("one.example.test", "two.example.test"),
        ("TWO.example.test",),
        ("two.example.test.",),
        ("two.example.test:443",),
        ("a.two.example.test",),
        ("*.two.example.test",),
        ("*.example.test",),
        ("*",),
        ("example.test",),
        ("xone.example.test",),
        ("one.example.test.evil.test",),
        ("",),
        ("one.example.test\n",),
        ("one.example.test\x00",),
        ("127.0.0.1",),
        ("\u00f6ne.example.test",),
        ("\ud800",),
    ],
    ids=repr,
)
def test_token_serves_its_own_hostnames_only(tenants: TwoTokens, names: tuple[str, ...]) -> None:
    """T29: token one cannot claim what is not its own, in any spelling; nothing is routed to it."""
    with Dialer(tenants.port, tenants.one) as dialer:
        answer = dialer.hello(hostnames=names)
        assert isinstance(answer, Refuse)
        assert answer.code == RefuseCode.HOSTNAME
    with Wire(tenants.port) as wire:
        wire.send(request(b"GET", b"/", host=b"two.example.test"))
        assert wire.answer().status == 503


@pytest.mark.parametrize("names", [(), ("one.example.test",), ("ONE.example.test.",)], ids=repr)
def test_token_serves_its_own_hostname(tenants: TwoTokens, names: tuple[str, ...]) -> None:
    """T29: asking for nothing, or for its own name in any spelling, grants exactly that name."""
    with Dialer(tenants.port, tenants.one) as dialer:
        answer = dialer.hello(hostnames=names)
        assert isinstance(answer, Welcome)
        assert answer.hostnames == ("one.example.test",)


def test_wildcard_is_below_exact_names(tenants: TwoTokens) -> None:
    """T29: requests for one.example.test never reach token two, whatever it serves."""
    with Dialer(tenants.port, tenants.two, source="127.0.2.1") as dialer:
        assert isinstance(dialer.hello(), Welcome)
        for host, status in ((b"one.example.test", 503), (b"a.b.two.example.test", 404)):
            with Wire(tenants.port) as wire:
                wire.send(request(b"GET", b"/", host=host))
                assert wire.answer().status == status
        with Wire(tenants.port) as wire:
            wire.send(request(b"GET", b"/", host=b"A.two.example.test"))
            stream_id, head = dialer.opened()
            assert head.hostname == b"a.two.example.test"
            dialer.send(head_frame(stream_id, 204))
            assert wire.answer().status == 204


def test_processes_of_one_token_serve_what_each_wanted(tenants: TwoTokens) -> None:
    """A session that wants one of two names is given exchanges for that one alone."""
    with (
        Dialer(tenants.port, tenants.two, source="127.0.2.10") as one,
        Dialer(tenants.port, tenants.two, source="127.0.2.10") as other,
    ):
        for dialer, wanted, granted in (
            (one, ("two.example.test",), "two.example.test"),
            (other, ("*.Two.example.test.", "*.two.example.test"), "*.two.example.test"),
        ):
            welcome = dialer.hello(instance=granted, hostnames=wanted)
            assert isinstance(welcome, Welcome)
            assert welcome.hostnames == (granted,)
            assert [granted in url for url in welcome.urls] == [True]
        for _ in range(3):
            for dialer, host in ((one, b"two.example.test"), (other, b"a.two.example.test")):
                with Wire(tenants.port) as wire:
                    wire.send(request(b"GET", b"/", host=host))
                    stream_id, head = dialer.opened()
                    assert head.hostname == host
                    dialer.send(head_frame(stream_id, 204))
                    assert wire.answer().status == 204
        one.wire.sock.close()
        with Wire(tenants.port) as wire:  # the other one is there, and is not asked
            wire.send(request(b"GET", b"/", host=b"two.example.test"))
            assert wire.answer().status == 503


def test_resumed_session_keeps_what_it_wanted(tenants: TwoTokens) -> None:
    """What a HELLO that resumes wants is not looked at, and the same names are granted."""
    with Dialer(tenants.port, tenants.two, source="127.0.2.11") as first:
        welcome = first.hello(hostnames=("two.example.test",))
        assert isinstance(welcome, Welcome)
        for hostnames in ((), ("two.example.test",), ("one.example.test",)):
            with Dialer(tenants.port, tenants.two, source="127.0.2.11") as second:
                again = second.hello(session=welcome.session, hostnames=hostnames)
                assert isinstance(again, Welcome)
                assert again.resumed
                assert again.hostnames == ("two.example.test",)
                assert len(again.urls) == 1


def test_name_below_a_wildcard_is_not_wanted(tenants: TwoTokens) -> None:
    """Only what is registered may be asked for: a.two.example.test is not, its wildcard is."""
    with Dialer(tenants.port, tenants.two, source="127.0.2.12") as dialer:
        answer = dialer.hello(hostnames=("two.example.test", "a.two.example.test"))
        assert isinstance(answer, Refuse)
        assert answer.code == RefuseCode.HOSTNAME


def test_services_grant_nothing_of_another_token(tenants: TwoTokens) -> None:
    """T29: whatever a process says it has, it is given names of its own token."""
    with Dialer(tenants.port, tenants.one, source="127.0.2.15") as dialer:
        services = ("two.example.test", "*.example.test", "*.two.example.test", "*", "", "\ud800")
        answer = dialer.hello(services=services)
        assert isinstance(answer, Welcome)
        assert answer.hostnames == ("one.example.test",)
        with Wire(tenants.port) as wire:
            wire.send(request(b"GET", b"/", host=b"two.example.test"))
            assert wire.answer().status == 503


def test_token_revoked_before_hello_opens_no_session(tenants: TwoTokens) -> None:
    """T33: who has shown a token and waits with HELLO until it is revoked gets no session."""
    token = known_token(tenants.edge, "late")
    with Dialer(tenants.port, token, source="127.0.2.13") as dialer:
        assert dialer.answer.status == 101
        tenants.edge.command("token", "revoke", "late")

        def is_out() -> bool:
            with Dialer(tenants.port, token, source="127.0.2.13") as one:
                return one.answer.status == 401

        wait_until(is_out, what="the edge knows that it is revoked")
        answer = dialer.hello()
        assert isinstance(answer, Refuse)
        assert answer.code == RefuseCode.UNAUTHENTICATED


def test_session_of_another_token_is_not_resumed(tenants: TwoTokens) -> None:
    """T29, T33: a session id alone resumes nothing: it belongs to its token."""
    with Dialer(tenants.port, tenants.one) as first:
        welcome = first.hello()
        assert isinstance(welcome, Welcome)
        with Dialer(tenants.port, tenants.two) as second:
            other = second.hello(session=welcome.session)
            assert isinstance(other, Welcome)
            assert not other.resumed
            assert other.session != welcome.session
            assert other.hostnames == ("*.two.example.test", "two.example.test")


def test_unknown_and_wrong_tokens_get_one_answer(tenants: TwoTokens) -> None:
    """T31: whether an id exists cannot be told from the answer."""
    head, secret = _parts(tenants.one)
    wrong = f"{head}.{'A' * len(secret)}"
    payload = head.split(".")[1]
    assert payload
    bodies = []
    with Dialer(tenants.port, wrong, source="127.0.2.2") as dialer:
        assert dialer.answer.status == 401
        bodies.append(dialer.answer.body)
    other = tenants.two.rsplit(".", 1)[1]
    with Dialer(tenants.port, f"{head}.{other}", source="127.0.2.2") as dialer:
        assert dialer.answer.status == 401
        bodies.append(dialer.answer.body)
    assert len(set(bodies)) == 1
    assert secret.encode() not in bodies[0]


@pytest.mark.parametrize(
    "token",
    [
        None,
        "",
        "att1",
        "att1..",
        "att1.e30.x",
        "att2.e30.x",
        "att1.!!!.x",
        "att1." + "A" * 20_000 + ".x",
        "\xff\xfe",
        "att1.e30.\xe9",
        "a b c",
    ],
    ids=lambda value: repr(value)[:20],
)
def test_malformed_tokens_are_refused(tenants: TwoTokens, token: str | None) -> None:
    """T30: nothing, or anything, in place of a token is 401 and a close."""
    with Dialer(tenants.port, token, source="127.0.2.3") as dialer:
        assert dialer.answer.status == 401
        assert dialer.answer.field(b"cache-control") == b"no-store"
        assert dialer.wire.rest() == b""


@pytest.mark.parametrize(
    "field",
    [
        b"Basic %s",
        b"Bearer",
        b"%s",
        b"Bearer %s, Bearer %s",
        b"Bearer %s\r\nAuthorization: Bearer %s",
    ],
)
def test_other_authorizations_are_refused(tenants: TwoTokens, field: bytes) -> None:
    """T30: another scheme, or two tokens, is no token."""
    value = field.replace(b"%s", tenants.one.encode())
    with Dialer(tenants.port, None, source="127.0.2.4") as dialer:
        pass
    with Wire(tenants.port, source="127.0.2.4") as wire:
        dialer.wire = wire
        assert dialer.handshake(b"Authorization: " + value).status == 401


def test_wrong_tokens_are_throttled(tenants: TwoTokens) -> None:
    """T31: of wrong tokens from one address the first twenty are told so; a good one is let in."""
    answers = []
    for number in range(25):
        with Dialer(tenants.port, f"att1.e30.x{number}", source="127.0.2.5") as dialer:
            answers.append(dialer.answer)
    assert [answer.status for answer in answers] == [401] * 20 + [429] * 5
    assert answers[-1].field(b"retry-after") is not None
    with Dialer(tenants.port, "att1.e30.x0", source="127.0.2.5") as dialer:
        assert dialer.answer.status == 401
    with Dialer(tenants.port, tenants.one, source="127.0.2.5") as dialer:
        assert dialer.answer.status == 101


def test_revoked_token_is_refused(tenants: TwoTokens) -> None:
    """T33: a session ends when its token is revoked, and the token opens no other."""
    token = known_token(tenants.edge, "gone")
    with Dialer(tenants.port, token) as dialer:
        assert isinstance(dialer.hello(), Welcome)
        tenants.edge.command("token", "revoke", "gone")
        assert dialer.goaway() == GoawayCode.REVOKED
    with Dialer(tenants.port, token, source="127.0.2.7") as dialer:
        assert dialer.answer.status == 401


def _hello(**values: object) -> bytes:
    return encode_frame(
        FrameType.HELLO, json.dumps({"version": 1, "oldest": 1, "instance": "x", **values}).encode()
    )


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("no JSON", encode_frame(FrameType.HELLO, b"hello")),
        ("nothing", encode_frame(FrameType.HELLO)),
        ("a list", encode_frame(FrameType.HELLO, b"[]")),
        ("a number", encode_frame(FrameType.HELLO, b"1e999")),
        ("deep", encode_frame(FrameType.HELLO, b"[" * 16_000)),
        ("no UTF-8", encode_frame(FrameType.HELLO, b'{"instance": "\xff"}')),
        ("too large", encode_frame(FrameType.HELLO, b" " * 16_385)),
        ("another type", encode_frame(FrameType.OPEN, b"x")),
        ("type 255", encode_frame(255, b"x")),
        ("an HTTP request", request()),
        ("a frame of 16 MiB", b"\xff" * 9),
        ("a version that is text", _hello(version="1")),
        ("a negative version", _hello(version=-1)),
        ("an endless version", _hello(version=2**70)),
        ("a number for a name", _hello(instance=1)),
        ("hostnames that are no list", _hello(hostnames="x")),
        ("hostnames that are numbers", _hello(hostnames=[1])),
        ("1,000 hostnames", _hello(hostnames=["a"] * 1000)),
        ("a hostname of 300", _hello(hostnames=["a" * 300])),
        ("settings that are a list", _hello(settings=[])),
        ("a window of nothing", _hello(settings={"stream_window": 0})),
        ("a window that is true", _hello(settings={"stream_window": True})),
        ("no streams", _hello(settings={"max_streams": 0})),
        ("received that is a float", _hello(received=1.5)),
        ("a session that is null", _hello(session=None)),
    ],
    ids=name_of,
)
def test_hello_that_is_none(tenants: TwoTokens, name: str, data: bytes) -> None:
    """T43: what cannot be read is refused with MALFORMED, in one answer, and the edge goes on."""
    with Dialer(tenants.port, tenants.one) as dialer:
        dialer.send(data)
        answer = dialer.greeting()
        assert isinstance(answer, Refuse)
        assert answer.code == RefuseCode.MALFORMED
        dialer.send(data)
        opcode, _, _ = dialer.wire.frame()
        assert opcode == 8


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"version": 0, "oldest": 0}, RefuseCode.VERSION),
        ({"version": 9, "oldest": 9}, RefuseCode.VERSION),
        ({"version": 1, "oldest": 5}, RefuseCode.VERSION),
    ],
)
def test_other_versions_are_refused(tenants: TwoTokens, values: dict[str, int], code: int) -> None:
    """A version that is not spoken is refused with the side to upgrade."""
    with Dialer(tenants.port, tenants.one) as dialer:
        answer = dialer.hello(**values)
        assert isinstance(answer, Refuse)
        assert answer.code == code


@pytest.mark.parametrize(
    "values",
    [
        {"instance": "a\nERROR b\x1b[2J"},
        {"agent": "x" * 10_000},
        {"received": 2**62, "session": "nobody's"},
        {"slot": 2**40},
        {"session": "\udcff"},
        {"instance": "\ud800"},
        {"capabilities": ["x"] * 256},
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_odd_hello_is_welcome_and_stays_in_its_line(
    tenants: TwoTokens, values: dict[str, object]
) -> None:
    """T38: what a connector says about itself cannot write lines of the edge's log."""
    with Dialer(tenants.port, tenants.one) as dialer:
        dialer.send(_hello(**values))
        assert isinstance(dialer.greeting(), Welcome)
    output = tenants.edge.running.output
    assert "\nERROR b" not in output
    assert "\x1b" not in output


_WINDOW = struct.Struct(">II")
_PING = struct.Struct(">QQ")

VIOLATIONS = [
    *(
        (f"type {kind}", encode_frame(kind, b"x"), GoawayCode.FRAME_ERROR)
        for kind in (0, 9, 31, 32, 33, 34, 39, 255)
    ),
    ("a frame of 129 KiB", struct.pack(">IBI", (129 << 10) << 8 | 3, 0, 1), GoawayCode.FRAME_ERROR),
    ("a frame of 16 MiB", b"\xff" * 9, GoawayCode.FRAME_ERROR),
    (
        "OPEN from a connector",
        encode_frame(FrameType.OPEN, b"x", stream_id=1),
        GoawayCode.STREAM_STATE,
    ),
    ("HEAD of an unknown stream", head_frame(7), GoawayCode.STREAM_STATE),
    ("DATA of an unknown stream", data_frame(7, b"x"), GoawayCode.STREAM_STATE),
    ("DATA of stream 0", data_frame(0, b"x"), GoawayCode.STREAM_STATE),
    ("DATA of the last stream", data_frame(2**31 - 1, b"x"), GoawayCode.STREAM_STATE),
    ("DATA of stream 2^32-1", data_frame(2**32 - 1, b"x"), GoawayCode.STREAM_STATE),
    (
        "RESET of an unknown stream",
        encode_frame(FrameType.RESET, b"\0\1", stream_id=7),
        GoawayCode.STREAM_STATE,
    ),
    (
        "TRAILERS of an unknown stream",
        encode_frame(FrameType.TRAILERS, stream_id=7),
        GoawayCode.STREAM_STATE,
    ),
    (
        "CLOSE of an unknown stream",
        encode_frame(FrameType.CLOSE, b"\3\xe8", stream_id=7),
        GoawayCode.STREAM_STATE,
    ),
    (
        "WINDOW of an unknown stream",
        encode_frame(FrameType.WINDOW, bytes(8), stream_id=7),
        GoawayCode.STREAM_STATE,
    ),
    (
        "a short WINDOW",
        encode_frame(FrameType.WINDOW, bytes(7), stream_id=1),
        GoawayCode.FRAME_ERROR,
    ),
    (
        "a long WINDOW",
        encode_frame(FrameType.WINDOW, bytes(9), stream_id=1),
        GoawayCode.FRAME_ERROR,
    ),
    ("a short PING", encode_frame(FrameType.PING, bytes(15)), GoawayCode.FRAME_ERROR),
    ("a short PONG", encode_frame(FrameType.PONG), GoawayCode.FRAME_ERROR),
    ("a short ACK", encode_frame(FrameType.ACK, bytes(7)), GoawayCode.FRAME_ERROR),
    ("a short DRAIN", encode_frame(FrameType.DRAIN, bytes(3)), GoawayCode.FRAME_ERROR),
    ("a short GOAWAY", encode_frame(FrameType.GOAWAY, bytes(9)), GoawayCode.FRAME_ERROR),
    ("a short RESET", encode_frame(FrameType.RESET, b"\0", stream_id=1), GoawayCode.FRAME_ERROR),
    ("a short CLOSE", encode_frame(FrameType.CLOSE, b"\0", stream_id=1), GoawayCode.FRAME_ERROR),
    (
        "a long CLOSE",
        encode_frame(FrameType.CLOSE, bytes(126), stream_id=1),
        GoawayCode.FRAME_ERROR,
    ),
    (
        "an ACK of frames never sent",
        encode_frame(FrameType.ACK, (99).to_bytes(8, "big")),
        GoawayCode.PROTOCOL_ERROR,
    ),
    (
        "a PING that acknowledges too much",
        encode_frame(FrameType.PING, _PING.pack(1, 2**63)),
        GoawayCode.PROTOCOL_ERROR,
    ),
]


@pytest.mark.parametrize(("name", "data", "code"), VIOLATIONS, ids=name_of)
def test_violation_ends_the_session_with_its_code(
    tenants: TwoTokens, name: str, data: bytes, code: int
) -> None:
    """T43: a frame that breaks a rule is answered by GOAWAY with the code that says which."""
    with Dialer(tenants.port, tenants.one) as dialer:
        assert isinstance(dialer.hello(), Welcome)
        dialer.send(data)
        assert dialer.goaway() == code


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("returns what was not sent", _WINDOW.pack(1, 0)),
        ("returns all there is", _WINDOW.pack(2**32 - 1, 0)),
        ("grows without end", _WINDOW.pack(0, 2**32 - 1)),
        ("grows above the bound", _WINDOW.pack(0, 4 << 20)),
    ],
    ids=name_of,
)
def test_window_that_overflows(tenants: TwoTokens, name: str, payload: bytes) -> None:
    """T43: credit that was not owed ends the session; its visitor gets a 502."""
    with Dialer(tenants.port, tenants.one) as dialer, Wire(tenants.port) as wire:
        assert isinstance(dialer.hello(), Welcome)
        wire.send(request(b"POST", b"/", b"Content-Length: 9", host=b"one.example.test"))
        stream_id, _ = dialer.opened()
        dialer.say(FrameType.WINDOW, payload, stream_id)
        assert dialer.goaway() == GoawayCode.FLOW_CONTROL
        assert wire.answer().status == 502


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("an unmasked message", frame(2, b"x" * 10, masked=False)),
        ("a text message", frame(1, b"x")),
        ("a reserved bit", frame(2, b"x", reserved=4)),
        ("a reserved opcode", frame(3, b"x")),
        ("a long ping", frame(9, b"x" * 126)),
        ("a fragmented ping", frame(9, b"x", fin=False)),
    ],
    ids=name_of,
)
def test_websocket_that_is_none(tenants: TwoTokens, name: str, data: bytes) -> None:
    """T43: below the frames of the tunnel, a broken WebSocket ends the connection at once."""
    with Dialer(tenants.port, tenants.one) as dialer:
        assert isinstance(dialer.hello(), Welcome)
        dialer.wire.send(data)
        dialer.wire.rest()
    with Dialer(tenants.port, tenants.one) as dialer:
        assert isinstance(dialer.hello(), Welcome)


def test_single_bytes(tenants: TwoTokens) -> None:
    """T57: HELLO and an answer may come in segments, and in messages, of one byte."""
    with Dialer(tenants.port, tenants.one) as dialer, Wire(tenants.port) as wire:
        for byte in encode_handshake(Hello(instance="dialer")):
            dialer.send(bytes((byte,)))
        assert isinstance(dialer.greeting(), Welcome)
        wire.send(request(b"GET", b"/", host=b"one.example.test"))
        stream_id, _ = dialer.opened()
        for byte in frame(2, head_frame(stream_id, 200, (b"content-length", b"2"), body=b"hi")):
            dialer.wire.send(bytes((byte,)))
        assert wire.answer().body == b"hi"


def test_connections_that_never_greet(tenants: TwoTokens) -> None:
    """T18: many may wait between handshake and HELLO; one that greets is served beside them."""
    waiting = [Dialer(tenants.port, tenants.one, source="127.0.2.8") for _ in range(100)]
    try:
        with Dialer(tenants.port, tenants.one) as dialer:
            assert isinstance(dialer.hello(), Welcome)
    finally:
        for one in waiting:
            one.wire.sock.close()


def test_tunnel_that_is_gone_counts_no_longer(tmp_path: Path) -> None:
    """A tunnel's connection leaves the visitors' count: an app may dial again for ever."""
    with running_edge(tmp_path, limits="max_connections_per_address = 3") as edge:
        token = known_token(edge, "shop")
        for _ in range(8):
            with Dialer(edge.port, token) as dialer:
                assert isinstance(dialer.hello(), Welcome)


def _flood(dialer: Dialer, data: bytes, times: int) -> None:
    for _ in range(times):
        dialer.send(data)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("PING", encode_frame(FrameType.PING, bytes(16)) * 1000),
        ("ACK", encode_frame(FrameType.ACK, bytes(8)) * 1000),
        ("PONG", encode_frame(FrameType.PONG, bytes(16)) * 1000),
        ("DRAIN", encode_frame(FrameType.DRAIN, bytes(9)) * 1000),
        ("RESET", encode_frame(FrameType.RESET, b"\0\1" + b"x" * 100, stream_id=1) * 1000),
        ("WINDOW", encode_frame(FrameType.WINDOW, bytes(8), stream_id=1) * 1000),
        ("DATA", data_frame(1, b"x" * 100) * 1000),
    ],
    ids=name_of,
)
def test_floods_of_small_frames(tenants: TwoTokens, name: str, data: bytes) -> None:
    """T43: 30,000 frames that mean nothing cost the edge no memory, and others wait for nothing."""
    with Dialer(tenants.port, tenants.one) as dialer, Wire(tenants.port) as wire:
        assert isinstance(dialer.hello(), Welcome)
        wire.send(request(b"GET", b"/", host=b"one.example.test"))
        stream_id, _ = dialer.opened()
        assert stream_id == 1
        dialer.send(head_frame(1, 204))
        assert wire.answer().status == 204
        before = tenants.edge.running.rss()
        _flood(dialer, data, 30)
        with Wire(tenants.port) as other:
            other.send(request(b"GET", b"/", host=b"nobody.example.test"))
            assert other.answer().status == 404
        assert tenants.edge.running.rss() - before < 16 << 20
    wait_until(lambda: "Traceback" not in tenants.edge.running.output)
