"""What the inspector costs: an exchange that nobody records, and one at each level.

    python -m benchmarks.inspecting [--rounds 10] [--count 4000]

The small exchange of :mod:`.hot_path`, in turn: without an inspector, with one that is switched
off, and at both levels, with nobody who looks on and, at "metadata", with one who does. The ring is
full from the begin, as it is after some minutes. Printed is the time of one exchange, the best
round of each, and what it has more than the first: for an idle machine.
"""

from __future__ import annotations

from typing import Final

from asgi_tunnel.inspector.recorder import OFF, Recorder
from asgi_tunnel.inspector.settings import Inspect
from asgi_tunnel.protocol.head import Arrival, RequestHead

from .hot_path import Extras
from .in_turn import compare, print_lines
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
    return await compare(kinds, rounds, count)


if __name__ == "__main__":
    print_lines(run, __doc__)
