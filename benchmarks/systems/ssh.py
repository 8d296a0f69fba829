"""``ssh -R``: a port of an OpenSSH server, forwarded to uvicorn over one connection."""

from __future__ import annotations

import getpass
import subprocess
from pathlib import Path

from benchmarks.model import System
from benchmarks.systems.peer import End, Ports, find, missing_of, start_of, version_of

_CIPHER = "aes128-gcm@openssh.com"
"""The fastest one on processors with AES instructions; ssh always encrypts."""


def _ends(folder: Path, ports: Ports) -> tuple[End, ...]:
    for name in ("host_key", "user_key"):
        key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(key, check=True, stdin=subprocess.DEVNULL)
    (folder / "authorized_keys").write_text((folder / "user_key.pub").read_text())
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{ports.control}\n"
        f"HostKey {folder}/host_key\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\n"
        f"Ciphers {_CIPHER}\n"
        "PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\n"
        "LogLevel ERROR\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)  # sshd does not start without
    options = [
        f"IdentityFile={folder}/user_key",
        "IdentitiesOnly=yes",
        "BatchMode=yes",
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "ExitOnForwardFailure=yes",
        "LogLevel=ERROR",
    ]
    forward = f"127.0.0.1:{ports.public}:127.0.0.1:{ports.app}"
    ssh = ["ssh", "-N", "-F", "none", *(f"-o{option}" for option in options), "-R", forward]
    ssh += ["-p", str(ports.control), "-l", getpass.getuser(), "127.0.0.1"]
    return (
        End("sshd", [find("sshd"), "-D", "-e", "-f", folder / "sshd_config"], port=ports.control),
        End("ssh", ssh),
    )


SYSTEM = System(
    "ssh -R",
    start_of("ssh -R", _ends),
    lambda: f"{version_of('ssh', '-V')}; cipher {_CIPHER}, no compression, all else as it comes",
    missing_of("sshd", "ssh", "ssh-keygen"),
)
