"""A delay line for IP packets: what enters one TUN device leaves the other one so much later.

It works on packets, so the two TCPs at its ends see the round trip and nothing in between keeps
a byte for them.  It holds what is on the way and no more than that: senders are slowed by the
queue in front of it, which is the kernel's.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import select
import struct
import subprocess
import sys
import time
from collections import deque

_TUNSETIFF = 0x400454CA
_IFF_TUN = 0x0001
_IFF_NO_PI = 0x1000
_MTU = 2048


class Way:
    """One direction.

    Args:
        source: Descriptor of the TUN device that packets come from.
        target: Where they go.
        delay: Seconds.
    """

    def __init__(self, source: int, target: int, delay: float) -> None:
        self.source = source
        self._target = target
        self._delay = delay
        self._held: deque[tuple[float, bytes]] = deque()

    def take(self) -> None:
        """Read everything that is there."""
        while True:
            try:
                packet = os.read(self.source, _MTU)
            except BlockingIOError:
                return
            self._held.append((time.monotonic() + self._delay, packet))

    def pass_on(self) -> float | None:
        """Write what is due; return the seconds until the next one is, or None."""
        held = self._held
        while held:
            wait = held[0][0] - time.monotonic()
            if wait > 0:
                return wait
            try:
                os.write(self._target, held.popleft()[1])
            except OSError:
                pass  # the device is down or full: a network loses packets
        return None


def open_tun(name: str) -> int:
    """Make a TUN device; it goes with its descriptor."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return device


def main() -> None:
    """Make both devices, move each to its namespace, and pass packets until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay", type=float, required=True, help="seconds, each way")
    parser.add_argument("ends", nargs=2, help="DEVICE:NAMESPACE")
    options = parser.parse_args()
    devices = []
    for end in options.ends:
        name, _, namespace = end.partition(":")
        devices.append(open_tun(name))
        subprocess.run(["ip", "link", "set", name, "netns", namespace], check=True)
    here, there = devices
    ways = [Way(here, there, options.delay), Way(there, here, options.delay)]
    print(json.dumps({"ready": True}), flush=True)
    ends = [here, there, sys.stdin.fileno()]
    wait: float | None = None
    while True:
        # Not poll(), which rounds up to whole milliseconds.
        ready, _, _ = select.select(ends, [], [], wait)
        if sys.stdin.fileno() in ready:
            return
        waits = []
        for way in ways:
            if way.source in ready:
                way.take()
            waits.append(way.pass_on())
        wait = min((one for one in waits if one is not None), default=None)


if __name__ == "__main__":
    main()
