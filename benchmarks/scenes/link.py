"""A slow line between two hosts: three network namespaces, a delay line and two token buckets.

::

    app's host  ==(delay line)==  router  ==(veth)==  edge's host

The rate is limited in the router, each way, with a queue as a home router has it; on the sender's
own host the kernel would count that queue as the socket's, and keep it shorter than it is.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import which

from benchmarks.drivers.launch import driver
from benchmarks.process import BrokenSystemError


@dataclass(frozen=True)
class Line:
    """What the line does.

    Attributes:
        rate: Bits a second, each way.
        round_trip: Seconds, without any queue.
        queue: Seconds of traffic that the router keeps before it drops, each way.
        congestion: The congestion control of both hosts' TCPs.
    """

    rate: float = 20e6
    round_trip: float = 0.040
    queue: float = 0.100
    congestion: str = "reno"


@dataclass(frozen=True)
class Link:
    """A line that is up.

    Attributes:
        app: The namespace of the app's host.
        edge: The namespace of the edge's host.
        app_address: Of the app's host.
        edge_address: Of the edge's host, where the app reaches it.
    """

    app: str
    edge: str
    app_address: str
    edge_address: str

    @property
    def on_app(self) -> list[str]:
        """What a command on the app's host starts with."""
        return ["ip", "netns", "exec", self.app]

    @property
    def on_edge(self) -> list[str]:
        """What a command on the edge's host starts with."""
        return ["ip", "netns", "exec", self.edge]


def why_not() -> str:
    """Return why this machine cannot do it, or an empty string."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for tool in ("ip", "tc"):
        if which(tool) is None:
            return f"{tool} is not installed"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "there is no /dev/net/tun"
    name = f"att-try-{os.getpid()}"
    done = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    if done.returncode:
        return f"no network namespaces here: {done.stderr.decode().strip()}"
    subprocess.run(["ip", "netns", "delete", name], check=False)
    return ""


def congestion_control() -> str:
    """Return what TCP does on this machine, and in a namespace that nobody has changed."""
    return Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BrokenSystemError(f"{' '.join(command)}: {done.stderr.strip()}")


def _inside(namespace: str, *command: str) -> None:
    _run("ip", "netns", "exec", namespace, *command)


@contextmanager
def _namespace(name: str, congestion: str) -> Iterator[str]:
    _run("ip", "netns", "add", name)
    try:
        _inside(name, "ip", "link", "set", "lo", "up")
        if congestion != congestion_control():
            # Not even root may choose here what the machine does not allow everybody.
            _inside(name, "sysctl", "-q", "-w", f"net.ipv4.tcp_congestion_control={congestion}")
        yield name
    finally:
        _run("ip", "netns", "delete", name)


def _up(namespace: str, device: str, address: str) -> None:
    """Give a device its address and start it; with room for a burst that TCP sends at once."""
    _inside(namespace, "ip", "addr", "add", f"{address}/30", "dev", device)
    _inside(namespace, "ip", "link", "set", device, "txqueuelen", "5000", "up")


def _limit(namespace: str, device: str, line: Line) -> None:
    """Send from ``device`` no faster than the line; what is too much waits, then is dropped."""
    bucket = ["rate", f"{line.rate:.0f}bit", "burst", "6kb"]
    queue = ["limit", f"{line.rate / 8 * line.queue:.0f}"]
    _inside(namespace, "tc", "qdisc", "add", "dev", device, "root", "tbf", *bucket, *queue)


@contextmanager
def link(line: Line) -> Iterator[Link]:
    """A line between two hosts, while the block lasts."""
    number = os.getpid() % 10_000
    near, far = f"atta{number}", f"attl{number}"  # the ends of the delay line
    left, right = f"attv{number}", f"attw{number}"  # the ends of the veth pair
    address = [f"10.214.{number % 250}.{last}" for last in (1, 2, 5, 6)]
    with ExitStack() as stack:
        app, router, edge = (
            stack.enter_context(_namespace(f"att-{os.getpid()}-{name}", line.congestion))
            for name in ("app", "router", "edge")
        )
        ends: Sequence[str] = (f"{near}:{app}", f"{far}:{router}")
        stack.enter_context(driver("line", "--delay", line.round_trip / 2, *ends))
        pair = ["link", "add", left, "type", "veth", "peer", "name", right, "netns", edge]
        _inside(router, "ip", *pair)
        _inside(router, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
        _up(app, near, address[1])
        _up(router, far, address[0])
        _up(router, left, address[2])
        _up(edge, right, address[3])
        _inside(app, "ip", "route", "add", "default", "via", address[0])
        _inside(edge, "ip", "route", "add", "default", "via", address[2])
        _limit(router, far, line)
        _limit(router, left, line)
        yield Link(app, edge, address[1], address[3])
