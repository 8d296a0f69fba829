from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from asgi_tunnel.protocol.frames import StreamKind
from asgi_tunnel.protocol.head import Arrival, RequestHead, encode_request
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage.inbox import InboxRecord, InboxStore, Lane

from .test_schemas import check

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Run

SECOND = 1_000_000_000


@pytest.fixture
def filled(data: Path, run: Run) -> Path:
    """Three requests of two tokens: one waits, two have failed."""
    config = EdgeConfig.load(data)
    for name in ("shop", "blog"):
        assert run("token", "create", name, "--data", data).code == 0
    ids = {one.name: one.id for one in Store(config.database_path).read()[1]}
    arrival = Arrival(b"https", b"1.1", b"203.0.113.7", 1, b"192.0.2.1", 443)
    head = RequestHead(
        b"POST", b"/hooks?x=1", arrival, b"id", b"shop.a.test", [(b"x-a", b"\x1b[1m")]
    )
    payload = encode_request(StreamKind.HTTP, head) + b"\x00body"
    store = InboxStore(config.inbox_path, config.acme_key_path)
    store.open()
    with store.transaction():
        for number, name in enumerate(("shop", "shop", "blog")):
            lane = Lane(ids[name], f"{name}.a.test", "POST /hooks")
            store.insert(InboxRecord(f"{number:032x}", lane, number * SECOND, 0, payload))
        store.note(f"{1:032x}", 3, "the app's status was 400", failed=True)
        store.note(f"{2:032x}", 30, "the tunnel to the app was lost", failed=True)
    store.close()
    return data


def states(data: Path, run: Run) -> dict[str, str]:
    """State by the last digit of the id."""
    rows = check("inbox-list", run("inbox", "list", "--data", data, "--json").out)
    return {row["id"][-1]: row["state"] for row in rows}


def test_without_an_inbox(data: Path, run: Run) -> None:
    """Nothing is made by looking."""
    assert run("inbox", "list", "--data", data).out == "Nothing is kept.\n"
    assert run("inbox", "list", "--data", data, "--json").out == "[]\n"
    assert run("inbox", "drop", "--failed", "--data", data).out == "0 are forgotten.\n"
    assert not (data / "inbox.sqlite3").exists()


def test_list(filled: Path, run: Run) -> None:
    """The oldest first; of one token, or those that failed."""
    out = run("inbox", "list", "--data", filled).out
    head, first, second, _, _, hint = out.splitlines()[:6]
    assert head.split() == [
        *("ID", "RECEIVED", "TOKEN", "HOSTNAME", "ROUTE", "SIZE", "STATE", "TRIES", "OUTCOME")
    ]
    assert "1970-01-01T00:00:00Z  shop   shop.a.test  POST /hooks" in first
    assert second.endswith("failed   3      the app's status was 400")
    assert hint.endswith("`asgi-tunnel-edge inbox retry --failed`")
    assert states(filled, run) == {"0": "waiting", "1": "failed", "2": "failed"}
    out = run("inbox", "list", "--token", "blog", "--failed", "--data", filled, "--json").out
    assert [row["id"][-1] for row in check("inbox-list", out)] == ["2"]
    assert run("inbox", "list", "--token", "x", "--data", filled).code == 2


def test_show(filled: Path, run: Run) -> None:
    """As it was sent; what moves a cursor is written out."""
    out = run("inbox", "show", f"{1:032x}", "--data", filled).out
    assert "POST /hooks?x=1\nx-a: \\x1b[1m\n\n5 bytes of body" in out
    document = check(
        "inbox-show", run("inbox", "show", f"{1:032x}", "--data", filled, "--json").out
    )
    assert document["fields"] == [["x-a", "\x1b[1m"]]
    assert base64.b64decode(document["body"]) == b"\x00body"
    assert run("inbox", "show", f"{1:032x}", "--body", "--data", filled).out == "\x00body"


def test_retry(filled: Path, run: Run) -> None:
    """Those that are named, or all that failed of one token, or of all."""
    done = run("inbox", "retry", f"{1:032x}", f"{0:032x}", "--data", filled, "--json")
    assert check("inbox-retry", done.out) == {"retried": 1}  # the other one waits already
    assert states(filled, run) == {"0": "waiting", "1": "waiting", "2": "failed"}
    assert run("inbox", "retry", "--failed", "--token", "shop", "--data", filled).out[0] == "0"
    assert run("inbox", "retry", "--failed", "--data", filled).out == "1 will be delivered again.\n"
    assert set(states(filled, run).values()) == {"waiting"}


def test_drop(filled: Path, run: Run) -> None:
    """Waiting ones too, by their ids."""
    done = run("inbox", "drop", f"{0:032x}", "--data", filled, "--json")
    assert check("inbox-drop", done.out) == {"dropped": 1}
    assert run("inbox", "drop", "--failed", "--token", "shop", "--data", filled).code == 0
    assert states(filled, run) == {"2": "failed"}


@pytest.mark.parametrize("words", [(), ("x", "--failed")])
@pytest.mark.parametrize("verb", ["retry", "drop"])
def test_what_is_meant_has_to_be_said(
    filled: Path, run: Run, verb: str, words: tuple[str, ...]
) -> None:
    """Ids or all that failed: nothing is dropped by mistake."""
    done = run("inbox", verb, *words, "--data", filled)
    assert (done.code, done.out) == (2, "")
    assert "expected ids of requests, or --failed" in done.err
    assert len(states(filled, run)) == 3


@pytest.mark.parametrize("verb", ["show", "retry", "drop"])
def test_an_unknown_id(filled: Path, run: Run, verb: str) -> None:
    """Nothing is changed, also where another id is known."""
    words = ("inbox", verb, *([] if verb == "show" else [f"{1:032x}"]), "0a")
    done = run(*words, "--data", filled, "--json")
    assert done.code == 2
    error = json.loads(done.out)["error"]
    assert error["code"] == "kept_request_not_found"
    assert states(filled, run) == {"0": "waiting", "1": "failed", "2": "failed"}
