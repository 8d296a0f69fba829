"""Requests that must not be relayed: what is sent, and what has to come back.

Each case names the row of the catalogue of attacks that it belongs to. A request hidden behind
the malformed one asks for ``/smuggled``: no app may ever run it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .wire import HOST, handshake, request

SMUGGLED = request(b"GET", b"/smuggled")


@dataclass(frozen=True)
class Case:
    """One attack.

    Attributes:
        row: ``T01`` and so on.
        name: What is wrong with it.
        data: All that is sent.
        statuses: Answers that are right; the connection closes after each.
        may_run: The head is fine and its body is not: the app may have begun, and must then
            learn that the visitor left.
    """

    row: str
    name: str
    data: bytes
    statuses: frozenset[int]
    may_run: bool = False

    def __str__(self) -> str:
        return f"{self.row} {self.name}"


def _case(row: str, name: str, data: bytes, *statuses: int, may_run: bool = False) -> Case:
    return Case(row, name, data, frozenset(statuses or (400,)), may_run)


def _post(*fields: bytes, body: bytes = b"") -> bytes:
    return request(b"POST", b"/case", *fields, body=body)


def _shown(data: bytes) -> str:
    return data.decode("latin-1").encode("unicode_escape").decode()[:60]


def framing() -> Iterator[Case]:
    """T01 to T03: two ways to say where a body ends, or a way that can be read in two ways."""
    chunked = b"Transfer-Encoding: chunked"
    both = b"0\r\n\r\n" + SMUGGLED
    length = b"Content-Length: %d" % len(both)
    yield _case("T01", "CL.TE", _post(length, chunked, body=both))
    yield _case("T01", "TE.CL", _post(chunked, b"Content-Length: 5", body=both))
    yield _case("T01", "CL 0 and TE", _post(b"Content-Length: 0", chunked, body=both))
    yield _case("T01", "CL and TE on GET", request(b"GET", b"/case", length, chunked, body=both))
    yield _case(
        "T01",
        "TE in HTTP/1.0",
        _post(chunked, body=both).replace(b"HTTP/1.1", b"HTTP/1.0", 1),
    )
    yield _case(
        "T01", "CL and TE of different case", _post(b"content-LENGTH: 5", chunked, body=both)
    )
    for field, *statuses in (
        (b"Transfer-Encoding: ,chunked", 400),
        (b"Transfer-Encoding: chunked,", 400),
        (b"Transfer-Encoding: chunked, chunked", 400),
        (b"Transfer-Encoding: \x0bchunked", 400),
        (b"Transfer-Encoding: chunked\x0b", 400),
        (b"Transfer-Encoding: \x00chunked", 400),
        (b"Transfer-Encoding: \xa0chunked", 400),
        (b"Transfer-Encoding: chunked\x85", 400),
        (b"Transfer-Encoding : chunked", 400),
        (b"Transfer-Encoding\t: chunked", 400),
        (b"Transfer-Encoding\x00: chunked", 400),
        (b" Transfer-Encoding: chunked", 400),
        (b"\tTransfer-Encoding: chunked", 400),
        (b"X: y\nTransfer-Encoding: chunked", 400),
        (b"X: y\rTransfer-Encoding: chunked", 400),
        (b"Transfer-Encoding:\r\n chunked", 400),
        (b"Transfer-Encoding: \r\n chunked", 400),
        (b'Transfer-Encoding: "chunked"', 400),
        (b"Transfer-Encoding: 'chunked'", 400),
        (b"Transfer-Encoding:", 400),
        (b"Transfer-Encoding: chunked;q=1", 400),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", 400),
        (b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", 400),
        (b"Transfer-Encoding: chunked\r\ntransfer-encoding: x", 400),
        (b"Transfer-Encoding: xchunked", 501),
        (b"Transfer-Encoding: chunkedx", 501),
        (b"Transfer-Encoding: identity", 501),
        (b"Transfer-Encoding: gzip, chunked", 501),
        (b"Transfer-Encoding: chunked, gzip", 501),
        (b"Transfer-Encoding: chunked, identity", 501),
        (b"Transfer-Encoding: chunked identity", 400),
        (b"Transfer-Encoding: cow", 501),
    ):
        yield _case("T02", _shown(field), _post(field, body=both), *statuses)
    for value in (
        b"",
        b"+5",
        b"-5",
        b"-0",
        b"0x5",
        b"5_0",
        b"5 5",
        b"5, 5",
        b"5,6",
        b"5;",
        b"5.0",
        b"5e1",
        b"1" * 5000,
        b"18446744073709551621",
        b"9223372036854775808",
        b"\xb2",
        b"\xef\xbc\x95",
        b"five",
        b'"5"',
        b"5\x00",
        b"\x0b5",
        b"5\xa0",
        b"5\r\n 0",
    ):
        yield _case("T03", f"CL {_shown(value)}", _post(b"Content-Length: " + value, body=both))
    for first, second in ((b"5", b"5"), (b"5", b"6"), (b"0", b"5"), (b"5", b"")):
        fields = (b"Content-Length: " + first, b"content-length: " + second)
        yield _case("T03", f"CL {_shown(first)} and {_shown(second)}", _post(*fields, body=both))
    yield _case("T03", "white space before the colon", _post(b"Content-Length : 5", body=both))


def chunks() -> Iterator[Case]:
    """T04 to T06: chunked bodies that another reader would cut elsewhere."""
    for row, name, body in (
        ("T04", "0x", b"0x5\r\nhello\r\n0\r\n\r\n"),
        ("T04", "plus", b"+5\r\nhello\r\n0\r\n\r\n"),
        ("T04", "minus", b"-5\r\nhello\r\n0\r\n\r\n"),
        ("T04", "underscore", b"0_5\r\nhello\r\n0\r\n\r\n"),
        ("T04", "empty", b"\r\nhello\r\n0\r\n\r\n"),
        ("T04", "no hex", b"g\r\nhello\r\n0\r\n\r\n"),
        ("T04", "64 bits", b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
        ("T04", "64 bits and 5", b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
        ("T04", "many zeros", b"0" * 300 + b"5\r\nhello\r\n0\r\n\r\n"),
        ("T04", "space in front", b" 5\r\nhello\r\n0\r\n\r\n"),
        ("T04", "tab in front", b"\t5\r\nhello\r\n0\r\n\r\n"),
        ("T04", "space behind", b"5 \r\nhello\r\n0\r\n\r\n"),
        ("T04", "two sizes", b"5 5\r\nhello\r\n0\r\n\r\n"),
        ("T04", "a point", b"5.0\r\nhello\r\n0\r\n\r\n"),
        ("T04", "full-width digit", b"\xef\xbc\x95\r\nhello\r\n0\r\n\r\n"),
        ("T04", "quotes", b'"5"\r\nhello\r\n0\r\n\r\n'),
        ("T04", "longer than its size", b"4\r\nhello\r\n0\r\n\r\n"),
        ("T04", "shorter than its size", b"6\r\nhello\r\n0\r\n\r\n"),
        ("T04", "a request in place of a size", SMUGGLED),
        ("T05", "LF behind the size", b"5\nhello\r\n0\r\n\r\n"),
        ("T05", "CR behind the size", b"5\rhello\r\n0\r\n\r\n"),
        ("T05", "CR CR LF behind the size", b"5\r\r\nhello\r\n0\r\n\r\n"),
        ("T05", "LF behind the data", b"5\r\nhello\n0\r\n\r\n"),
        ("T05", "CR behind the data", b"5\r\nhello\r0\r\n\r\n"),
        ("T05", "nothing behind the data", b"5\r\nhello0\r\n\r\n"),
        ("T05", "two bytes that are no CRLF", b"5\r\nhelloXX0\r\n\r\n"),
        ("T05", "LF in an extension", b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
        ("T05", "CR in an extension", b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
        ("T05", "LF in a quoted extension", b'5;a="\n"\r\nhello\r\n0\r\n\r\n'),
        ("T05", "LF ends an extension", b"5;a\nhello\r\n0\r\n\r\n"),
        ("T05", "NUL in an extension", b"5;a\x00\r\nhello\r\n0\r\n\r\n"),
        ("T05", "endless extension", b"5;" + b"a" * 5000 + b"\r\nhello\r\n0\r\n\r\n"),
        ("T05", "endless extension without an end", b"5;" + b"a" * 5000),
        ("T05", "extension without a name", b"5;\r\nhello\r\n0\r\n\r\n"),
        ("T05", "LF behind the last size", b"5\r\nhello\r\n0\n\r\n"),
        ("T05", "LF ends the body", b"5\r\nhello\r\n0\r\n\n"),
        ("T05", "CR ends the body", b"5\r\nhello\r\n0\r\n\rX"),
        ("T06", "a trailer without a colon", b"0\r\nGET /smuggled HTTP/1.1\r\n\r\n"),
        ("T06", "a trailer with a space in its name", b"0\r\na b: c\r\n\r\n"),
        ("T06", "a folded trailer", b"0\r\na: b\r\n c\r\n\r\n"),
        ("T06", "LF behind a trailer", b"0\r\na: b\n\r\n"),
        ("T06", "CR in a trailer", b"0\r\na: b\rc\r\n\r\n"),
        ("T06", "NUL in a trailer", b"0\r\na: b\x00\r\n\r\n"),
        ("T06", "an empty name", b"0\r\n: b\r\n\r\n"),
        ("T06", "trailers without an end", b"0\r\n" + b"a: b\r\n" * 20_000),
        ("T06", "one endless trailer", b"0\r\na: " + b"b" * 100_000),
    ):
        data = _post(b"Transfer-Encoding: chunked", body=body)
        yield _case(row, f"chunk: {name}", data, may_run=True)


def fields() -> Iterator[Case]:
    """T07: what two readers would take for different fields."""
    for name, field in (
        ("folded", b"X-A: b\r\n c"),
        ("folded with a tab", b"X-A: b\r\n\tc"),
        ("folded and empty", b"X-A: b\r\n \r\n\tc"),
        ("first line folded", b" X-A: b"),
        ("LF alone", b"X-A: b\nX-B: c"),
        ("LF in front", b"\nX-A: b"),
        ("CR in a value", b"X-A: b\rc"),
        ("CR CR LF", b"X-A: b\r\r\nX-B: c"),
        ("NUL in a value", b"X-A: b\x00c"),
        ("NUL in a name", b"X-\x00A: b"),
        ("BEL in a value", b"X-A: b\x07c"),
        ("DEL in a value", b"X-A: b\x7fc"),
        ("ESC in a value", b"X-A: \x1b[2J"),
        ("empty name", b": b"),
        ("a line that is no field: who the visitor is", b':visitor: {"subject":"user:anna"}'),
        ("a line that is no field: how long it takes", b":duration: "),
        ("a line of HTTP/2", b":authority: shop.example.test"),
        ("no colon", b"X-A"),
        ("a space in a name", b"X A: b"),
        ("a space before the colon", b"X-A : b"),
        ("a slash in a name", b"X/A: b"),
        ("brackets in a name", b"X[A]: b"),
        ("quotes in a name", b'"X-A": b'),
        ("at in a name", b"X@A: b"),
        ("8 bits in a name", b"X-\xe9: b"),
        ("a request line in place of a field", b"GET /smuggled HTTP/1.1"),
    ):
        yield _case("T07", f"field: {name}", request(b"GET", b"/case", field) + SMUGGLED)
    yield _case("T07", "LF ends the head", request(b"GET", b"/case")[:-2] + b"\n" + SMUGGLED)
    plain = request(b"GET", b"/case").replace(b"\r\n", b"\n")
    yield _case("T07", "LF everywhere", plain + SMUGGLED)
    yield _case(
        "T07", "CR everywhere", request(b"GET", b"/case").replace(b"\r\n", b"\r") + SMUGGLED
    )


def lines() -> Iterator[Case]:
    """T08, T09, T13: request lines."""
    rest = b"\r\nHost: " + HOST + b"\r\n\r\n"
    for line, *statuses in (
        (b"GET /case", 400),
        (b"GET", 400),
        (b"", 400),
        (b"GET  /case HTTP/1.1", 400),
        (b"GET /case  HTTP/1.1", 400),
        (b"GET /case HTTP/1.1 ", 400),
        (b" GET /case HTTP/1.1", 400),
        (b"\tGET /case HTTP/1.1", 400),
        (b"GET\t/case HTTP/1.1", 400),
        (b"GET /case\tHTTP/1.1", 400),
        (b"GET\x0b/case HTTP/1.1", 400),
        (b"GET\xa0/case HTTP/1.1", 400),
        (b"get /case HTTP/1.1", 400),
        (b"Get /case HTTP/1.1", 400),
        (b"G\x00T /case HTTP/1.1", 400),
        (b"G(T /case HTTP/1.1", 400),
        (b"A" * 33 + b" /case HTTP/1.1", 400),
        (b"A" * 5000 + b" /case HTTP/1.1", 400),
        (b"GET /\xff\xfe HTTP/1.1", 400),
        (b"GET /caf\xc3\xa9 HTTP/1.1", 400),
        (b"GET /case?\x80 HTTP/1.1", 400),
        (b"GET http://shop.example.test/\x80 HTTP/1.1", 400),
        (b"GET /ca se HTTP/1.1", 400),
        (b"GET /ca\x00se HTTP/1.1", 400),
        (b"GET /ca\x7fse HTTP/1.1", 400),
        (b"GET /ca\rse HTTP/1.1", 400),
        (b"GET /ca\nse HTTP/1.1", 400),
        (b"GET /case#fragment HTTP/1.1", 400),
        (b"GET case HTTP/1.1", 400),
        (b"GET ?case HTTP/1.1", 400),
        (b"GET * HTTP/1.1", 400),
        (b"GET \\case HTTP/1.1", 400),
        (b"GET /case http/1.1", 400),
        (b"GET /case HTTP/1.1\x00", 400),
        (b"GET /case HTTP/11", 400, 505),
        (b"GET /case HTTP/1,1", 400),
        (b"GET /case HTTP/1.", 400, 505),
        (b"GET /case HTTP/1.10", 400, 505),
        (b"GET /case HTTP/0.9", 505),
        (b"GET /case HTTP/1.2", 505),
        (b"GET /case HTTP/2.0", 505),
        (b"GET /case HTTP/3", 505),
        (b"GET /case HTTPS/1.1", 400),
        (b"GET /case ICY/1.1", 400),
        (b"GET /" + b"a" * 32768 + b" HTTP/1.1", 414),
        (b"GET /b" + b"a" * 70_000 + b" HTTP/1.1", 414, 431),
    ):
        yield _case("T08", _shown(line), line + rest + SMUGGLED, *statuses)
    yield _case("T08", "HTTP/0.9 and nothing else", b"GET /case\r\n")
    yield _case("T08", "three empty lines in front", b"\r\n\r\n\r\n" + request())
    yield _case("T08", "an HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505)
    yield _case("T08", "a TLS ClientHello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    yield _case("T08", "an SSH banner", b"SSH-2.0-OpenSSH_9.2\r\n")
    yield _case("T08", "a memcached command", b"stats\r\n")
    yield _case("T13", "CONNECT", request(b"CONNECT", HOST + b":443") + SMUGGLED, 405)
    yield _case("T13", "CONNECT to a path", request(b"CONNECT", b"/case") + SMUGGLED, 405)
    yield _case("T13", "TRACE", request(b"TRACE", b"/case") + SMUGGLED, 405)
    yield _case(
        "T13",
        "TRACE with a body",
        request(b"TRACE", b"/case", b"Content-Length: 2", body=b"hi"),
        405,
    )


def authorities() -> Iterator[Case]:
    """T09, T27: more than one authority, none, or none that can be read."""
    for target in (
        b"http://other.example.test/case",
        b"https://other.example.test/case",
        b"http://" + HOST + b":81/case",
        b"http://user@" + HOST + b"/case",
        b"http://" + HOST + b"@other.example.test/case",
        b"http:///case",
        b"http:/case",
        b"http:case",
        b"ftp://" + HOST + b"/case",
        b"file:///etc/passwd",
        b"gopher://" + HOST + b"/",
        b"http://" + HOST + b"\\.other.test/case",
        b"http://" + HOST + b"%00/case",
        HOST + b":80",
    ):
        yield _case("T09", _shown(target), request(b"GET", target) + SMUGGLED)
    for name, fields in (
        ("no Host", ()),
        ("two equal Hosts", (b"Host: " + HOST, b"Host: " + HOST)),
        ("two Hosts", (b"Host: " + HOST, b"Host: other.example.test")),
        ("two Hosts of different case", (b"Host: " + HOST, b"hOST: other.example.test")),
        ("a list", (b"Host: " + HOST + b", other.example.test",)),
        ("empty", (b"Host:",)),
        ("blank", (b"Host: \t ",)),
        ("a path", (b"Host: " + HOST + b"/a",)),
        ("a query", (b"Host: " + HOST + b"?a",)),
        ("a fragment", (b"Host: " + HOST + b"#a",)),
        ("userinfo", (b"Host: a@" + HOST,)),
        ("a scheme", (b"Host: http://" + HOST,)),
        ("half an IPv6 address", (b"Host: [::1",)),
        ("an IPv6 address with a zone", (b"Host: [fe80::1%eth0]",)),
        ("port too large", (b"Host: " + HOST + b":65536",)),
        ("port no number", (b"Host: " + HOST + b":80a",)),
        ("negative port", (b"Host: " + HOST + b":-1",)),
        ("two ports", (b"Host: " + HOST + b":80:80",)),
        ("a space", (b"Host: shop.example .test",)),
        ("NUL", (b"Host: " + HOST + b"\x00.other.test",)),
        ("8 bits", (b"Host: sh\xf6p.example.test",)),
        ("a star", (b"Host: *.example.test",)),
        ("an empty label", (b"Host: shop..example.test",)),
        ("two final dots", (b"Host: " + HOST + b"..",)),
        ("a label of 64", (b"Host: " + b"a" * 64 + b".example.test",)),
        ("255 characters", (b"Host: " + b"a." * 127 + b"test",)),
        ("a backslash", (b"Host: " + HOST + b"\\a",)),
        ("a white space before the colon", (b"Host : " + HOST,)),
    ):
        data = request(b"GET", b"/case", *fields, host=None) + SMUGGLED
        yield _case("T09", f"Host: {name}", data)


def others() -> Iterator[Case]:
    """T10 to T12, T17, T20: expectations, upgrades and sizes."""
    expect = _post(b"Expect: 200-ok", b"Content-Length: 5", body=b"hello")
    yield _case("T10", "another expectation", expect + SMUGGLED, 417)
    twice = _post(b"Expect: 100-continue", b"Expect: 100-continue", b"Content-Length: 5")
    yield _case("T10", "two expectations", twice, 417)
    many = _post(b"Expect: 100-continue, 200-ok", b"Content-Length: 5")
    yield _case("T10", "a list of expectations", many, 417)
    body = handshake(b"/ws", b"Content-Length: 5") + b"hello"
    yield _case("T11", "a body on a WebSocket handshake", body + SMUGGLED)
    coded = handshake(b"/ws", b"Transfer-Encoding: chunked") + b"0\r\n\r\n"
    yield _case("T11", "a chunked body on a WebSocket handshake", coded + SMUGGLED)
    for key in (b"short", b"!" * 24, b"A" * 24, b"AAAAAAAAAAAAAAAAAAAAAA=="[:-1], b"A" * 5000):
        yield _case("T25", f"key {_shown(key)}", handshake(b"/ws", key=key) + SMUGGLED)
    valid = b"AAAAAAAAAAAAAAAAAAAAAA=="
    two = handshake(b"/ws", b"Sec-WebSocket-Key: " + valid)
    yield _case("T25", "two keys", two + SMUGGLED)
    none = request(
        b"GET", b"/ws", b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Version: 13"
    )
    yield _case("T25", "no key", none + SMUGGLED)
    for version in (b"12", b"8", b"0", b"", b"13, 8", b"013", b"+13"):
        old = handshake(b"/ws").replace(b"Version: 13", b"Version: " + version)
        yield _case("T25", f"version {_shown(version)}", old + SMUGGLED, 426)
    dated = handshake(b"/ws").replace(b"Sec-WebSocket-Version: 13\r\n", b"")
    yield _case("T25", "no version", dated + SMUGGLED, 426)
    fields = [b"X-%d: v" % number for number in range(128)]
    yield _case("T17", "129 fields", request(b"GET", b"/case", *fields), 431)
    fields = [b"X: v"] * 5000
    yield _case("T17", "5,000 fields", request(b"GET", b"/case", *fields), 431)
    yield _case("T17", "a field of 65 KiB", request(b"GET", b"/case", b"X: " + b"v" * 66_560), 431)
    yield _case("T17", "a name of 65 KiB", request(b"GET", b"/case", b"X" * 66_560 + b": v"), 431)


CASES = [
    *framing(),
    *chunks(),
    *fields(),
    *lines(),
    *authorities(),
    *others(),
]
