"""Feed the readers of bytes from strangers with what a coverage-guided fuzzer makes up.

Runs the targets of ``fuzz/`` one after the other under atheris, which is installed into ``build/``
the first time.  New inputs are kept in ``build/fuzz/NAME``; ``fuzz/corpus/NAME`` is what a run
starts from, and is grown with ``--merge``.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
ATHERIS: Final = "atheris>=3,<4"
MAX_INPUT: Final = 4096
"""Bytes of one input: each limit that is near is below it, and short inputs run often."""

MAX_KEPT: Final = 256
"""Bytes of one input in the repository."""

_RUNS: Final = re.compile(r"(?:Done|stat::number_of_executed_units:)\s+(\d+)")


def install() -> Path:
    """Return a folder with atheris in it; it is for this script only, so not in ``.venv``."""
    folder = ROOT / "build" / "atheris"
    if not (folder / "atheris").is_dir():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder)]
        if subprocess.run([*command, ATHERIS], check=False).returncode:
            sys.exit(f"pip could not install {ATHERIS}; its message is above")
    return folder


def run(name: str, *options: str) -> int:
    """Run one target; return the exit code."""
    found = ROOT / "build" / "fuzz" / name
    found.mkdir(parents=True, exist_ok=True)
    seeds = ROOT / "fuzz" / "corpus" / name
    seeds.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(ROOT / "fuzz" / f"{name}.py")]
    is_merge = "-merge=1" in options
    folders = [str(seeds), str(found)] if is_merge else [str(found), str(seeds)]
    longest = MAX_KEPT if is_merge else MAX_INPUT
    options = (*options, f"-max_len={longest}", f"-artifact_prefix={found}/", "-timeout=10")
    paths = [str(install()), str(ROOT / "src"), str(ROOT / "edge" / "src")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [*command, *options, *folders], env=env, stderr=subprocess.PIPE, text=True, check=False
    )
    runs = _RUNS.search(done.stderr)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
    kept = len(list(seeds.iterdir()))
    what = f"{kept} inputs are kept" if is_merge else f"{runs[1] if runs else 'no'} runs"
    print(f"{name}: {what}, exit code {done.returncode}", flush=True)
    return done.returncode


def main() -> int:
    """Run all targets, or those that were asked for."""
    known = sorted(path.stem for path in (ROOT / "fuzz").glob("*.py"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="of each target")
    parser.add_argument("--only", choices=known, help="one target")
    parser.add_argument("--merge", action="store_true", help="keep what reaches something new")
    options = parser.parse_args()
    how = "-merge=1" if options.merge else f"-max_total_time={options.seconds}"
    return max(run(name, how) for name in ([options.only] if options.only else known))


if __name__ == "__main__":
    sys.exit(main())
