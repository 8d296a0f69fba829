"""An operator's first hour, typed by a machine (`make hour`): an empty Debian, and one page.

Every command of docs/tutorial/first-hour.md is typed in an empty Debian root of its own, and what
it prints is compared with what the page shows. What a machine of a provider has and this one has
not is put in its place: a network of its own with the page's public address, a DNS server with the
page's records, pebble for Let's Encrypt (`make acme` builds it), and wheels of this checkout for
the package index. There is no systemd in it: `systemctl enable --now` starts what the unit says,
as its user.

Needs root and Linux; mmdebstrap and Debian's mirror for the root, which is kept in build/hour.
Exit codes: 0 all as the page says, 1 something differs, 2 it cannot be tried here.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import re
import shlex
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "edge")]

from edge.tests.acme.pebble import FOLDER as PEBBLE  # noqa: E402
from edge.tests.acme.pebble import Pebble, start_pebble  # noqa: E402
from scripts.check_docs import Page  # noqa: E402
from tests.blocks.console.terminal import compare, typed_commands  # noqa: E402

PAGE: Final = ROOT / "docs/tutorial/first-hour.md"
HOUR: Final = ROOT / "build/hour"
ADDRESS: Final = "100.128.0.10"
"""Of the machine, in its own network: the page's is for documents, and no public one."""
DOMAIN: Final = "example.org"
ZONE: Final = f"_acme-challenge.{DOMAIN}"
RESOLVER: Final = "127.0.0.53"
PATIENCE: Final = 60.0  # seconds for a line to appear, on a loaded machine
_NEWNS, _NEWNET = 0x00020000, 0x40000000


class CannotTryError(Exception):
    """The machine lacks something; the text says what."""


# -- the machine -----------------------------------------------------------------------------------


def unshare(what: int) -> None:
    """Give this process, and what it starts from now on, mounts or a network of its own."""
    if ctypes.CDLL(None, use_errno=True).unshare(what):
        raise CannotTryError(f"no namespace of its own: {os.strerror(ctypes.get_errno())}")


def make_root() -> Path:
    """Return a fresh empty Debian: a copy of the one in build/hour, which is made where missing."""
    empty = HOUR / "empty"
    if not (empty / "etc/debian_version").exists():
        if shutil.which("mmdebstrap") is None:
            raise CannotTryError("mmdebstrap was not found: apt-get install mmdebstrap.")
        print("hour: making an empty Debian (a minute)")
        shutil.rmtree(empty, ignore_errors=True)
        empty.parent.mkdir(parents=True, exist_ok=True)
        # What images of providers have beside the smallest Debian, as far as the page uses it.
        extra = "--include=ca-certificates,curl,iproute2"
        command = ["mmdebstrap", "--variant=minbase", "--quiet", extra, "bookworm", str(empty)]
        subprocess.run(command, check=True)
    machine = HOUR / "machine"
    shutil.rmtree(machine, ignore_errors=True)
    subprocess.run(["cp", "-a", str(empty), str(machine)], check=True)
    return machine


def make_wheels() -> None:
    """Put wheels of this checkout, and of all that they and the page need, into build/hour."""
    own, wheels = HOUR / "own", HOUR / "wheels"
    subprocess.run([str(ROOT / "scripts/build_wheels.sh"), str(own), "--plain"], check=True)
    built = [str(path) for path in own.glob("*.whl")]
    pip = [str(ROOT / ".venv/bin/python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    for path in wheels.glob("asgi_tunnel*"):
        path.unlink()
    constraints = ["-c", str(ROOT / "constraints.txt")]
    command = [*pip, "download", "--dest", str(wheels), *constraints, *built, "fastapi"]
    subprocess.run(command, check=True)


class Names(socketserver.ThreadingMixIn):
    """Answers DNS as the page's records say; of the delegated zone it asks the edge itself."""

    @staticmethod
    def reply(data: bytes) -> bytes:
        """Return the response to one query."""
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = question.rdtype
        answer = dns.message.make_response(query, recursion_available=True)
        if name == ZONE and kind == dns.rdatatype.NS:
            answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", "NS", f"{DOMAIN}."))
        elif name == ZONE or name.endswith(f".{ZONE}"):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.settimeout(5)
                sock.sendto(data, (ADDRESS, 53))
                return sock.recv(4096)
        elif name == DOMAIN or name.endswith(f".{DOMAIN}"):
            if kind == dns.rdatatype.A:
                answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", "A", ADDRESS))
            elif kind == dns.rdatatype.SOA and name == DOMAIN:
                zone = f"ns.{DOMAIN}. me.{DOMAIN}. 1 3600 600 86400 60"
                answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", "SOA", zone))
            elif kind == dns.rdatatype.NS and name == DOMAIN:
                answer.answer.append(
                    dns.rrset.from_text(question.name, 60, "IN", "NS", f"ns.{DOMAIN}.")
                )
        elif name != "localhost":
            answer.set_rcode(dns.rcode.NXDOMAIN)
        return answer.to_wire()


class _Stream(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while size := self.rfile.read(2):
            reply = Names.reply(self.rfile.read(int.from_bytes(size)))
            self.wfile.write(len(reply).to_bytes(2) + reply)


class _Datagram(socketserver.DatagramRequestHandler):
    def handle(self) -> None:
        with contextlib.suppress(OSError):
            self.wfile.write(Names.reply(self.rfile.read()))


@contextlib.contextmanager
def network(machine: Path) -> Iterator[Pebble]:
    """A network of this process alone: the public address, DNS, a CA that the machine trusts."""
    unshare(_NEWNET)
    for words in (
        "link set lo up",
        "link add eth0 type veth peer name wire",
        f"address add {ADDRESS}/24 dev eth0",
        "link set eth0 up",
        "link set wire up",
        "route add default dev eth0",
    ):
        subprocess.run(["ip", *words.split()], check=True)
    (machine / "etc/resolv.conf").write_text(f"nameserver {RESOLVER}\n")
    (machine / "etc/hosts").write_text("127.0.0.1 localhost\n")
    servers: list[socketserver.BaseServer] = [
        socketserver.ThreadingTCPServer((RESOLVER, 53), _Stream),
        socketserver.ThreadingUDPServer((RESOLVER, 53), _Datagram),
    ]
    with contextlib.ExitStack() as stack:
        for server in servers:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
        folder = HOUR / "pebble"
        folder.mkdir(exist_ok=True)
        ports: dict[str, Any] = {"httpPort": 80, "tlsPort": 443}
        pebble = stack.enter_context(
            start_pebble(folder, bad_nonces=5, resolver=f"{RESOLVER}:53", **ports)
        )
        trusted = machine / "usr/local/share/ca-certificates"
        shutil.copyfile(pebble.root, machine / "pebble.pem")
        (trusted / "pebble.crt").write_bytes(pebble.root.read_bytes())
        (trusted / "root.crt").write_bytes(pebble.manage("/roots/0"))
        trust(machine)
        yield pebble


def trust(machine: Path) -> None:
    """Let the machine take what lies in its folder of CAs."""
    command = ["chroot", str(machine), "update-ca-certificates"]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)


# -- whoever types ---------------------------------------------------------------------------------


@dataclass
class Person:
    """Types commands at one place of the machine: as root on the VPS, or as a user at home."""

    machine: Path
    user: str
    home: str
    state: list[str] = field(default_factory=list)  # what has to be typed again in a new shell
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def shell(self, command: str) -> list[str]:
        """The words that run a command here."""
        typed = "\n".join([f"cd {self.home}", *self.state, command])
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        environment = [
            *("env", "-i", f"PATH={path}", f"HOME={self.home}", "LANG=C.UTF-8"),
            *("DEBIAN_FRONTEND=noninteractive", "PIP_NO_INDEX=1", "PIP_FIND_LINKS=/wheels"),
            *("PIP_DISABLE_PIP_VERSION_CHECK=1", "PYTHONUNBUFFERED=1"),
        ]
        who = [] if self.user == "root" else ["runuser", "-u", self.user, "--"]
        return ["chroot", str(self.machine), *environment, *who, "bash", "-c", typed]

    def type(self, command: str) -> str:
        """Run a command to its end; return what it printed.

        Raises:
            AssertionError: It failed.
        """
        done = subprocess.run(
            self.shell(command),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, f"$ {command}\nended with {done.returncode}:\n{done.stdout}"
        if shlex.split(command)[0] in {".", "export", "cd"}:
            self.state.append(command)
        return done.stdout

    def start(self, command: str, log: Path, ready: str) -> str:
        """Start what does not end; return what it printed until it says that it is ready."""
        with log.open("wb") as output:
            process = subprocess.Popen(
                self.shell(command), stdout=output, stderr=output, start_new_session=True
            )
        self.running.append(process)
        end = time.monotonic() + PATIENCE
        while ready not in (text := log.read_text(errors="replace")):
            assert process.poll() is None, f"$ {command}\nended:\n{text}"
            assert time.monotonic() < end, f"$ {command}\nno {ready!r} in {PATIENCE:g} s:\n{text}"
            time.sleep(0.05)
        return text

    def stop(self) -> None:
        """End what was started, as Ctrl-C does."""
        for process in self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@dataclass
class Hour:
    """The page, typed from its first command to its last."""

    machine: Path
    people: dict[str, Person]
    stack: contextlib.ExitStack
    pebble: Pebble | None = None
    token: str = ""
    typed: int = 0
    record: list[str] = field(default_factory=list)

    def command(self, place: str, command: str, shown: list[str]) -> None:
        """Type one command, and compare what it prints with the page."""
        person = self.people[place]
        self.typed += 1
        if self.pebble is None and not re.match(r"(apt-get|useradd|python3) ", command):
            self.pebble = self.stack.enter_context(network(self.machine))
        output = self._run(person, command)
        self.record += [f"{place}$ {command}", output.rstrip(), ""]
        token = re.search(r"att1\.[\w.-]+", output)
        if token and not self.token:
            self.token = token[0]
        compare(shown, output, public=True)

    def _run(self, person: Person, command: str) -> str:
        words = shlex.split(command, comments=True)
        if "init" in words and self.pebble is not None:
            command += f" --acme-directory {self.pebble.directory} --acme-root /pebble.pem"
        if words[:3] == ["systemctl", "enable", "--now"]:
            return self._service(person, words[3])
        if words[0] == "journalctl":
            return (HOUR / "edge.log").read_text(errors="replace")
        if words[:2] == ["asgi-tunnel", "run"]:
            return person.start(command, HOUR / "app.log", "is live")
        return person.type(command.replace("att1...", self.token))

    def _service(self, person: Person, name: str) -> str:
        """Start what a unit says, as its user and with its capabilities, as systemd would."""
        unit = (self.machine / f"etc/systemd/system/{name}.service").read_text()
        user = re.search(r"^User=(.*)$", unit, re.MULTILINE)
        program = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)
        assert user is not None
        assert program is not None
        rights = "--inh-caps +net_bind_service --ambient-caps +net_bind_service"
        rights = "--inh-caps +net_bind_service --ambient-caps +net_bind_service"
        files = re.search(r"^LimitNOFILE=(\d+)$", unit, re.MULTILINE)
        assert files is not None
        command = f"exec setpriv --reuid {user[1]} --regid {user[1]} --clear-groups {rights}"
        person.start(f"{command} {program[1]}", HOUR / "edge.log", f"*.{DOMAIN}, {DOMAIN} is shown")
        return ""


def follow(page: Page, machine: Path) -> int:
    """Type the whole page; print what differs and return how many commands it had."""
    with contextlib.ExitStack() as stack:
        people = {
            "vps": Person(machine, "root", "/root"),
            "home": Person(machine, "ada", "/home/ada"),
        }
        for person in people.values():
            stack.callback(person.stop)
        hour = Hour(machine, people, stack)
        try:
            for block in page.blocks:
                place = block.notes.get("typed on")
                if block.language == "python":
                    file = machine / "home/ada/main.py"
                    file.write_text(block.text, encoding="utf-8")
                elif place is not None:
                    for command, shown in typed_commands(block):
                        hour.command(place, command, shown)
        finally:
            (HOUR / "record.txt").write_text("\n".join(hour.record), encoding="utf-8")
    return hour.typed


def main() -> int:
    """Follow the page."""
    parser = argparse.ArgumentParser(description="Type docs/tutorial/first-hour.md.")
    parser.add_argument("--keep", action="store_true", help="with the wheels of the last run")
    arguments = parser.parse_args()
    try:
        if sys.platform != "linux" or os.geteuid():
            raise CannotTryError(
                "it needs root on Linux: for a root folder and a network of its own."
            )
        if not (PEBBLE / "pebble").exists():
            raise CannotTryError("pebble is not built; run scripts/pebble.sh.")
        machine = make_root()
        if not arguments.keep or not (HOUR / "wheels").exists():
            make_wheels()
        shutil.copytree(HOUR / "wheels", machine / "wheels")
        unshare(_NEWNS)
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        subprocess.run(["mount", "-t", "proc", "proc", str(machine / "proc")], check=True)
        shutil.copyfile("/etc/resolv.conf", machine / "etc/resolv.conf")
        home = ["chroot", str(machine), "useradd", "--create-home", "--shell", "/bin/bash", "ada"]
        subprocess.run(home, check=True)
        began = time.monotonic()
        typed = follow(Page.read(PAGE), machine)
    except CannotTryError as error:
        print(f"hour: {error}", file=sys.stderr)
        return 2
    except AssertionError as error:
        print(f"hour: {error}\n\nAll that was typed so far: build/hour/record.txt", file=sys.stderr)
        return 1
    took = time.monotonic() - began
    print(f"hour: {typed} commands, all as the page says, in {took:.0f} s; build/hour/record.txt")
    return 0


if __name__ == "__main__":
    sys.exit(main())
