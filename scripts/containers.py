"""Build the images of deploy/ here, and let a visitor's request through (`make containers`).

The edge and the example run as docs/howto/containers.md says: another user than root, no rights, a
root file system that cannot be written. They share a network of their own, which leads nowhere.
Exit codes: 0 every part works, 1 one does not, 77 this machine runs no containers.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = ROOT / "build/containers"
DOMAIN: Final = "example.test"
HOSTNAME: Final = f"cloud.{DOMAIN}"
USER: Final = 10001  # deploy/Containerfile
READY_TIMEOUT: Final = 60.0  # seconds for a container to do its work, on a slow machine
BUILD_TIMEOUT: Final = 1800.0  # seconds for an image: packages are loaded, and C is compiled
COMMAND_TIMEOUT: Final = 120.0  # seconds for any other command
SKIPPED: Final = 77
SMALL: Final = ("--cgroups=disabled", "--ulimit=nofile=4096:4096", "--ulimit=nproc=1024:1024")
"""What needs no rights of the machine that it may not have: no systemd, no limits to be raised."""
INSIDE: Final = "ASGI_TUNNEL_CONTAINERS_INSIDE"
MOUNT: Final = 'mount -t cgroup2 none /sys/fs/cgroup 2>/dev/null; exec "$@"'
HARDENED: Final = (
    *SMALL,
    *("--read-only", "--read-only-tmpfs=false", "--cap-drop=all"),
    "--security-opt=no-new-privileges",
)
VISIT: Final = """
import http.client, ssl, sys
port, path = int(sys.argv[1]), sys.argv[2]
kind = http.client.HTTPConnection if port == 80 else http.client.HTTPSConnection
more = {} if port == 80 else {"context": ssl._create_unverified_context()}
visitor = kind("HOSTNAME", port, timeout=20, **more)
visitor.request("GET", path)
response = visitor.getresponse()
print(response.status)
print(response.read().decode())
""".replace("HOSTNAME", HOSTNAME)


Found = TypeVar("Found")


class ContainerError(Exception):
    """A part does not work; the text says what was expected and what came."""


class NoContainersError(Exception):
    """This machine cannot run any container; the text says why."""


@dataclass(slots=True)
class Podman:
    """Podman, with its images in build/ and nothing of the machine's own settings."""

    folder: Path
    settings: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.settings = [
            *("--root", str(self.folder / "storage"), "--runroot", str(self.folder / "run")),
            *("--runtime", "crun", "--cgroup-manager", "cgroupfs", "--events-backend", "none"),
            *("--log-level", "error"),
        ]

    def __call__(self, *words: str, timeout: float = COMMAND_TIMEOUT, given: bytes = b"") -> str:
        """Run a command of it, and return what it printed.

        Raises:
            ContainerError: It failed; with the last lines of its output.
        """
        done = self.run(*words, timeout=timeout, given=given)
        if done.returncode:
            tail = (done.stdout + done.stderr).decode("utf-8", "replace").strip().splitlines()[-15:]
            raise ContainerError("\n    ".join([f"podman {words[0]} failed:", *tail]))
        return done.stdout.decode("utf-8", "replace")

    def run(
        self, *words: str, timeout: float = COMMAND_TIMEOUT, given: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command of it, whatever its status is."""
        command = ["podman", *self.settings, *words]
        try:
            return subprocess.run(
                command, input=given, capture_output=True, check=False, timeout=timeout
            )
        except subprocess.TimeoutExpired:
            raise ContainerError(f"podman {words[0]} was not ready in {timeout:g} s") from None


# -- images ----------------------------------------------------------------------------------------


def machine_options(folder: Path) -> list[str]:
    """How this machine reaches its package index: what pip is told here, it is told in a build."""
    lines = ["[global]"]
    options = []
    if index := os.environ.get("PIP_INDEX_URL"):
        lines.append(f"index-url = {index}")
    if certificates := os.environ.get("PIP_CERT"):
        lines.append("cert = /etc/pip-cert.pem")
        options = ["--volume", f"{certificates}:/etc/pip-cert.pem:ro"]
    path = folder / "pip.conf"
    path.write_text("\n".join(lines) + "\n")
    return [*options, "--volume", f"{path}:/etc/pip.conf:ro"]


def build(podman: Podman, base: str, target: str, name: str, *, compiled: bool) -> int:
    """Build one image; return its size in bytes."""
    podman(
        *("build", "--quiet", "--file", "deploy/Containerfile", "--target", target),
        *("--tag", name, "--format", "docker", "--isolation", "chroot", "--network", "host"),
        *("--layers", "--build-arg", f"BASE={base}"),
        *("--build-arg", f"COMPILED={'1' if compiled else ''}"),
        *machine_options(podman.folder),
        str(ROOT),
        timeout=BUILD_TIMEOUT,
    )
    about = json.loads(podman("image", "inspect", name))[0]
    if about["User"] != f"{USER}:{USER}":
        raise ContainerError(f"{name} runs as {about['User']!r}, where {USER} was expected")
    return int(about["Size"])


def prepared_base(podman: Podman, base: str) -> str:
    """The image to build on; a container of it shows that this machine runs any.

    Raises:
        NoContainersError: It does not.
    """
    if not base:
        base = "localhost/debian-root"
        tar = FOLDER / "base.tar"
        if podman.run("image", "exists", base).returncode:
            podman("import", str(tar), base)
    done = podman.run("run", "--rm", *SMALL, "--network=none", base, "true")
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it says nothing"]
        raise NoContainersError(said[-1])
    return base


# -- containers ------------------------------------------------------------------------------------


def until(what: str, look: Callable[[], Found | None]) -> Found:
    """Return what ``look`` finds, once it does; ContainerError when that takes too long."""
    deadline = time.monotonic() + READY_TIMEOUT
    while (found := look()) is None:
        if time.monotonic() > deadline:
            raise ContainerError(f"{what}: not within {READY_TIMEOUT:g} s")
        time.sleep(0.1)
    return found


@dataclass(frozen=True, slots=True)
class Container:
    """One that runs."""

    podman: Podman
    name: str

    def inside(self, *command: str) -> str:
        """Run a command in it, as its user, and return what it printed."""
        return self.podman("exec", self.name, *command)

    @property
    def log(self) -> str:
        """All that it has printed."""
        done = self.podman.run("logs", self.name)
        return (done.stdout + done.stderr).decode("utf-8", "replace")

    def says(self, pattern: str) -> re.Match[str]:
        """Return when its output matches."""

        def look() -> re.Match[str] | None:
            if (found := re.search(pattern, self.log)) is None and not self.is_running:
                raise ContainerError(f"{self.name} has ended:\n    {self.log.strip()}")
            return found

        return until(f"{self.name} says {pattern!r}", look)

    @property
    def is_running(self) -> bool:
        """Whether its first process is there."""
        return self.state["Running"] is True

    @property
    def state(self) -> dict[str, Any]:
        """What podman knows of it."""
        state: dict[str, Any] = json.loads(self.podman("inspect", self.name))[0]["State"]
        return state

    def stop(self, seconds: int) -> float:
        """Stop it as `docker stop` does; return how long it took.

        Raises:
            ContainerError: It was killed, or ended with another code than 0.
        """
        began = time.monotonic()
        self.podman("stop", "--time", str(seconds), self.name)
        took = time.monotonic() - began
        if code := self.state["ExitCode"]:
            raise ContainerError(f"{self.name} ended with {code} after {took:.1f} s")
        return took


@contextmanager
def running(podman: Podman, name: str, *words: str) -> Iterator[Container]:
    """A container meanwhile; it is removed whatever happens."""
    podman("run", "--detach", "--name", name, *HARDENED, *words)
    container = Container(podman, name)
    try:
        yield container
    except ContainerError as error:
        raise ContainerError(f"{error}\n-- the log of {name}\n{container.log}") from None
    finally:
        podman.run("rm", "--force", "--time", "2", name)


@contextmanager
def volume(podman: Podman, name: str) -> Iterator[str]:
    """A volume meanwhile."""
    podman("volume", "create", name)
    try:
        yield name
    finally:
        podman.run("volume", "rm", "--force", name)


# -- the proof: each part returns its figure or raises ---------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """An edge and an app that run."""

    edge: Container
    app: Container

    def visit(self, port: int, path: str) -> tuple[int, str]:
        """Send a visitor's request; return status and body."""
        status, _, body = self.edge.inside("python3", "-c", VISIT, str(port), path).partition("\n")
        return int(status), body

    def request(self) -> str:
        """A visitor's request reaches the app, and plain HTTP is not served."""
        status, body = self.visit(443, "/api/whoami")
        seen = json.loads(body) if status == 200 else {}
        if (seen.get("scheme"), seen.get("host")) != ("https", HOSTNAME):
            raise ContainerError(f"status {status} with {body[:200]}")
        if (status := self.visit(80, "/")[0]) not in (301, 308):
            raise ContainerError(f"plain HTTP got status {status}, where it is sent to https")
        status, body = self.visit(443, "/")
        if "Home Cloud" not in body:
            raise ContainerError(f"another page came: status {status}, {body[:80]!r}")
        return f"https, port 443, {len(body)} bytes of a page"

    def rights(self) -> str:
        """No process is root's or has a capability, and nothing but the volume can be written."""
        for one in (self.edge, self.app):
            status = one.inside("cat", "/proc/1/status")
            users = re.findall(r"^Uid:\s+(\d+)\s+(\d+)", status, re.MULTILINE)
            rights = re.findall(r"^Cap(?:Eff|Bnd):\s+(\w+)", status, re.MULTILINE)
            if users != [(str(USER), str(USER))] or any(int(right, 16) for right in rights):
                raise ContainerError(f"{one.name} runs as {users} with {rights}")
            for path in ("/opt/asgi-tunnel/x", "/tmp/x", "/etc/x"):  # noqa: S108 - is to be refused
                done = one.podman.run("exec", one.name, "touch", path)
                if b"Read-only file system" not in done.stderr:
                    raise ContainerError(f"{one.name} may write {path}: {done.stderr!r}")
            one.inside("touch", "/var/lib/asgi-tunnel/x")
        return f"user {USER}, no capability, only /var/lib/asgi-tunnel is written"

    def health(self) -> str:
        """The health check of the image passes."""
        began = time.monotonic()
        self.edge.podman("healthcheck", "run", self.edge.name)
        return f"healthy, {time.monotonic() - began:.1f} s"

    def children(self) -> str:
        """The first process takes in what is left behind, and replaces what serves when it dies."""
        self.edge.inside("sh", "-c", "(sleep 0.01 &) ; exit 0")
        before = self.serving()
        self.edge.inside("python3", "-c", f"import os; os.kill({before}, 9)")

        def look() -> int | None:
            now = self.serving()
            return now if now not in (before, 0) else None

        after = until("another serving process", look)
        self.edge.inside("python3", "-c", "import time; time.sleep(0.2)")
        states = self.edge.inside("sh", "-c", "cat /proc/[0-9]*/stat")
        zombies = [line for line in states.splitlines() if line.split(")")[-1].split()[0] == "Z"]
        if zombies:
            raise ContainerError(f"nobody waited for {zombies}")
        until("the app is back", lambda: True if self.visit(443, "/api/health")[0] == 200 else None)
        return f"process {after} in place of {before}, no zombie"

    def reload(self) -> str:
        """SIGHUP to the container takes the settings anew; process 1 stays."""
        command = "import pathlib; p = pathlib.Path('/var/lib/asgi-tunnel/edge/edge.toml'); "
        command += "p.write_text(p.read_text().replace('[limits]', '[limits]\\nmax_tunnels = 9'))"
        self.edge.inside("python3", "-c", command)
        before = self.status()
        self.edge.podman("kill", "--signal", "HUP", self.edge.name)

        def look() -> dict[str, Any] | None:
            now = self.status()
            return now if now["generation"] > before["generation"] else None

        after = until("the next generation", look)
        if after["parent"]["pid"] != 1:
            raise ContainerError(f"the parent is process {after['parent']['pid']}, not 1")
        return f"generation {after['generation']} after {before['generation']}"

    def status(self) -> dict[str, Any]:
        """What `asgi-tunnel-edge status` says."""
        status: dict[str, Any] = json.loads(
            self.edge.inside("asgi-tunnel-edge", "status", "--json")
        )
        return status

    def serving(self) -> int:
        """The process that serves; 0 while there is none."""
        workers = [one for one in self.status()["workers"] if one["state"] == "serving"]
        return int(workers[0]["pid"]) if workers else 0

    def stop(self) -> str:
        """`docker stop` ends both with code 0, before it would kill."""
        return f"the app in {self.app.stop(40):.1f} s, the edge in {self.edge.stop(20):.1f} s"


@contextmanager
def world(podman: Podman, images: dict[str, str]) -> Iterator[Proof]:
    """Set up an edge and an app as the page says, and let them run meanwhile."""
    run = uuid.uuid4().hex[:8]
    with ExitStack() as stack:
        data = stack.enter_context(volume(podman, f"edge-{run}"))
        files = stack.enter_context(volume(podman, f"files-{run}"))
        secrets = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        mount = ("--volume", f"{data}:/var/lib/asgi-tunnel")
        once = ("run", "--rm", "--network=none", *HARDENED, *mount)
        podman(*once, images["edge"], "init", "--domain", DOMAIN, "--http-listen", "0.0.0.0:80")
        made = podman(*once, images["edge"], "token", "create", "cloud", "--json")
        token = secrets / "token"
        token.write_text(json.loads(made)["token"])
        token.chmod(0o444)  # the folder above is this user's alone
        hosts = secrets / "hosts"
        hosts.write_text(f"127.0.0.1 localhost {DOMAIN} {HOSTNAME}\n")
        names = ("--volume", f"{hosts}:/etc/hosts:ro")
        edge = stack.enter_context(
            running(
                podman,
                f"edge-{run}",
                *("--network=none", "--sysctl=net.ipv4.ip_unprivileged_port_start=0", *mount),
                *names,
                images["edge"],
            )
        )
        edge.says("listening on")
        app = stack.enter_context(
            running(
                podman,
                f"app-{run}",
                *names,
                *("--network", f"container:{edge.name}", "--volume", f"{token}:/run/secrets/token"),
                *("--env", "ASGI_TUNNEL_TOKEN_FILE=/run/secrets/token"),
                *("--volume", f"{files}:/var/lib/asgi-tunnel"),
                images["app"],
            )
        )
        app.says(rf"https://{HOSTNAME}")
        yield Proof(edge=edge, app=app)


def enter_mounts() -> None:
    """Start again with mounts of our own: what is mounted goes with us, however we end.

    crun refuses the cgroups of a machine that has those of both versions; it sees the second alone.
    """
    again = [sys.executable, *sys.argv]
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", MOUNT, "sh", *again]
    os.execvpe(command[0], command, {**os.environ, INSIDE: "1"})  # noqa: S606 - no shell is meant


def main() -> int:
    """Build, run, look."""
    parser = argparse.ArgumentParser(prog="containers.py", description=(__doc__ or "")[:87])
    parser.add_argument("--plain", action="store_true", help="leave the hot path plain Python")
    parser.add_argument("--base", default="", help="build on this image, not on base.tar")
    given = parser.parse_args()
    if INSIDE not in os.environ:
        enter_mounts()
    podman = Podman(FOLDER)
    try:
        base = prepared_base(podman, given.base)
        images = {"edge": "localhost/asgi-tunnel-edge", "app": "localhost/home-cloud"}
        for target, name in images.items():
            began = time.monotonic()
            size = build(podman, base, target, name, compiled=not given.plain)
            print(f"image {target}: {size / 1e6:.0f} MB, {time.monotonic() - began:.0f} s")
        with world(podman, images) as proof:
            for part in ("request", "rights", "health", "children", "reload", "stop"):
                print(f"{part}: {getattr(proof, part)()}", flush=True)
    except NoContainersError as error:
        print(f"containers: skipped: {error}")
        return SKIPPED
    except ContainerError as error:
        print(f"containers: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
