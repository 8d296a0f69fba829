from __future__ import annotations

import json
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from asgi_tunnel_edge.observers.access_log import AccessLog, Entry

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = b'/a"b\\c\x1b[2J\x9b2J\x00\r\n\x7f\xff' + b"x" * 2000


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_a_visitor_sends_is_one_printable_line(form: str, tmp_path: Path) -> None:
    """T38: no byte of a request ends a line or a quoted text, or steers a terminal."""
    path = tmp_path / "access.log"
    log = AccessLog(form=form, path=path)
    log.start()
    log.closed(Entry(b"r1", b"192.0.2.7", b"G\nT", "-", HOSTILE, 404, 0, 0.0, "why\n"))
    log.stop()
    data = path.read_bytes()
    assert data.count(b"\n") == 1
    assert data.endswith(b"\n")
    assert data[:-1].decode("utf-8").isprintable()
    assert len(data) < 1500
    if form == "json":
        row = json.loads(data)
        assert row["target"] == HOSTILE[:1024].decode("latin-1")
    else:
        assert data.count(b'"') == 2
        assert b"x22b" in data


def entry(number: int) -> Entry:
    """An exchange of this number."""
    target = b"/%d" % number
    return Entry(b"r1", b"192.0.2.7", b"GET", "shop.test", target, 200, 0, 0.0, "")


def write(log: AccessLog, *numbers: int) -> None:
    """Have lines written, and return when they are."""
    for number in numbers:
        log.closed(entry(number))
        log.flush()
    deadline = time.monotonic() + 10
    while log._waiting:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def targets(path: Path) -> list[str]:
    """The targets in a log, one for each whole line."""
    return [line.split('"')[1].removeprefix("GET /") for line in path.read_text().splitlines()]


def test_no_folder(tmp_path: Path) -> None:
    """A log that cannot be opened is known before the thread starts."""
    with pytest.raises(FileNotFoundError):
        AccessLog(path=tmp_path / "missing" / "access.log").open()


def test_full_disk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Lines without room are counted, said at once and then at most once a minute."""
    path = tmp_path / "access.log"
    path.symlink_to("/dev/full")
    log = AccessLog(path=path)
    log.open()
    log.start()
    write(log, 1, 2, 3)
    assert [message[:42] for message in caplog.messages] == [
        "1 access log lines could not be written to"
    ]
    path.unlink()  # there is room again
    write(log, 4)
    log.stop()
    assert targets(path) == ["4"]
    assert caplog.messages[1].startswith("2 access log lines could not be written")


def test_rotation(tmp_path: Path) -> None:
    """A file that was renamed or removed is made anew; no line is lost or written twice."""
    path, old = tmp_path / "access.log", tmp_path / "access.log.1"
    log = AccessLog(path=path)
    log.open()
    log.start()
    write(log, 1)
    path.rename(old)
    write(log, 2)
    assert (targets(old), targets(path)) == (["1"], ["2"])
    path.unlink()
    write(log, 3)
    log.stop()
    assert targets(path) == ["3"]


def test_disk_that_fills_within_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Behind a line that was cut by a full disk, the next one begins a new line."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a file system can be mounted by root only")
    try:
        path, filler = disk / "access.log", disk / "filler"
        log = AccessLog(path=path)
        log.open()
        log.start()
        filler.write_bytes(b"x" * 4096)
        write(log, *range(400))
        assert "No space left on device" in caplog.text
        size = path.stat().st_size
        filler.unlink()
        write(log, 400)
        log.stop()
        data = path.read_bytes()
        assert data[size - 1 :].startswith(b"\n") or data[size:].startswith(b"\n")
        assert data.endswith(b"\n")
        assert b'"GET /400"' in data.splitlines()[-1]
        lost = sum(int(message.split()[0]) for message in caplog.messages)
        assert lost + len([one for one in data.splitlines() if one.endswith(b"ms")]) == 401
    finally:
        subprocess.run(["umount", str(disk)], check=True)
