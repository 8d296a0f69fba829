"""The guest book as visitors see it; runs over any address that conftest's `base_url` gives."""

import ipaddress
import json
import re
from collections.abc import Callable, Iterator
from uuid import uuid4

import httpx
import pytest

NewVisitor = Callable[[], httpx.Client]

_PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 400
_MIB = 1024 * 1024


def _sign(
    visitor: httpx.Client, text: str, *, name: str = "Ada", picture: bytes | None = None
) -> httpx.Response:
    """Fill in the form as a browser does: load the page, send its token back, name its origin."""
    page = visitor.get("/")
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert token is not None, page.text
    return visitor.post(
        "/",
        data={"csrfmiddlewaretoken": token[1], "name": name, "text": text},
        files={"picture": ("../me.png", picture, "text/html")} if picture is not None else None,
        headers={"Origin": str(visitor.base_url).rstrip("/")},
    )


def _read_event(lines: Iterator[str]) -> tuple[str, dict[str, object]]:
    """Return id and data of the next entry event."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields.get("event") == "entry":
            return fields["id"], json.loads(fields["data"])
        else:
            fields.clear()
    raise AssertionError("the stream ended")


def test_page_shows_form(visitor: httpx.Client) -> None:
    """The page is HTML and holds a form."""
    page = visitor.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "Sign the book" in page.text


def test_entry_is_stored(visitor: httpx.Client, new_visitor: NewVisitor) -> None:
    """A signed entry redirects to the page, which thanks the writer and shows it to everybody."""
    text = f"hello {uuid4()}"
    answer = _sign(visitor, text)
    assert (answer.status_code, answer.headers["location"]) == (302, "/")
    page = visitor.get("/")
    assert text in page.text
    assert "Thank you" in page.text
    assert text in new_visitor().get("/").text


def test_entry_is_escaped(visitor: httpx.Client) -> None:
    """Markup in an entry is shown, not run."""
    mark = uuid4().hex
    _sign(visitor, f"<script>{mark}</script>")
    page = visitor.get("/").text
    assert f"&lt;script&gt;{mark}" in page
    assert f"<script>{mark}" not in page


def test_empty_entry_is_refused(visitor: httpx.Client) -> None:
    """A form without text comes back with a reason."""
    answer = _sign(visitor, "")
    assert answer.status_code == 422
    assert "This field is required" in answer.text


def test_post_without_token_is_forbidden(visitor: httpx.Client) -> None:
    """A POST without the form's token is answered 403."""
    assert visitor.post("/", data={"name": "Eve", "text": "hi"}).status_code == 403


def test_foreign_origin_is_forbidden(visitor: httpx.Client) -> None:
    """A POST with a good token is still refused when another site sent it."""
    token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', visitor.get("/").text)
    assert token is not None
    answer = visitor.post(
        "/",
        data={"csrfmiddlewaretoken": token[1], "name": "Eve", "text": "hi"},
        headers={"Origin": "https://evil.example"},
    )
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/static/guestbook/guestbook.css", "text/css"),
        (
            "/static/guestbook/guestbook.js",
            "javascript",
        ),  # text/ or application/, by Python version
        ("/static/guestbook/mark.svg", "image/svg+xml"),
        ("/static/admin/css/base.css", "text/css"),
    ],
)
def test_static_file(visitor: httpx.Client, path: str, media_type: str) -> None:
    """Static files are served by the app itself, with their type, and revalidated by date."""
    file = visitor.get(path)
    assert file.status_code == 200
    assert file.headers["content-type"].partition(";")[0].endswith(media_type)
    assert int(file.headers["content-length"]) > 0
    again = visitor.get(path, headers={"If-Modified-Since": file.headers["last-modified"]})
    assert again.status_code == 304


@pytest.mark.parametrize(
    "path", ["none.css", "", "guestbook/", "guestbook/%2e%2e/%2e%2e/models.py", "%00", "x" * 3000]
)
def test_other_static_paths_find_nothing(visitor: httpx.Client, path: str) -> None:
    """A missing file, a folder, or a path that climbs out of the static folders is answered 404."""
    assert visitor.get(f"/static/{path}").status_code == 404


def test_stats_count_entries(visitor: httpx.Client) -> None:
    """The asynchronous view counts a new entry and its picture."""
    before = visitor.get("/stats").json()
    _sign(visitor, "counted", name=uuid4().hex, picture=_PNG)
    after = visitor.get("/stats").json()
    for field in ("entries", "people", "pictures"):
        assert after[field] == before[field] + 1
    assert after["latest"] is not None


def test_entry_arrives_live(visitor: httpx.Client, new_visitor: NewVisitor) -> None:
    """An entry reaches the open stream of somebody else while both are connected."""
    text = f"live {uuid4()}"
    with visitor.stream("GET", "/events") as stream:
        assert stream.headers["content-type"] == "text/event-stream"
        lines = stream.iter_lines()
        assert next(lines).startswith("retry:")  # sent before anything happened
        _sign(new_visitor(), text)
        event_id, data = _read_event(lines)
    assert str(data["id"]) == event_id
    assert text in str(data["html"])


def test_stream_resumes(visitor: httpx.Client) -> None:
    """A browser that reconnects with the last id it saw gets the entries it missed, in order."""
    with visitor.stream("GET", "/events") as stream:
        lines = stream.iter_lines()
        next(lines)
        _sign(visitor, "seen")
        last_seen, _ = _read_event(lines)
    texts = [f"missed {uuid4()}" for _ in range(2)]
    for text in texts:
        _sign(visitor, text)
    with visitor.stream("GET", "/events", headers={"Last-Event-ID": last_seen}) as stream:
        lines = stream.iter_lines()
        for text in texts:
            assert text in str(_read_event(lines)[1]["html"])


def test_picture_is_shown(visitor: httpx.Client) -> None:
    """A picture comes back byte for byte, typed by its content, not by what the sender claimed."""
    _sign(visitor, "with picture", picture=_PNG)
    source = re.search(r'<img src="(/picture/\d+)"', visitor.get("/").text)
    assert source is not None
    picture = visitor.get(source[1])
    assert picture.content == _PNG
    assert picture.headers["content-type"] == "image/png"
    assert picture.headers["x-content-type-options"] == "nosniff"
    assert visitor.head(source[1]).headers["content-length"] == str(len(_PNG))


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        pytest.param(b"<svg onload=alert(1)>", "Please choose a PNG", id="type"),
        pytest.param(_PNG[:8] + bytes(8 * _MIB), "the limit is 8 MiB", id="size"),
    ],
)
def test_bad_picture_is_refused(visitor: httpx.Client, picture: bytes, reason: str) -> None:
    """A file that is no picture, or too large a one, comes back with a reason."""
    answer = _sign(visitor, "refused", picture=picture)
    assert answer.status_code == 422
    assert reason in answer.text


def test_huge_body_is_refused(visitor: httpx.Client) -> None:
    """A body above the limit is answered 413, with a length or without."""
    assert visitor.post("/", content=bytes(11 * _MIB)).status_code == 413
    chunks = (bytes(_MIB) for _ in range(11))
    assert visitor.post("/", content=chunks).status_code == 413


def test_whoami_tells_the_truth(visitor: httpx.Client) -> None:
    """The app knows the visitor's scheme, host and address, and believes no forwarded header."""
    answer = visitor.get(
        "/whoami",
        headers={
            "X-Forwarded-For": "203.0.113.9",
            "X-Forwarded-Host": "evil.example",
            "X-Forwarded-Proto": "https" if visitor.base_url.scheme == "http" else "http",
        },
    ).json()
    assert answer["scheme"] == visitor.base_url.scheme
    assert answer["secure"] == (visitor.base_url.scheme == "https")
    assert answer["host"] == visitor.base_url.netloc.decode()
    assert ipaddress.ip_address(answer["client"]) != ipaddress.ip_address("203.0.113.9")


def test_unknown_host_is_refused(visitor: httpx.Client) -> None:
    """An unlisted hostname gets nothing: 400 from Django, 404 or 421 from an edge before it."""
    answer = visitor.get("/whoami", headers={"Host": "other.example"})
    assert answer.status_code in {400, 404, 421}


def test_cookie_is_secure_over_https(visitor: httpx.Client) -> None:
    """The form's cookie is marked Secure exactly when the page came by https."""
    cookie = visitor.get("/").headers["set-cookie"]
    assert ("Secure" in cookie) == (visitor.base_url.scheme == "https")


def test_admin_asks_to_log_in(visitor: httpx.Client) -> None:
    """The admin is on and shows strangers its login page."""
    page = visitor.get("/admin/", follow_redirects=True)
    assert page.url.path == "/admin/login/"
    assert page.status_code == 200


def test_bad_ids_are_harmless(visitor: httpx.Client) -> None:
    """An id that is no number, or far too long a one, changes nothing."""
    for bad in ("x", "9" * 30, "9" * 5000):
        assert visitor.get("/", params={"before": bad}).status_code == 200
    assert visitor.get(f"/picture/{'9' * 30}").status_code == 404


def test_log_is_clean(base_url: str, server_log: list[str]) -> None:
    """Nothing above escaped from the app, ended in a 500, or made Python warn."""
    log = "".join(server_log)
    for trouble in ("Exception in ASGI application", "Internal Server Error", "Warning:"):
        assert trouble not in log
