"""Makes what the suites run in: environments of pinned packages, and unpacked sources.

Everything is under ``build/conformance`` and is made when it is missing or no longer what the
requirements say; nothing of a suite is kept in this repository.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Final

from .suites import Suite

ROOT: Final = Path(__file__).resolve().parents[2]
HERE: Final = Path(__file__).resolve().parent
BUILD: Final = ROOT / "build" / "conformance"
CONSTRAINTS: Final = ROOT / "constraints.txt"

INSTALL_TIMEOUT: Final = 900.0
"""Seconds for one command of pip; an environment takes one to two minutes."""

_PIP: Final = ("-m", "pip", "--quiet", "--disable-pip-version-check")


class InstallError(Exception):
    """A command of pip failed; it has printed why."""

    def __init__(self, command: tuple[str, ...]) -> None:
        super().__init__(f"{' '.join(command)} failed; its message is above")


def install(suite: Suite) -> Path:
    """Return the Python of a suite's environment, which several suites may share.

    Raises:
        InstallError: A package could not be had.
    """
    folder = BUILD / suite.environment
    python = folder / "bin" / "python"
    requirements = HERE / "requirements" / f"{suite.environment}.txt"
    stamp = folder / "installed.txt"
    wanted = "\n".join(
        (CONSTRAINTS.read_text(), requirements.read_text(), *suite.without_dependencies)
    )
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    print(f"conformance: installing into {folder.relative_to(ROOT)} (once)", flush=True)
    if not python.exists():
        _run(sys.executable, "-m", "venv", "--clear", str(folder))
    pip = (str(python), *_PIP, "install")
    _run(*pip, "-c", str(CONSTRAINTS), "-e", ".", "-e", "edge", "-r", str(requirements))
    if suite.without_dependencies:
        _run(*pip, "--no-deps", *suite.without_dependencies)
    stamp.write_text(wanted)
    return python


def unpack(suite: Suite, python: Path) -> Path:
    """Return the folder of a suite's source distribution.

    Raises:
        InstallError: It could not be downloaded.
    """
    name, _, version = suite.source.partition("==")
    folder = BUILD / "sources" / f"{name}-{version}"
    if not folder.exists():
        archives = BUILD / "archives"
        options = ("--no-deps", "--no-binary", ":all:", "--dest", str(archives))
        _run(str(python), *_PIP, "download", *options, suite.source)
        with tarfile.open(archives / f"{folder.name}.tar.gz") as archive:
            archive.extractall(folder.parent, filter="data")
    return folder


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, cwd=ROOT, timeout=INSTALL_TIMEOUT)
    if done.returncode:
        raise InstallError(command)
