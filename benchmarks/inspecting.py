"""What the inspector costs: an exchange that nobody records, and one at each level.

    python -m benchmarks.inspecting [--rounds 10] [--count 4000]

The small exchange of :mod:`.hot_path`, in turn: without an inspector, with one that is switched
off, and at both levels, with nobody who looks on and, at "metadata", with one who does. The ring is
full from the begin, as it is after some minutes. Printed is the time of one exchange, the best
round of each, and what it has more than the first: for an idle machine.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Final

import uvloop

import asgi_tunnel.session
from asgi_tunnel.inspector.recorder import OFF, Recorder
from asgi_tunnel.inspector.settings import Inspect
from asgi_tunnel.protocol.head import Arrival, RequestHead

from .hot_path import Extras, measure
from .model import HOSTNAME

_HEAD: Final = RequestHead(
    b"GET",
    b"/",
    Arrival(b"http", b"1.1", b"192.0.2.1", 1, b"192.0.2.2", 80),
    b"r",
    HOSTNAME.encode(),
    [],
)


def _recorder(settings: Inspect, *, level: str = "", viewers: int = 0) -> Recorder:
    recorder = Recorder(settings)
    while not recorder.ring.lost:
        record = recorder.begin(_HEAD)
        if record is not None:
            record.finish()
    recorder.level = level or settings.level
    recorder.ring.journal.viewers = viewers
    return recorder


async def run(rounds: int, count: int) -> list[str]:
    """Return the lines to print."""
    metadata, full = Inspect(), Inspect(level="full")
    kinds = {
        "no inspector": Extras(),
        "switched off": Extras(recorder=_recorder(metadata, level=OFF)),
        "metadata": Extras(recorder=_recorder(metadata)),
        "metadata, one looks on": Extras(recorder=_recorder(metadata, viewers=1)),
        "full": Extras(recorder=_recorder(full)),
    }
    best = dict.fromkeys(kinds, 1.0)
    for _ in range(rounds):
        for name, extras in kinds.items():
            best[name] = min(best[name], sum(await measure(count, 32, extras)))
    return [
        f"{name:22} {seconds * 1e6:7.2f} us {(seconds - best['no inspector']) * 1e6:+7.2f} us"
        for name, seconds in best.items()
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="of each")
    parser.add_argument("--count", type=int, default=4000, help="exchanges in one")
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        lines = runner.run(run(options.rounds, options.count))
    compiled = "compiled" if (asgi_tunnel.session.__file__ or "").endswith(".so") else "plain"
    sys.stdout.write("\n".join([*lines, f"({compiled})", ""]))


if __name__ == "__main__":
    main()
