"""Full tables cost what ``docs/limits.md`` says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

MOST = 75.0
"""MB by which the process grows (RSS): the page says 50, another Python or allocator may differ."""


@pytest.mark.slow
@pytest.mark.timeout(180)  # three seconds on a machine with nothing else to do
def test_ten_thousand_groups_and_a_thousand_tokens_at_their_shares() -> None:
    """All tables at their bounds: far below what an edge may buffer (256 MiB)."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.shares", "--memory"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    *tables, last = done.stdout.splitlines()
    counts = {line[:52].strip(): line[52:].strip() for line in tables}
    assert counts["connections: one of each group"] == "10,000"
    assert counts["new connections of groups"] == counts["errors of groups"] == "32,768"
    assert counts["bans of scanners"] == "2,000"
    assert counts["lost sessions of tokens"] == "10,000"
    assert len(counts) == 10
    assert last.startswith("all (growth of RSS)")
    assert 10.0 < float(last.split()[-2]) <= MOST, done.stdout
