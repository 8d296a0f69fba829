"""Names what a case exercises, so that a run can say what it has covered."""

from __future__ import annotations

from collections.abc import Iterator

from .script import (
    Accept,
    Bad,
    BodyKind,
    Case,
    Close,
    Conversation,
    Deny,
    Exchange,
    FromApp,
    FromVisitor,
    Hint,
    Message,
    Ping,
    Raise,
    Read,
    Send,
    Socket,
    Start,
    Trailers,
    Turn,
    Wrong,
)


def categories(case: Case) -> set[str]:
    """Return the categories of a case."""
    return set(_socket(case) if isinstance(case, Socket) else _conversation(case))


def _conversation(case: Conversation) -> Iterator[str]:
    yield f"end: {case.end.name.lower().replace('_', ' ')}"
    if len(case.exchanges) > 1:
        yield "pipelined" if case.is_pipelined else "keep-alive"
    for exchange in case.exchanges:
        yield from _request(exchange)
        yield from _app(exchange)


def _request(exchange: Exchange) -> Iterator[str]:
    request = exchange.request
    yield f"request: {request.method.decode()}"
    yield f"request body: {request.body.kind.name.lower()}"
    names = [name.lower() for name, _ in request.fields]
    if len(set(names)) < len(names):
        yield "request: repeated fields"
    if any(byte >= 0x80 for _, value in request.fields for byte in value):
        yield "request: latin-1"
    if request.version == b"1.0":
        yield "request: HTTP/1.0"
    if request.expects_continue:
        yield "request: Expect"
    if request.body.trailers:
        yield "request: trailers"
    if any(request.body.extensions):
        yield "request: chunk extensions"
    if request.empty_lines:
        yield "request: empty lines before it"
    if exchange.cuts:
        yield "request: split writes"
    if request.target[:1] != b"/":
        yield "request: absolute-form or *"
    if request.body.kind is BodyKind.LENGTH and not request.body.data:
        yield "request: empty body with a length"


def _app(exchange: Exchange) -> Iterator[str]:
    script = exchange.app
    starts = [at for at, one in enumerate(script) if isinstance(one, Start)]
    first = starts[0] if starts else len(script)
    if Read.BODY in script[:first]:
        yield "app: reads all first"
    elif Read.BODY in script:
        yield "app: reads late"
    elif Read.ONCE in script[:first]:
        yield "app: reads a part"
    else:
        yield "app: reads nothing"
    sends = [one for one in script if isinstance(one, Send)]
    if len(sends) > 2:
        yield "app: many body messages"
    if any(not one.data for one in sends):
        yield "app: empty body messages"
    for one in script:
        if isinstance(one, Start):
            yield from _start(one, sends, exchange.request.method)
        elif isinstance(one, Hint | Trailers | Wrong | Raise):
            yield f"app: {type(one).__name__.lower()}"
    if not any(not one.more for one in sends):
        yield "app: no end of the response"
    if not starts:
        yield "app: no response"


def _start(start: Start, sends: list[Send], method: bytes) -> Iterator[str]:
    yield f"status: {start.status}"
    size = sum(len(one.data) for one in sends)
    lengths = [value for name, value in start.fields if name.lower() == b"content-length"]
    if not lengths:
        yield "app: no Content-Length"
    elif lengths[-1].isdigit():
        less, more = int(lengths[-1]) > size, int(lengths[-1]) < size
        yield "app: " + ("body too short" if less else "body too long" if more else "right length")
    if size and method == b"HEAD":
        yield "app: a body for HEAD"
    if size and start.status in (204, 304):
        yield f"app: a body with {start.status}"


def _socket(case: Socket) -> Iterator[str]:
    yield "websocket"
    for action in case.opening:
        if isinstance(action, Accept | Deny | Close | Raise | Wrong):
            yield f"websocket opening: {type(action).__name__.lower()}"
        elif isinstance(action, Message):
            yield "websocket opening: sends before accept"
    if case.is_burst:
        yield "websocket: burst"
    for step in case.steps:
        match step:
            case FromVisitor(Message() as message):
                yield "websocket: " + ("text" if message.is_text else "binary")
                if len(message.parts) > 1:
                    yield "websocket: fragments"
            case FromApp(Message()):
                yield "websocket: app sends"
            case Ping():
                yield "websocket: ping"
            case FromVisitor() | FromApp():
                who = "visitor" if isinstance(step, FromVisitor) else "app"
                yield f"websocket end: {who} closes"
            case Bad() | Turn():
                yield f"websocket end: {step.name.lower().replace('_', ' ')}"
