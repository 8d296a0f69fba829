from __future__ import annotations

import os
import signal
import subprocess
import sys

from asgi_tunnel_edge.commands.live import until_ended


def test_signals_are_the_end() -> None:
    """Ctrl-C and SIGTERM end it like a command that is done; SIGTERM means what it did, after."""
    before = signal.getsignal(signal.SIGTERM)
    for number in (signal.SIGINT, signal.SIGTERM):
        is_over = False
        with until_ended():
            signal.raise_signal(number)
            is_over = True
        assert not is_over
        assert signal.getsignal(signal.SIGTERM) == before


def test_nobody_reads() -> None:
    """A pipe that is closed is the end too, without a word."""
    code = (
        "from asgi_tunnel_edge.commands.live import until_ended\n"
        "with until_ended():\n"
        "    while True: print('x' * 10000)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(100)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(20) == 0
