"""Memory that stays with a process of ours."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

MIB = 1024 * 1024

CHURN = f"""
from asgi_tunnel.memory import keep_memory
import resource, sys
if sys.argv[1] == "keep":
    keep_memory()
for _ in range(20):  # until the C library has seen that such pieces come again
    bytes({MIB} // 4)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(400):
    pieces = [bytearray(b"x") * ({MIB} // 4) for _ in range(8)]
    del pieces
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str, **env: str) -> int:
    """Pages that the kernel had to map for 400 turns of 2 MiB each, in a process of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", CHURN, how],
        env=clean | env,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_memory_of_large_reads_is_kept() -> None:
    """The same memory serves turn after turn, where else the kernel maps it anew each time."""
    assert faults("keep") < 5_000
    assert faults("leave") > 10 * faults("keep")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_the_environment_has_the_last_word() -> None:
    """An operator's own MALLOC_ variables are not overruled."""
    assert faults("keep", MALLOC_TRIM_THRESHOLD_="65536") > 10 * faults("keep")
