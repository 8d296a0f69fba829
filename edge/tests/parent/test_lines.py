from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

CODE = """
import os, sys
from asgi_tunnel_edge.parent.lines import log, reopen_streams
reopen_streams()
log("INFO", "one\\ntwo")
os.rename(sys.argv[1], sys.argv[1] + ".1")
log("ERROR", "three")
"""


def test_a_file_that_is_renamed(tmp_path: Path) -> None:
    """A line has the form of the edge's others; a renamed file is left."""
    path = tmp_path / "log"
    with path.open("ab") as file:
        subprocess.run([sys.executable, "-c", CODE, str(path)], stderr=file, check=True)
    (first,) = path.with_suffix(".1").read_text().splitlines()
    assert re.fullmatch(r"\S+\.\d{3}Z INFO asgi_tunnel_edge\.parent: one two", first)
    assert path.read_text().endswith("Z ERROR asgi_tunnel_edge.parent: three\n")


def test_a_pipe_that_nobody_reads() -> None:
    """Nothing waits for a reader: what finds no room is left out."""
    reading, writing = os.pipe()
    code = "from asgi_tunnel_edge.parent.lines import log\n"
    code += "for _ in range(2000): log('INFO', 'x' * 500)"
    subprocess.run([sys.executable, "-c", code], stderr=writing, check=True, timeout=20)
    os.close(writing)
    os.close(reading)
