"""Run the public Autobahn cases against a WebSocket echo behind a real edge (`make autobahn`).

The case files are those of the Autobahn TestSuite; kosoku runs them on Python 3 and is installed
into ``build/`` the first time. Reports are in ``build/autobahn``. Exit codes: 0 no case failed,
1 at least one did.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.e2e.harness import running_app, running_edge  # noqa: E402 - needs the line above

KOSOKU: Final = "kosoku==0.1.0"
HOSTNAME: Final = "localhost"  # the one name that leads to this machine everywhere
GOOD: Final = frozenset({"OK", "NON-STRICT", "INFORMATIONAL"})
UNIMPLEMENTED: Final = "UNIMPLEMENTED"  # groups 12 and 13: compression is not offered

Message = dict[str, Any]


async def echo(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Send each message back as it came."""
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        text = message.get("text")
        name, value = ("bytes", message.get("bytes")) if text is None else ("text", text)
        await send({"type": "websocket.send", name: value})


def install() -> Path:
    """Return a folder with kosoku in it; it is for this script only, so not in ``.venv``."""
    folder = ROOT / "build" / "kosoku"
    if not (folder / "kosoku").is_dir():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder)]
        if subprocess.run([*command, KOSOKU], check=False).returncode:
            sys.exit(f"pip could not install {KOSOKU}; its message is above")
    return folder


def run_cases(url: str, reports: Path, patterns: list[str]) -> None:
    """Run kosoku; its report says more than its output and its exit code."""
    start = "from kosoku._cli import main; main()"
    command = [sys.executable, "-c", start, "--outdir", str(reports), "--parallelism", "4"]
    for pattern in patterns:
        command += ["--include", pattern]
    environment = {**os.environ, "PYTHONPATH": str(install())}
    subprocess.run([*command, url], env=environment, capture_output=True, check=False)


def judge(report: Path) -> int:
    """Print how many cases ended how, and those that failed; return the exit code."""
    agents = json.loads(report.read_text())
    cases = {name: case for agent in agents.values() for name, case in agent.items()}
    bad = {
        name: f"{case['behavior']}, close: {case['behaviorClose']}"
        for name, case in cases.items()
        if case["behavior"] not in GOOD | {UNIMPLEMENTED} or case["behaviorClose"] not in GOOD
    }
    for name, why in bad.items():
        print(f"{name}: {why}")
    counts = Counter(case["behavior"] for case in cases.values())
    print(f"{len(cases)} cases:", ", ".join(f"{n} {name}" for name, n in sorted(counts.items())))
    skipped = counts[UNIMPLEMENTED]
    print(f"{len(cases) - len(bad) - skipped} passed, {len(bad)} failed, {skipped} skipped")
    return 1 if bad or not cases else 0


def main() -> int:
    """Start an edge and the echo, run the cases, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", help="case ids or patterns like 7.*; default: all")
    options = parser.parse_args()
    reports = ROOT / "build" / "autobahn"
    (reports / "index.json").unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Case 9 sends messages of 16 MiB in all sizes of frames: the default limit lets them pass.
        with running_edge(folder) as edge:
            token = edge.create_token("echo", "--hostname", HOSTNAME)
            with running_app(folder, token, "autobahn:echo", app_dir=Path(__file__).parent):
                run_cases(f"ws://{HOSTNAME}:{edge.port}/", reports, options.cases)
    if not (reports / "index.json").exists():
        print("no case was run", file=sys.stderr)
        return 1
    return judge(reports / "index.json")


if __name__ == "__main__":
    sys.exit(main())
