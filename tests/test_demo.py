from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.harness import spawn

DEMO = Path(__file__).parent.parent / "scripts/demo.py"
PARTS = ("edge", "app", "page", "upload", "download", "events", "chat", "no port")


@pytest.mark.e2e
def test_demo_proves_each_part_and_ends(tmp_path: Path) -> None:
    """`make demo ONCE=1` shows every part at work, away from the source tree, and exits with 0."""
    done = subprocess.run(
        [sys.executable, str(DEMO), "--once"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for part in PARTS:
        assert f"✓ {part} " in done.stdout
    assert "0 listening sockets" in done.stdout
    # What README.md shows of it, with other figures.
    text = (DEMO.parents[1] / "README.md").read_text(encoding="utf-8")
    shown = [line for line in text.splitlines() if line.startswith("  ✓ ")]
    assert len(shown) >= 5
    figures = re.compile(r"\d+(\.\d+)?")
    printed = {figures.sub("N", line) for line in done.stdout.splitlines()}
    assert [line for line in shown if figures.sub("N", line) not in printed] == []


@pytest.mark.e2e
def test_demo_ends_its_processes_on_ctrl_c(tmp_path: Path) -> None:
    """Ctrl-C ends the edge and the app, and takes the temporary folder away."""
    demo = spawn([sys.executable, str(DEMO)], tmp_path, env={"TMPDIR": str(tmp_path)})
    try:
        demo.wait_for("Ctrl-C ends the demo.")
        children = Path(f"/proc/{demo.pid}/task/{demo.pid}/children").read_text().split()
        assert len(children) == 2
    finally:
        code = demo.stop(signal.SIGINT)
    assert code == 0, demo.output
    assert not [child for child in children if Path(f"/proc/{child}").exists()]
    assert not list(tmp_path.glob("asgi-tunnel-demo-*"))
