"""The example from outside: what a browser, curl or another program sees."""

import hashlib
import json
import random
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

MIB = 1024 * 1024


class RunningApp(Protocol):
    """What the fixture `own_app` gives; see conftest.py."""

    @property
    def url(self) -> str: ...
    @property
    def folder(self) -> Any: ...
    @property
    def process(self) -> Any: ...


def read_events(response: httpx.Response) -> Iterator[dict[str, str]]:
    """Yield server-sent events as their fields, comments under ""."""
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.strip()
        else:
            yield fields
            fields = {}


def next_event(events: Iterator[dict[str, str]], kind: str, **details: str) -> dict[str, str]:
    """Return the next event of a kind whose data has these details."""
    for event in events:
        if event.get("event") == kind:
            data = json.loads(event["data"])
            if all(data[name] == value for name, value in details.items()):
                return event
    pytest.fail("the event stream ended")


def open_chat(base_url: str, nick: str, *, origin: Origin | None = None) -> ClientConnection:
    return connect(f"{base_url.replace('http', 'ws', 1)}/api/chat?nick={nick}", origin=origin)


def say(chat: ClientConnection, nick: str, text: str) -> None:
    chat.send(json.dumps({"nick": nick, "text": text}))


def hear(chat: ClientConnection, text: str) -> dict[str, Any]:
    """Return the message with this text; others before it are history or other visitors."""
    while True:
        message: dict[str, Any] = json.loads(chat.recv(timeout=10))
        if message.get("text") == text:
            return message


def test_page_loads_with_all_it_names(web: httpx.Client) -> None:
    """The page and its scripts and styles come from the app, and from nowhere else."""
    page = web.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "//" not in page.text
    for name in ("app.js", "chat.js", "events.js", "files.js", "ui.js", "upload.js", "style.css"):
        assert web.get(f"/static/{name}").status_code == 200


def test_health_and_visitor(web: httpx.Client, base_url: str) -> None:
    """The app is up, and knows by which name and scheme it was reached."""
    assert web.get("/api/health").json() == {"status": "ok"}
    visitor = web.get("/api/whoami").json()
    assert visitor["scheme"] == urlsplit(base_url).scheme
    assert visitor["host"] == urlsplit(base_url).netloc
    assert set(visitor) == {"client", "scheme", "host", "http_version", "server"}


def test_upload_streams_and_range_downloads(web: httpx.Client, folder: str) -> None:
    """20 MiB sent in pieces arrive whole, and any part of them can be downloaded."""
    body = random.Random(1).randbytes(20 * MIB)
    pieces = (body[start : start + 100_000] for start in range(0, len(body), 100_000))
    stored = web.put(f"/api/files/{folder}/big.bin", content=pieces)
    assert stored.status_code == 201
    digest = hashlib.sha256(body).hexdigest()
    assert stored.json() == {"name": "big.bin", "size": len(body), "sha256": digest}

    assert web.get(f"/api/files/{folder}/big.bin").content == body
    part = web.get(f"/api/files/{folder}/big.bin", headers={"range": "bytes=7000000-7000999"})
    assert part.status_code == 206
    assert part.headers["content-range"] == f"bytes 7000000-7000999/{len(body)}"
    assert part.content == body[7_000_000:7_001_000]


def test_listing_shows_folders_first(web: httpx.Client, folder: str) -> None:
    """A listing names folders and files with sizes and dates; uploads create their folders."""
    before = time.time() - 60
    web.put(f"/api/files/{folder}/Übersicht.txt", content=b"four")
    web.put(f"/api/files/{folder}/zoo/deep/a.txt", content=b"")
    listing = web.get(f"/api/files/{folder}").json()
    assert listing["path"] == folder
    assert all(entry.pop("modified") > before for entry in listing["entries"])
    assert listing["entries"] == [
        {"name": "zoo", "type": "folder", "size": None},
        {"name": "Übersicht.txt", "type": "file", "size": 4},
    ]
    names = [entry["name"] for entry in web.get("/api/files/").json()["entries"]]
    assert folder in names
    assert ".uploads" not in names


def test_taken_name_is_refused_unless_overwritten(web: httpx.Client, folder: str) -> None:
    """A second upload of the same name is answered with 409 and changes nothing."""
    path = f"/api/files/{folder}/note.txt"
    web.put(path, content=b"first")
    clash = web.put(path, content=b"second")
    assert clash.status_code == 409
    assert clash.json() == {"detail": "'note.txt' exists already."}
    assert web.get(path).content == b"first"
    assert web.put(f"{path}?overwrite=true", content=b"second").status_code == 201
    assert web.get(path).content == b"second"
    assert web.put(f"/api/files/{folder}", content=b"").status_code == 409
    assert web.post(f"/api/folders/{folder}/note.txt").status_code == 409
    assert web.put(f"{path}/below", content=b"").status_code == 409


def test_delete(web: httpx.Client, folder: str) -> None:
    """Files go at once, full folders only when asked for, the root never."""
    web.put(f"/api/files/{folder}/a.txt", content=b"a")
    assert web.delete(f"/api/files/{folder}").status_code == 409
    assert web.delete(f"/api/files/{folder}/a.txt").status_code == 204
    assert web.get(f"/api/files/{folder}/a.txt").status_code == 404
    web.put(f"/api/files/{folder}/b.txt", content=b"b")
    assert web.delete(f"/api/files/{folder}?recursive=true").status_code == 204
    assert web.get(f"/api/files/{folder}").status_code == 404
    assert web.delete("/api/files/?recursive=true").status_code == 400


@pytest.mark.parametrize(
    "path",
    [
        "../outside.txt",
        "..%2Foutside.txt",
        "%2e%2e/%2e%2e/etc/passwd",
        "folder/..%2f..%2foutside.txt",
        "..%5Coutside.txt",
        "name%00.txt",
        ".uploads/x.part",
        ".Uploads/x.part",
    ],
)
def test_traversal_is_refused(web: httpx.Client, path: str) -> None:
    """No path leads out of the folder or into unfinished uploads, whatever the method."""
    target = f"/api/files/{path}".encode()  # as it is: httpx would tidy it
    for method in ("GET", "PUT", "DELETE"):
        answer = web.request(method, "/", extensions={"target": target})
        assert answer.status_code in {400, 404}
        assert answer.json()["detail"]


def test_links_that_lead_out_are_refused(own_app: RunningApp) -> None:
    """A symbolic link to somewhere else is neither listed nor followed."""
    (own_app.folder.parent / "secret.txt").write_text("secret")
    (own_app.folder / "link").symlink_to(own_app.folder.parent)
    with httpx.Client(base_url=own_app.url) as web:
        assert web.get("/api/files").json()["entries"] == []
        assert web.get("/api/files/link/secret.txt").status_code == 400
        assert web.put("/api/files/link/new.txt", content=b"").status_code == 400


def test_aborted_upload_leaves_nothing(own_app: RunningApp) -> None:
    """A visitor who leaves in the middle of an upload leaves no file, whole or partial."""
    address = urlsplit(own_app.url)
    with httpx.stream("GET", f"{own_app.url}/api/events", timeout=15) as response:
        events = read_events(response)
        next(events)
        with socket.create_connection((address.hostname, address.port), timeout=10) as raw:
            raw.sendall(b"PUT /api/files/half.bin HTTP/1.1\r\n")
            raw.sendall(f"Host: {address.netloc}\r\n".encode())
            raw.sendall(b"Content-Length: 2000000\r\n\r\n" + bytes(MIB))
        # The same name again: it is free, and the event proves that the app has moved on.
        httpx.put(f"{own_app.url}/api/files/half.bin", content=b"whole")
        next_event(events, "uploaded", path="half.bin")
    assert (own_app.folder / "half.bin").read_bytes() == b"whole"
    deadline = time.monotonic() + 10
    while list((own_app.folder / ".uploads").iterdir()):
        assert time.monotonic() < deadline, "the partial upload was not removed"
        time.sleep(0.01)


def test_markup_is_downloaded_not_shown(web: httpx.Client, folder: str) -> None:
    """A page or drawing that a visitor uploaded cannot act as this page."""
    for name in ("evil.html", "evil.svg", "evil.xml"):
        web.put(f"/api/files/{folder}/{name}", content=b"<script>alert(1)</script>")
        headers = web.get(f"/api/files/{folder}/{name}").headers
        assert headers["content-disposition"].startswith("attachment")
        assert headers["x-content-type-options"] == "nosniff"


def test_other_sites_are_refused(web: httpx.Client, base_url: str, folder: str) -> None:
    """A page of another web site cannot write, nor join the chat, through a visitor's browser."""
    foreign = {"origin": "https://elsewhere.example"}
    assert web.post(f"/api/folders/{folder}/new", headers=foreign).status_code == 403
    own = {"origin": base_url}
    assert web.post(f"/api/folders/{folder}/new", headers=own).status_code == 201
    with pytest.raises(InvalidStatus):
        open_chat(base_url, "Mallory", origin=Origin(foreign["origin"]))


def test_event_arrives_after_upload(web: httpx.Client, folder: str) -> None:
    """Who listens hears of an upload and a deletion as they happen."""
    path = f"{folder}/heard.txt"
    with web.stream("GET", "/api/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        events = read_events(response)
        assert next(events)[""] == "connected"  # from here on, nothing is missed
        web.put(f"/api/files/{path}", content=b"12345")
        uploaded = json.loads(next_event(events, "uploaded", path=path)["data"])
        assert uploaded["size"] == 5
        web.delete(f"/api/files/{path}")
        next_event(events, "deleted", path=path)


def test_events_resume_where_they_stopped(web: httpx.Client, folder: str) -> None:
    """A listener who comes back with Last-Event-ID gets what was missed, once, in order."""
    with web.stream("GET", "/api/events") as response:
        events = read_events(response)
        next(events)
        web.put(f"/api/files/{folder}/0", content=b"")
        last = next_event(events, "uploaded", path=f"{folder}/0")["id"]
    for number in (1, 2, 3):
        web.put(f"/api/files/{folder}/{number}", content=b"")
    for resume in ({"headers": {"last-event-id": last}}, {"params": {"after": last}}):
        with web.stream("GET", "/api/events", **resume) as response:  # type: ignore[arg-type]
            events = read_events(response)
            next(events)
            paths = [json.loads(next_event(events, "uploaded")["data"])["path"] for _ in range(3)]
        assert paths == [f"{folder}/1", f"{folder}/2", f"{folder}/3"]


def test_chat_between_two(base_url: str, web: httpx.Client) -> None:
    """What one says, both hear; who comes later sees it too; the event log tells of it."""
    with web.stream("GET", "/api/events") as response:
        events = read_events(response)
        next(events)
        with open_chat(base_url, "Ada") as ada, open_chat(base_url, "Grace") as grace:
            next_event(events, "joined", nick="Grace")
            say(ada, "Ada", "hello Grace")
            assert hear(grace, "hello Grace")["nick"] == "Ada"
            assert hear(ada, "hello Grace")["nick"] == "Ada"
            say(grace, " Grace ", "hello Ada")
            assert hear(ada, "hello Ada")["nick"] == "Grace"
            next_event(events, "message", text="hello Ada")
        next_event(events, "left", nick="Ada")
    with open_chat(base_url, "Late") as late:
        hear(late, "hello Grace")
        hear(late, "hello Ada")


def test_chat_history_is_the_last_50(base_url: str) -> None:
    """A newcomer sees the last 50 messages, not more."""
    with open_chat(base_url, "Writer") as writer:
        for number in range(60):
            say(writer, "Writer", f"line {number}")
        hear(writer, "line 59")
    with open_chat(base_url, "Reader") as reader:
        texts = [json.loads(reader.recv(timeout=10))["text"] for _ in range(50)]
    assert texts == [f"line {number}" for number in range(10, 60)]


@pytest.mark.parametrize(
    "sent",
    ["not JSON", b"\xff\x00", "[]", '{"nick": "", "text": "x"}', '{"nick": "Ada", "text": "  "}'],
)
def test_bad_chat_message_is_answered(base_url: str, sent: str | bytes) -> None:
    """What is no message is answered with a reason to its sender, who stays connected."""
    with open_chat(base_url, "Mallory") as chat:
        chat.send(sent)
        while "error" not in (answer := json.loads(chat.recv(timeout=10))):
            pass  # the history
        assert answer["error"]
        say(chat, "Mallory", f"still here after {sent!r}")
        hear(chat, f"still here after {sent!r}")


def test_stop_ends_endless_streams(own_app: RunningApp) -> None:
    """On SIGTERM the event stream ends whole, the chat closes with 1012, and the process exits."""
    with (
        httpx.stream("GET", f"{own_app.url}/api/events", timeout=15) as response,
        open_chat(own_app.url, "Ada") as chat,
    ):
        events = read_events(response)
        next_event(events, "joined", nick="Ada")
        own_app.process.send_signal(signal.SIGTERM)
        for _ in events:
            pass  # ends without an error: the response was completed
        with pytest.raises(ConnectionClosed) as closed:
            chat.recv(timeout=10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
    own_app.process.wait(5)
