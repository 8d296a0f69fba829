"""``ssh -R``: a port of an OpenSSH server, forwarded to uvicorn over one connection."""

from __future__ import annotations

import getpass
import subprocess
from pathlib import Path

from benchmarks.model import System
from benchmarks.systems.peer import End, Ports, find, missing_of, start_of, version_of

_CIPHER = "aes128-gcm@openssh.com"
"""The fastest one on processors with AES instructions; ssh always encrypts."""


def write_config(folder: Path, address: str, port: int, more: str = "") -> Path:
    """Make keys and an sshd of this folder only; return its configuration.

    Args:
        folder: Gets everything.
        address: Where it listens.
        port: Where it listens.
        more: Further lines of the configuration.
    """
    for name in ("host_key", "user_key"):
        key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(key, check=True, stdin=subprocess.DEVNULL)
    (folder / "authorized_keys").write_text((folder / "user_key.pub").read_text())
    config = folder / "sshd_config"
    config.write_text(
        f"ListenAddress {address}:{port}\nHostKey {folder}/host_key\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\nPidFile none\n"
        f"StrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\n{more}"
    )
    Path("/run/sshd").mkdir(exist_ok=True)  # sshd does not start without
    return config


def client(folder: Path, address: str, port: int, forward: str, *flags: str) -> list[str | Path]:
    """Return the command that forwards a port, with the key that :func:`write_config` made."""
    options = [
        f"IdentityFile={folder}/user_key",
        "IdentitiesOnly=yes",
        "BatchMode=yes",
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "ExitOnForwardFailure=yes",
    ]
    command = ["ssh", "-N", "-F", "none", *(f"-o{option}" for option in options), "-R", forward]
    return [*command, *flags, "-p", str(port), "-l", getpass.getuser(), address]


def _ends(folder: Path, ports: Ports) -> tuple[End, ...]:
    more = f"Ciphers {_CIPHER}\nLogLevel ERROR\n"
    config = write_config(folder, "127.0.0.1", ports.control, more)
    forward = f"127.0.0.1:{ports.public}:127.0.0.1:{ports.app}"
    return (
        End("sshd", [find("sshd"), "-D", "-e", "-f", config], port=ports.control),
        End("ssh", client(folder, "127.0.0.1", ports.control, forward, "-oLogLevel=ERROR")),
    )


SYSTEM = System(
    "ssh -R",
    start_of("ssh -R", _ends),
    lambda: f"{version_of('ssh', '-V')}; cipher {_CIPHER}, no compression, all else as it comes",
    missing_of("sshd", "ssh", "ssh-keygen"),
)
TLS = System(
    "ssh -R, TLS app",
    start_of("ssh -R, TLS app", _ends, is_tls=True),
    lambda: "as ssh -R; uvicorn behind it speaks TLS",
    missing_of("sshd", "ssh", "ssh-keygen"),
    is_tls=True,
)
