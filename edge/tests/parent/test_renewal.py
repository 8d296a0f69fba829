"""A parent that cannot become another version stays as it is; one that can: test_main."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from asgi_tunnel_edge.parent import renewal
from asgi_tunnel_edge.parent.renewal import FORMAT, renew, try_out

DOCUMENT = {"format": FORMAT, "arguments": ["--data", "/somewhere"]}


def program(folder: Path, text: str) -> str:
    """A program in place of the interpreter."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return str(path)


def test_the_installed_version_reads_it() -> None:
    """A version that knows the format can go on; one that expects another cannot."""
    assert try_out(DOCUMENT) == ""
    assert try_out({**DOCUMENT, "format": FORMAT + 1}).endswith("cannot go on from here (code 1)")


def test_one_that_cannot_be_tried_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an interpreter, or with one that does not end, the sentence says so."""
    monkeypatch.setattr(renewal, "TRIAL_TIMEOUT", 0.05)
    monkeypatch.setattr(sys, "executable", program(tmp_path, "exec sleep 60"))
    assert try_out(DOCUMENT).endswith(f"(code {-signal.SIGKILL})")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    assert try_out(DOCUMENT) == "it cannot be tried out (No such file or directory)"


@pytest.mark.parametrize("call", ["pidfd_open", "memfd_create"])
def test_a_system_that_refuses(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter of system calls, or no room: a sentence, and no process is left behind."""

    def refuse(*_: object) -> int:
        raise PermissionError(1, "Operation not permitted")

    children = Path(f"/proc/self/task/{threading.get_native_id()}/children")
    before = children.read_text()
    monkeypatch.setattr(os, call, refuse)
    assert try_out(DOCUMENT).endswith("(Operation not permitted)")
    assert children.read_text() == before
    if call == "memfd_create":
        assert renew(DOCUMENT, []).endswith("(Operation not permitted)")


def test_one_that_cannot_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All is as it was, and no descriptor leaks into a serving process."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    reading, writing = os.pipe()
    before = len(list(Path("/proc/self/fd").iterdir()))
    try:
        why = renew(DOCUMENT, [reading])
        assert why == "the installed version cannot be started (No such file or directory)"
        assert not os.get_inheritable(reading)
        assert len(list(Path("/proc/self/fd").iterdir())) == before
    finally:
        os.close(reading)
        os.close(writing)
