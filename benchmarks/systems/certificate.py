"""The one certificate of all systems with TLS, from a CA that is made for a run."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

from scripts.authority import Authority, Files

from benchmarks.model import HTTPS_HOSTNAME

KIND = "ECDSA P-256, from a CA made for the run; visitors check chain and name"


class Shared(NamedTuple):
    """What all use.

    Attributes:
        root: Of the CA, for visitors.
        files: The certificate, for the name that visitors ask for and for 127.0.0.1, and its key.
    """

    root: Path
    files: Files


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()  # goes with the process


@cache
def shared() -> Shared:
    """Return the certificate; made at the first call."""
    authority = Authority(Path(_folder().name))
    return Shared(authority.root, authority.issue("server", [HTTPS_HOSTNAME, "127.0.0.1"]))
