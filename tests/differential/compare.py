"""Turns what two servers did into facts, and finds those that differ.

A fact has a key such as ``0 response status`` and a value. The tunnel is right about a fact when
either form of uvicorn has the same; what is left is a :class:`Difference`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from .app import Call
from .client import Response
from .script import (
    Action,
    BodyKind,
    Case,
    Conversation,
    Deny,
    End,
    Exchange,
    Fields,
    Hint,
    Read,
    Send,
    Socket,
    Start,
    Trailers,
)
from .visit import Outcome

Facts = dict[str, object]
MISSING: Final = "missing"


@dataclass(frozen=True)
class Difference:
    """One fact that the tunnel has for itself.

    Attributes:
        case: In which it was seen.
        number: Of the exchange; -1: of the connection.
        key: Of the fact, without the number.
        tunnel: Its value there.
        references: The values of the others.
        all_facts: Of the tunnel, with numbers.
        all_references: The same of the others.
    """

    case: Case
    number: int
    key: str
    tunnel: object
    references: tuple[object, ...]
    all_facts: Mapping[str, object]
    all_references: tuple[Mapping[str, object], ...]

    def __str__(self) -> str:
        where = "connection" if self.number < 0 else f"exchange {self.number}"
        others = " / ".join(_short(one) for one in self.references)
        return f"{where}: {self.key}: tunnel {_short(self.tunnel)}; uvicorn {others}"

    @property
    def tunnel_is_fine(self) -> bool:
        """Whether the tunnel kept to the protocols."""
        return self.all_facts.get("-1 connection trouble") == ""

    @property
    def exchange(self) -> Exchange:
        """The exchange that it is about; that of a WebSocket is its handshake."""
        if isinstance(self.case, Socket):
            return Exchange(self.case.request, self.case.app())
        return self.case.exchanges[max(self.number, 0)]

    def is_same_order(self, ignored: frozenset[str]) -> bool:
        """Whether fields that are equal stand in the same order, but for these."""
        key = f"{self.number} {self.key}"
        return any(_is_same_order(key, self.all_facts, one, ignored) for one in self.all_references)

    def fact(self, key: str) -> object:
        """Another fact of the tunnel about the same exchange."""
        return self.all_facts.get(f"{self.number} {key}", MISSING)

    def reference_facts(self, key: str) -> list[object]:
        """The same of the others."""
        return [one.get(f"{self.number} {key}", MISSING) for one in self.all_references]


NO_TRAILERS: Final = frozenset({b"transfer-encoding", b"content-length", b"host"})
"""Of those that the suite makes up: what may not stand in trailers (RFC 9110, section 6.5.1)."""


def expected_trailers(exchange: Exchange) -> Fields | None:
    """Return what a visitor gets of an app's trailers in chunks; None where it takes none."""
    offers = b",".join(exchange.request.values(b"te")).split(b",")
    if exchange.request.version != b"1.1" or b"trailers" not in [one.strip() for one in offers]:
        return None
    return tuple(
        (name.lower(), value)
        for one in exchange.app
        if isinstance(one, Trailers)
        for name, value in one.fields
        if name.lower() not in NO_TRAILERS
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:200]}...{text[-60:]} ({len(text)} characters)"


def facts(case: Case, outcome: Outcome) -> Facts:
    """Return all facts of an outcome."""
    found: Facts = {}
    exchanges = (
        case.exchanges if isinstance(case, Conversation) else [Exchange(case.request, case.app())]
    )
    for number, exchange in enumerate(exchanges):
        if number < len(outcome.calls):
            _call(found, f"{number} app ", outcome.calls[number], outcome, exchange)
        if number < len(outcome.responses):
            response = outcome.responses[number]
            _response(found, f"{number} response ", response, exchange.app)
            if number < len(outcome.calls) and response is not None:
                call = outcome.calls[number]
                found[f"{number} response has all"] = _has_all(response, call, exchange)
    found["-1 connection trouble"] = outcome.trouble
    if isinstance(case, Conversation):
        found["-1 connection calls beyond"] = max(0, len(outcome.calls) - len(exchanges) - 1)
        if case.end is End.PROBE:
            found["-1 connection is kept"] = outcome.is_kept
    else:
        found["0 websocket messages"] = outcome.messages
        found["0 websocket pongs"] = outcome.pongs
        found["0 websocket close code"] = None if outcome.close is None else outcome.close[0]
        found["0 websocket close reason"] = None if outcome.close is None else outcome.close[1]
        found["0 websocket is ended"] = outcome.is_ended
    return found


def _has_all(response: Response, call: Call, exchange: Exchange) -> bool:
    """Whether hints and trailers, which uvicorn does not offer, have arrived where they are."""
    offered = call.scope.get("extensions") or {}
    if call.outcome != "returned" or not response.is_complete:
        return True
    hints = [one for one in exchange.app if isinstance(one, Hint)]
    if "http.response.early_hint" in offered and exchange.request.version == b"1.1" and hints:
        links = tuple((b"link", link) for link in hints[0].links)
        if (103, links) not in response.interim:
            return False
    expected = expected_trailers(exchange)
    if "http.response.trailers" not in offered or expected is None:
        return True
    started = any(isinstance(one, Start) and one.has_trailers for one in exchange.app)
    ended = any(isinstance(one, Trailers) and not one.more for one in exchange.app)
    is_due = started and ended and response.framing == "chunked"
    return response.trailers == expected if is_due else True


def _call(found: Facts, prefix: str, call: Call, outcome: Outcome, exchange: Exchange) -> None:
    scope = dict(call.scope)
    fields = scope.pop("headers")
    found[prefix + "scope client is the visitor"] = tuple(scope.pop("client")) == outcome.address
    found[prefix + "scope server is the listener"] = tuple(scope.pop("server")) == (
        "127.0.0.1",
        outcome.world.port,
    )
    for name, value in (scope.pop("extensions", None) or {}).items():
        found[f"{prefix}scope extension {name}"] = sorted(value) if name == "asgi_tunnel" else value
    for name, value in scope.pop("asgi").items():
        found[f"{prefix}scope asgi {name}"] = value
    for name, value in scope.items():
        found[f"{prefix}scope {name}"] = value
    _fields(found, f"{prefix}request", fields)
    messages = list(call.received)
    for message in messages:
        if isinstance(message, dict) and message["type"] == "websocket.disconnect":
            code = message.get("code", 1005)
            found[prefix + "disconnect code"] = int(code) if isinstance(code, int) else code
            found[prefix + "disconnect reason"] = message.get("reason") or ""
    # How much of a body is there at a time is free, and so is what an app has that does not read
    # to its end.
    body = exchange.request.body
    is_whole = any(isinstance(one, tuple) and not one[1] for one in messages)
    is_read = _reads_body(exchange.app[: call.actions])
    is_free = body.kind is not BodyKind.NONE and not (is_read and is_whole)
    if is_read:
        found[prefix + "body is whole"] = is_whole
    found[prefix + "received"] = [
        message
        for message in map(_plain, messages)
        if not isinstance(message, tuple) or not (is_free or message[1])
    ]
    found[prefix + "body begins rightly"] = body.data.startswith(bytes(call.body))
    if not is_free:
        found[prefix + "body"] = bytes(call.body)
    found[prefix + "actions"] = call.actions
    found[prefix + "error"] = call.error
    found[prefix + "outcome"] = call.outcome


def _reads_body(script: Sequence[Action]) -> bool:
    """Whether an app reads to the end of the body before its response is complete."""
    for action in script:
        if action is Read.BODY:
            return True
        if isinstance(action, Send) and not action.more:
            return False
    return False


def _plain(message: object) -> object:
    if isinstance(message, dict) and message["type"] == "websocket.disconnect":
        return {"type": "websocket.disconnect"}
    return message


def _response(
    found: Facts, prefix: str, response: Response | None, script: Sequence[Action]
) -> None:
    if response is None:
        found[prefix + "status"] = None
        return
    found[prefix + "status"] = response.status
    found[prefix + "reason"] = response.reason
    found[prefix + "framing"] = response.framing
    found[prefix + "is complete"] = response.is_complete
    found[prefix + "trailers"] = response.trailers
    found[prefix + "flaws"] = response.flaws
    for number, (status, fields) in enumerate(response.interim):
        found[f"{prefix}interim {number}"] = (status, fields)
    closing = [value.lower() for value in response.values(b"connection")]
    found[prefix + "says close"] = any(b"close" in value for value in closing)
    _fields(found, prefix + "", response.fields)
    if response.is_complete:
        found[prefix + "body"] = response.body
    else:
        whole = b"".join(
            one.data if isinstance(one, Send) else b"".join(one.bodies)
            for one in script
            if isinstance(one, Send | Deny)
        )
        found[prefix + "body begins rightly"] = whole.startswith(response.body)


def _fields(found: Facts, prefix: str, fields: Sequence[tuple[bytes, bytes]]) -> None:
    values: dict[str, list[bytes]] = {}
    for name, value in fields:
        values.setdefault(name.decode("latin-1"), []).append(value)
    for text, all_values in values.items():
        found[f"{prefix.rstrip()} field {text}"] = all_values
    found[f"{prefix.rstrip()} order"] = [name for name, _ in fields]


def differences(case: Case, tunnel: Outcome, references: Sequence[Outcome]) -> Iterator[Difference]:
    """Yield what the tunnel has for itself, in the order of the exchanges."""
    ours = facts(case, tunnel)
    theirs = tuple(facts(case, one) for one in references)
    keys = list(dict.fromkeys([key for one in theirs for key in one] + list(ours)))
    keys.sort(key=lambda key: int(key.split(" ", 1)[0]) % 1000)  # -1: last
    for key in keys:
        mine = ours.get(key, MISSING)
        others = tuple(one.get(key, MISSING) for one in theirs)
        if mine in others:
            continue
        if key.endswith(" order") and any(_is_same_order(key, ours, one) for one in theirs):
            continue
        number, name = key.split(" ", 1)
        yield Difference(case, int(number), name, mine, others, ours, theirs)


def _is_same_order(
    key: str,
    ours: Mapping[str, object],
    theirs: Mapping[str, object],
    ignored: frozenset[str] = frozenset(),
) -> bool:
    """Whether the fields that are equal stand in the same order."""
    prefix = key.removesuffix(" order") + " field "

    def shared(names: object) -> list[str]:
        found = [name.decode("latin-1") for name in names] if isinstance(names, list) else []
        return [
            name
            for name in found
            if name not in ignored and ours.get(prefix + name) == theirs.get(prefix + name)
        ]

    return shared(ours.get(key)) == shared(theirs.get(key))
