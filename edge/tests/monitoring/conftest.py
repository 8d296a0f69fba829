"""Prometheus and promtool, where they are; `make metrics` gets them, and does not skip."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[3] / "build/prometheus"


@pytest.fixture(scope="session")
def tools() -> Path:
    """The folder with both programs."""
    if not (FOLDER / "version").exists():
        if os.environ.get("PROMETHEUS_REQUIRED"):
            pytest.fail("there is no build/prometheus; run `scripts/prometheus.sh`")
        pytest.skip("there is no build/prometheus; `make metrics` gets it and runs these tests")
    return FOLDER
