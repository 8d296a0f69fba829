"""A network for one run: a bridge, and machines on it whose cables can be pulled.

Each machine is a network namespace with one end of a veth pair; services and visitors are on the
bridge itself, in this process's own namespace. Where namespaces are not possible (not root, no
`ip`), machines are loopback addresses: all but pulled cables works there, too.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Machine", "Network", "network"]

HOSTS: Final = Path("/etc/netns")
"""`ip netns exec NAME` shows a process HOSTS/NAME/hosts as /etc/hosts."""

_PREFIX: Final = "atc"
_OURS: Final = re.compile(rf"{_PREFIX}-(\d+)-[a-z0-9]+")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stderr)


@dataclass(frozen=True)
class Machine:
    """One computer of the network.

    Attributes:
        name: Of a few letters and digits, such as ``a``.
        address: Its IPv4 address.
        namespace: Empty: it is only an address.
        cable: The bridge's end of its veth pair.
    """

    name: str
    address: str
    namespace: str = ""
    cable: str = ""

    @property
    def prefix(self) -> list[str]:
        """What a command on it starts with; the process id is that of the command itself."""
        return ["ip", "netns", "exec", self.namespace] if self.namespace else []

    def pull_cable(self) -> None:
        """Pull the plug: nothing passes, and nobody hears of it."""
        _run("ip", "link", "set", self.cable, "down")

    def plug_cable(self) -> None:
        """Put the plug back."""
        _run("ip", "link", "set", self.cable, "up")


@dataclass
class Network:
    """The bridge and its machines.

    Attributes:
        has_cables: Whether machines are namespaces, and not only addresses.
        own: The address of this process, where services listen and visitors come from.
    """

    start: str  # the first three numbers of its addresses
    has_cables: bool
    bridge: str = ""
    machines: list[Machine] = field(default_factory=list)

    @property
    def own(self) -> str:
        """The address of the bridge."""
        return f"{self.start}.1"

    def add(self, name: str) -> Machine:
        """Add a machine whose addresses nobody else on the network has."""
        number = len(self.machines) + 11
        address = f"{self.start}.{number}"
        if not self.has_cables:
            machine = Machine(name, address)
            self.machines.append(machine)
            return machine
        space, cable = f"{_PREFIX}-{os.getpid()}-{name}", f"{self.bridge}n{number}"
        machine = Machine(name, address, space, cable)
        _run("ip", "netns", "add", space)
        self.machines.append(machine)
        _run("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", space)
        _run("ip", "link", "set", cable, "master", self.bridge, "up")
        _run("ip", "-n", space, "link", "set", "lo", "up")
        _run("ip", "-n", space, "addr", "add", f"{address}/24", "dev", "eth0")
        _run("ip", "-n", space, "link", "set", "eth0", "up")
        _run("ip", "-n", space, "route", "add", "default", "via", self.own)
        return machine

    def resolve(self, machine: Machine, name: str, addresses: list[str]) -> None:
        """Let a name have several addresses on a machine, as DNS would say."""
        if machine.namespace:
            folder = HOSTS / machine.namespace
            folder.mkdir(parents=True, exist_ok=True)
            lines = ["127.0.0.1 localhost", *(f"{one} {name}" for one in addresses)]
            (folder / "hosts").write_text("\n".join(lines) + "\n")


@contextmanager
def network(*, may_have_cables: bool = True) -> Iterator[Network]:
    """A network that exists while the block lasts.

    Args:
        may_have_cables: False: loopback addresses, even where namespaces are possible.
    """
    number = os.getpid() % 250
    if not may_have_cables or _why_not():
        yield Network(f"127.77.{number}", has_cables=False)
        return
    _remove_left_over()
    made = Network(f"10.214.{number}", has_cables=True, bridge=f"{_PREFIX}{os.getpid()}")
    # With an address of its own: it would take one of a cable, and another when that is pulled.
    _run("ip", "link", "add", made.bridge, "address", "02:00:00:00:00:01", "type", "bridge")
    try:
        _run("ip", "addr", "add", f"{made.own}/24", "dev", made.bridge)
        _run("ip", "link", "set", made.bridge, "up")
        yield made
    finally:
        for machine in made.machines:
            _remove(machine.namespace)
        subprocess.run(["ip", "link", "delete", made.bridge], capture_output=True, check=False)


def _why_not() -> str:
    """Return why this machine has no namespaces, or an empty string."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "there is no `ip`; install iproute2"
    name = f"{_PREFIX}-{os.getpid()}-try"
    done = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    if done.returncode:
        return done.stderr.decode().strip()
    _remove(name)
    return ""


def _remove(namespace: str) -> None:
    # Its end of the veth pair goes with the namespace, and so does the other one.
    subprocess.run(["ip", "netns", "delete", namespace], capture_output=True, check=False)
    shutil.rmtree(HOSTS / namespace, ignore_errors=True)
    with suppress(OSError):
        HOSTS.rmdir()


def _remove_left_over() -> None:
    """Remove what a run has left that was killed."""
    done = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        found = _OURS.match(line)
        if found is not None and not Path(f"/proc/{found[1]}").exists():
            _remove(found[0])
            bridge = f"{_PREFIX}{found[1]}"
            subprocess.run(["ip", "link", "delete", bridge], capture_output=True, check=False)


def free_port(address: str) -> int:
    """Return a port that nobody has on an address of this process's own namespace."""
    with socket.create_server((address, 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
