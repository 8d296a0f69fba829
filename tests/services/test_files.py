from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asgi_tunnel import Services
from asgi_tunnel.services.files import READ_SIZE, content_type
from asgi_tunnel.testing import LocalEdge

TEXT = bytes(range(256)) * 8


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with files, and files that are none of a visitor's business."""
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "photo.jpg").write_bytes(TEXT)
    (root / "nothing").write_bytes(b"")
    (root / "big").write_bytes(b"x" * (2 * READ_SIZE + 5))
    (root / "sub" / "index.html").write_text("<p>sub")
    (root / "a&b <c>.txt").write_text("odd")
    (root / ".env").write_text("secret")
    (root / ".well-known").mkdir()
    (root / ".well-known" / "x").write_text("known")
    (tmp_path / "secret").write_text("secret")
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "outdir").symlink_to(tmp_path)
    (root / "in").symlink_to(root / "photo.jpg")
    os.mkfifo(root / "pipe")
    return root


@pytest.fixture
async def edge(folder: Path) -> AsyncIterator[LocalEdge]:
    """The folder, once below a path and once with listings."""
    services = Services(
        {
            "*/files": {"to": str(folder), "listing": True},
            "*": {"to": str(folder)},
        }
    )
    async with LocalEdge(services) as found:
        yield found


async def test_a_file_is_served_with_its_type_and_validators(edge: LocalEdge) -> None:
    """The bytes, their length, media type, ETag and time; HEAD has the same without the bytes."""
    response = await edge.get("/photo.jpg")
    assert (response.status, response.body) == (200, TEXT)
    assert response.headers.get("content-type") == "image/jpeg"
    assert response.headers.get("accept-ranges") == "bytes"
    head = await edge.request("HEAD", "/photo.jpg")
    assert head.body == b""
    assert head.headers == response.headers
    assert (await edge.get("/big")).body == b"x" * (2 * READ_SIZE + 5)
    assert (await edge.get("/nothing")).body == b""
    assert (await edge.get("/in")).body == TEXT
    assert (await edge.get("/.well-known/x")).text == "known"


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=10-19", (10, 20)),
        ("bytes=2000-", (2000, 2048)),
        ("bytes=-5", (2043, 2048)),
        ("bytes=-99999", (0, 2048)),
        ("bytes=0-99999", (0, 2048)),
    ],
)
async def test_a_range_is_a_part(edge: LocalEdge, wanted: str, expected: tuple[int, int]) -> None:
    """206 with the part that was asked for."""
    start, end = expected
    response = await edge.get("/photo.jpg", headers={"range": wanted})
    assert (response.status, response.body) == (206, TEXT[start:end])
    assert response.headers.get("content-range") == f"bytes {start}-{end - 1}/2048"
    assert response.headers.get("content-length") == str(end - start)


@pytest.mark.parametrize("wanted", ["bytes=0-1,3-4", "bytes=5-2", "lines=1-2", "bytes=-", "x"])
async def test_other_ranges_get_the_whole(edge: LocalEdge, wanted: str) -> None:
    """What is no single range of bytes is ignored (RFC 9110 section 14.2)."""
    assert (await edge.get("/photo.jpg", headers={"range": wanted})).status == 200


@pytest.mark.parametrize("wanted", ["bytes=2048-", "bytes=99999-", "bytes=-0"])
async def test_a_range_behind_the_end_is_416(edge: LocalEdge, wanted: str) -> None:
    """With the size, so that a download can begin anew."""
    response = await edge.get("/photo.jpg", headers={"range": wanted})
    assert response.status == 416
    assert response.headers.get("content-range") == "bytes */2048"


async def test_conditions(edge: LocalEdge) -> None:
    """304 for what the visitor has, 412 for what it wants no more, If-Range for a continuation."""
    first = await edge.get("/photo.jpg")
    tag, date = first.headers.get("etag"), first.headers.get("last-modified")
    assert tag is not None
    assert date is not None
    old = "Thu, 01 Jan 1970 00:00:00 GMT"

    async def status(**headers: str) -> int:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return (await edge.get("/photo.jpg", headers=fields)).status

    assert await status(if_none_match=tag) == 304
    assert await status(if_none_match=f'"x", W/{tag}') == 304
    assert await status(if_none_match="*") == 304
    assert await status(if_none_match='"x"', if_modified_since=date) == 200
    assert await status(if_modified_since=date) == 304
    assert await status(if_modified_since=old) == 200
    assert await status(if_modified_since="nonsense") == 200
    assert await status(if_match='"x"') == 412
    assert await status(if_match=tag) == 200
    assert await status(if_unmodified_since=old) == 412
    assert await status(range="bytes=0-1", if_range=tag) == 206
    assert await status(range="bytes=0-1", if_range=date) == 206
    assert await status(range="bytes=0-1", if_range='"x"') == 200
    assert await status(range="bytes=0-1", if_range=f"W/{tag}") == 200
    assert await status(range="bytes=0-1", if_range=old) == 200


@pytest.mark.parametrize(
    "path",
    [
        "/../secret",
        "/sub/../../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/..%5csecret",
        "/sub/%2e%2e/photo.jpg",
        "//photo.jpg",
        "/sub//index.html",
        "/.env",
        "/%2eenv",
        "/out",
        "/outdir/secret",
        "/outdir/",
        "/pipe",
        "/photo.jpg%00.txt",
        "/photo.jpg/",
        "/nowhere",
        "/" + "x" * 5000,
        "/%ff%fe",
        "/files/.env",
        "/files/../../secret",
        "/.well-known",
        "/empty/",
    ],
)
async def test_nothing_else_is_there(edge: LocalEdge, path: str) -> None:
    """No way out of the folder, nothing hidden, no pipe, no listing unless it was asked for."""
    response = await edge.get(path)
    assert response.status in ((404, 400) if path != "/.well-known" else (301,))
    assert b"secret" not in response.body


async def test_folders(edge: LocalEdge) -> None:
    """index.html where it is; without the slash a redirect that keeps the query."""
    assert (await edge.get("/sub/")).text == "<p>sub"
    moved = await edge.get("/sub?x=1")
    assert (moved.status, moved.headers.get("location")) == (301, "/sub/?x=1")
    moved = await edge.get("/files/sub")
    assert moved.headers.get("location") == "/files/sub/"
    moved = await edge.get("/files?x")
    assert moved.status == 200


async def test_a_listing_shows_what_may_be_seen(edge: LocalEdge) -> None:
    """Names are escaped; hidden ones are not in it."""
    page = (await edge.get("/files/")).text
    assert '<a href="./a%26b%20%3Cc%3E.txt">a&amp;b &lt;c&gt;.txt</a>' in page
    assert '<a href="./sub/">sub/</a>' in page
    assert ".env" not in page
    assert "../" not in page
    assert '<a href="../">' in (await edge.get("/files/empty/")).text


async def test_files_are_only_read(edge: LocalEdge) -> None:
    """405 with the methods that are there."""
    response = await edge.post("/photo.jpg", b"x")
    assert (response.status, response.headers.get("allow")) == (405, "GET, HEAD")


def test_types() -> None:
    """A file that is compressed is what it is, not a coding of something else."""
    assert content_type("a.tar.gz") == "application/gzip"
    assert content_type("a.js") == "text/javascript; charset=utf-8"
    assert content_type("a.HTML") == "text/html; charset=utf-8"
    assert content_type("a") == "application/octet-stream"
