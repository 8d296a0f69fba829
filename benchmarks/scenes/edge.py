"""An edge for the scenes that need one of their own: with TLS, with a thousand tokens."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from asgi_tunnel_edge.settings.config import EdgeConfig
from benchmarks.model import HOSTNAME
from benchmarks.process import BrokenSystemError, Process, running

if TYPE_CHECKING:
    from scripts.authority import Files

BIN = Path(sys.executable).parent
COMMAND = BIN / "asgi-tunnel-edge"
DOMAIN = HOSTNAME.partition(".")[2]


def command(folder: Path, *arguments: str) -> str:
    """Run ``asgi-tunnel-edge ... --data FOLDER`` and return what it printed.

    Raises:
        BrokenSystemError: It said no.
    """
    line = [str(COMMAND), *arguments, "--data", str(folder)]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise BrokenSystemError(f"asgi-tunnel-edge {arguments[0]}: {done.stderr.strip()}")
    return done.stdout


def init(
    folder: Path, *, tls: str = "off", listen: str = "127.0.0.1:0", settings: str = ""
) -> Path:
    """Make an edge's folder inside ``folder`` and return it.

    Args:
        folder: Of the scene.
        tls: As ``init --tls``.
        listen: As ``init --listen``.
        settings: Lines for the top of ``edge.toml``.
    """
    data = folder / "edge"
    command(data, "init", "--domain", DOMAIN, "--listen", listen, "--tls", tls)
    if settings:
        file = data / "edge.toml"
        file.write_text(f"{settings}\n{file.read_text()}")
    return data


@contextmanager
def edge(
    data: Path, *, prefix: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """Run the edge of a folder; it listens when the block starts."""
    line = [*prefix, str(COMMAND), "run", "--data", str(data)]
    with running("edge", line, data, env=env) as process:
        process.wait_for("listening on ")
        yield process


def port(data: Path) -> int:
    """Return the port of the edge that runs in a folder."""
    return int((data / "edge.address").read_text().strip().rpartition(":")[2])


def use_certificate(data: Path, files: Files) -> None:
    """Give an edge with ``--tls files`` its certificate, and tokens the address that is in it."""
    settings = data / "edge.toml"
    listen = EdgeConfig.load(data).listen
    settings.write_text(f'public_url = "https://{listen}"\n{settings.read_text()}')
    config = EdgeConfig.load(data)
    config.certificate_path.parent.mkdir(exist_ok=True)
    config.certificate_path.write_bytes(files.certificate.read_bytes())
    config.key_path.write_bytes(files.key.read_bytes())


def create_token(data: Path, *options: str) -> str:
    """Make a token for ``HOSTNAME``; a running edge knows it when this returns or soon after.

    Args:
        data: The edge's folder.
        options: Of ``token create``: other hostnames.
    """
    name = HOSTNAME.partition(".")[0]
    token: str = json.loads(command(data, "token", "create", name, "--json", *options))["token"]
    return token


@contextmanager
def app(
    folder: Path,
    token: str,
    *what: str,
    prefix: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> Iterator[Process]:
    """Run ``asgi-tunnel run``; it is live when the block starts.

    Args:
        folder: Gets its output.
        token: Of its tunnel.
        what: What it runs; by default ``benchmarks.app``.
        prefix: A command to start it with.
        env: Added to the environment.
    """
    arguments = what or ("benchmarks.app:app",)
    line: list[str | Path] = [*prefix, BIN / "asgi-tunnel", "run", *arguments, "--no-access-log"]
    own = {"ASGI_TUNNEL_TOKEN": token, **(env or {})}
    with running("app", line, folder, env=own) as process:
        process.wait_for("is live")
        yield process
