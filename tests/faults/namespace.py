"""A home of its own for the app: a network namespace behind a veth pair that can go down."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from shutil import which


def why_not() -> str:
    """Return why this machine cannot do it, or an empty string."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for tool in ("ip", "iptables"):
        if which(tool) is None:
            return f"{tool} is not installed"
    name = f"att-try-{os.getpid()}"
    done = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    if done.returncode:
        return f"no network namespaces here: {done.stderr.decode().strip()}"
    subprocess.run(["ip", "netns", "delete", name], check=False)
    return ""


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stderr)


@dataclass
class Home:
    """A namespace, its link, and the addresses of both ends.

    Attributes:
        edge_address: Where the edge is reached from inside.
    """

    name: str
    outside: str
    inside: str
    network: str  # the first three numbers of its addresses
    host: int = 2

    @property
    def edge_address(self) -> str:
        """The other end of the link."""
        return f"{self.network}.1"

    def prefix(self) -> list[str]:
        """What a command inside starts with."""
        return ["ip", "netns", "exec", self.name]

    def drop(self) -> None:
        """Drop every packet, silently, both ways."""
        for chain in ("INPUT", "OUTPUT"):
            _run(*self.prefix(), "iptables", "-A", chain, "-j", "DROP")

    def pass_again(self) -> None:
        """Drop no more."""
        _run(*self.prefix(), "iptables", "-F")

    def link_down(self) -> None:
        """Pull the plug."""
        _run(*self.prefix(), "ip", "link", "set", self.inside, "down")

    def link_up(self) -> None:
        """Put the plug back; the route is gone with it."""
        _run(*self.prefix(), "ip", "link", "set", self.inside, "up")

    def change_address(self) -> None:
        """Get another address, as after a router's restart: packets of the old one go nowhere."""
        old, self.host = self.host, self.host + 1
        change = [*self.prefix(), "ip", "addr"]
        _run(*change, "del", f"{self.network}.{old}/24", "dev", self.inside)
        _run(*change, "add", f"{self.network}.{self.host}/24", "dev", self.inside)


@contextmanager
def home() -> Iterator[Home]:
    """A namespace that exists while the block lasts."""
    number = os.getpid() % 250
    made = Home(f"att-{os.getpid()}", f"atto{number}", f"atti{number}", f"10.213.{number}")
    _run("ip", "netns", "add", made.name)
    try:
        _run("ip", "link", "add", made.outside, "type", "veth", "peer", "name", made.inside)
        _run("ip", "link", "set", made.inside, "netns", made.name)
        _run("ip", "addr", "add", f"{made.network}.1/24", "dev", made.outside)
        _run("ip", "link", "set", made.outside, "up")
        _run(*made.prefix(), "ip", "link", "set", "lo", "up")
        _run(*made.prefix(), "ip", "addr", "add", f"{made.network}.2/24", "dev", made.inside)
        _run(*made.prefix(), "ip", "link", "set", made.inside, "up")
        yield made
    finally:
        # Its end of the pair goes with the namespace, and so does the other one.
        _run("ip", "netns", "delete", made.name)
        subprocess.run(["ip", "link", "delete", made.outside], capture_output=True, check=False)
