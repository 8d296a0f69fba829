"""Visitors and apps see through the tunnel what they see with uvicorn, or an entry says why not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from .allowed import ALLOWED
from .app import Call
from .client import Response
from .compare import differences
from .page import BEGIN, END, PAGE, read_run, render
from .script import (
    HOST,
    Case,
    Conversation,
    Exchange,
    Fields,
    Hint,
    Read,
    Request,
    Send,
    Start,
    Trailers,
)
from .show import Shown, read
from .strategies import cases
from .suite import DifferenceError, Tally, run_case, unexplained
from .visit import Outcome
from .worlds import World, edge, worlds

ROOT = Path(__file__).parents[2]
EXAMPLES = 60
"""Some seconds; `make differential` runs for as long as one likes."""


class Servers:
    """An edge, a connector and two uvicorns in one event loop."""

    def __init__(self, port: int, token: str, runner: asyncio.Runner) -> None:
        self.tally = Tally()
        self._runner = runner
        self._context = worlds(port, token)
        self._worlds = runner.run(self._context.__aenter__())

    def check(self, case: Case) -> None:
        """Hold a conversation with all of them."""
        self._runner.run(run_case(case, self._worlds, self.tally))

    def close(self) -> None:
        """End them."""
        self._runner.run(self._context.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """All servers, with one app behind them."""
    loggers = [logging.getLogger(name) for name in ("uvicorn.error", "asgi_tunnel")]
    levels = [logger.level for logger in loggers]
    with (
        edge(tmp_path_factory.mktemp("differential")) as (port, token),
        asyncio.Runner() as runner,
    ):
        one = Servers(port, token, runner)
        yield one
        one.close()
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.mark.e2e
def test_made_up_conversations_differ_only_as_allowed(servers: Servers) -> None:
    """A short run with always the same conversations."""

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(shown=cases)
    def check(shown: Shown) -> None:
        try:
            servers.check(shown.case)
        except DifferenceError as error:
            found.append(str(error))

    found: list[str] = []
    check()
    assert not found, "\n\n".join(found)


# -- the suite itself --------------------------------------------------------------------------

CASE = Conversation(
    (Exchange(Request(), (Read.BODY, Start(200, ((b"x-a", b"1"),)), Send(b"hello"))),)
)


def outcome(port: int, response: Response, **changes: object) -> Outcome:
    """What came of ``CASE`` on a server that does all rightly, but for some changes."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "headers": [(b"host", HOST), (b"x-a", b"1"), (b"x-a", b"2")],
        "client": ("127.0.0.1", 5),
        "server": ("127.0.0.1", port),
        "extensions": {},
    }
    call = Call(scope, [("http.request", False)], outcome="returned", actions=3)
    for name, value in changes.items():
        setattr(call, name, value)
    return Outcome(World("", port), ("127.0.0.1", 5), [call], [response], is_kept=True)


RIGHT = Response(200, b"OK", ((b"x-a", b"1"),), b"hello", "length", is_complete=True)


@pytest.mark.parametrize(
    ("tunnel", "key"),
    [
        (outcome(1, replace(RIGHT, status=201)), "response status"),
        (outcome(1, replace(RIGHT, body=b"hell")), "response body"),
        (outcome(1, replace(RIGHT, trailers=((b"a", b"b"),))), "response trailers"),
        (outcome(1, replace(RIGHT, fields=((b"x-b", b"1"),))), "response field x-a"),
        (outcome(1, RIGHT, received=[]), "app received"),
        (outcome(1, RIGHT, error="mistake in Send"), "app error"),
        (replace(outcome(1, RIGHT), is_kept=False), "connection is kept"),
        (replace(outcome(1, RIGHT), trouble="silence"), "connection trouble"),
        (replace(outcome(1, RIGHT), address=("127.0.0.1", 6)), "app scope client is the visitor"),
    ],
)
def test_each_difference_is_found(tunnel: Outcome, key: str) -> None:
    """One changed fact is one difference, and no entry allows it."""
    references = [outcome(2, RIGHT), outcome(3, RIGHT)]
    assert key in [one.key for one in unexplained(CASE, tunnel, references, Tally())]
    assert not list(differences(CASE, outcome(1, RIGHT), references))


def test_lost_trailers_and_hints_are_found() -> None:
    """What uvicorn does not offer is compared with what the app has sent."""
    request = Request(fields=((b"TE", b"trailers"),))
    app = (
        Hint((b"</a>",)),
        Start(200, has_trailers=True),
        Send(b"hello"),
        Trailers(((b"X-T", b"1"), (b"host", b"a"))),
    )
    case = Conversation((Exchange(request, app),))
    offers: dict[str, object] = {"http.response.trailers": {}, "http.response.early_hint": {}}
    hints: list[tuple[int, Fields]] = [(103, ((b"link", b"</a>"),))]
    right = replace(RIGHT, framing="chunked", interim=hints, trailers=((b"x-t", b"1"),))

    def keys(response: Response) -> list[str]:
        tunnel = outcome(1, response)
        tunnel.calls[0].scope["extensions"] = offers
        reference = outcome(2, replace(RIGHT, framing="chunked"))
        return [one.key for one in unexplained(case, tunnel, [reference], Tally())]

    assert keys(right) == []
    assert keys(replace(right, trailers=())) == ["response has all"]
    assert keys(replace(right, interim=[])) == ["response has all"]


def test_either_form_of_uvicorn_is_right() -> None:
    """A fact that one of them has is no difference."""
    other = outcome(3, replace(RIGHT, status=201))
    assert not list(differences(CASE, outcome(1, RIGHT), [outcome(2, RIGHT), other]))


@settings(
    max_examples=20,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(shown=cases)
def test_a_printed_case_can_be_read_back(shown: Shown) -> None:
    """What a run writes can be run again."""
    assert read(repr(shown)) == shown.case


@settings(max_examples=20, derandomize=True, database=None)
@given(pieces=st.lists(st.binary(min_size=1, max_size=9), max_size=3))
def test_a_chunked_request_says_its_size(pieces: list[bytes]) -> None:
    """The visitor frames its own requests rightly."""
    from .script import Body, BodyKind

    body = Body(BodyKind.CHUNKED, tuple(pieces))
    assert body.encoded().endswith(b"0\r\n\r\n")
    assert all(b"%x\r\n%s\r\n" % (len(piece), piece) in body.encoded() for piece in pieces)


def test_the_page_lists_every_allowed_difference() -> None:
    """The page has exactly the entries of allowed.py, with their reasons."""
    page = (ROOT / PAGE).read_text()
    section = page[page.index(BEGIN) + len(BEGIN) : page.index(END)].strip()
    assert section == render(read_run(page)).strip()
    names = [entry.name for entry in ALLOWED]
    assert len(set(names)) == len(names)
