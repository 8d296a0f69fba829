"""Check what would be released, and let it work as users install it (`make release-check`).

Looks into the files (`release_files`), then installs the wheels in a clean environment of each
Python that this machine has: the hashes of locks/, `pip check`, types, and `scripts/demo.py` with
an edge, an app and a visitor. Exit codes: 0 all is well, 1 something is wrong, 2 wrong use.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from packaging.tags import Tag, cpython_tags, platform_tags
from packaging.utils import parse_wheel_filename
from scripts.check_versions import VERSION_FILES, read_version
from scripts.release_files import FOLDERS, ROOT, Built, find, listed_modules, wrong_with
from scripts.release_notes import notes_of

VERSIONS: Final = ((3, 11), (3, 12), (3, 13))
"""Of Python, as the classifiers name them."""

TIMEOUT: Final = 900.0  # seconds for one command: the slowest compiles, or installs everything
SOURCES_OF_EXAMPLES: Final = ("fastapi_app", "django_app")


USE: Final = """\
import asgi_tunnel
import asgi_tunnel_edge


def grace(config: asgi_tunnel.TunnelConfig) -> float:
    return config.grace


def version() -> str:
    return asgi_tunnel_edge.__version__
"""
"""What a type checker reads: with a name that it takes for Any it says so."""


class CheckError(Exception):
    """A command failed; the text has the end of its output."""


def run(*words: str | Path, cwd: Path | None = None, **environment: str) -> str:
    """Run a command and return what it printed.

    Raises:
        CheckError: It failed, or did not end.
    """
    inherited = {
        key: value
        for key, value in os.environ.items()
        if "ASGI_TUNNEL" not in key and key != "PYTHONPATH"
    }
    try:
        done = subprocess.run(
            [str(word) for word in words],
            cwd=cwd,
            env={**inherited, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        raise CheckError(f"{Path(words[0]).name} did not end within {TIMEOUT:g} s") from None
    if done.returncode:
        tail = "\n    ".join(done.stdout.strip().splitlines()[-15:])
        raise CheckError(f"{Path(words[0]).name} {' '.join(map(str, words[1:4]))}:\n    {tail}")
    return done.stdout


def pythons() -> dict[tuple[int, int], Path]:
    """The interpreters that are found here, this one first, one for each version."""
    found = {sys.version_info[:2]: Path(sys.executable)}
    places = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    places += sorted(pyenv.glob("versions/*/bin"))
    for major, minor in VERSIONS:
        for place in places:
            path = place / f"python{major}.{minor}"
            if (major, minor) in found or not path.exists():
                continue
            try:
                run(path, "-c", "import ensurepip, venv")  # a shim of pyenv may lead nowhere
            except CheckError:
                continue
            found[major, minor] = path
    return found


def best_wheel(files: Sequence[Built], project: str, python: Path) -> Built:
    """The wheel that pip would take for an interpreter.

    Raises:
        CheckError: None fits.
    """
    version = run(python, "-c", "import sys; print(*sys.version_info[:2])").split()
    order: list[Tag] = [
        *cpython_tags((int(version[0]), int(version[1])), platforms=list(platform_tags())),
        Tag("py3", "none", "any"),
    ]
    own = [one for one in files if one.project == project and one.is_wheel]
    ranked = [
        (min(order.index(tag) for tag in tags), one)
        for one in own
        if (tags := parse_wheel_filename(one.path.name)[3] & set(order))
    ]
    if not ranked:
        raise CheckError(f"no wheel of {project} fits {python}")
    return min(ranked, key=lambda pair: pair[0])[1]


def check_environment(python: Path, files: Sequence[Built], folder: Path) -> str:
    """Install into a clean environment of one interpreter, and let it work; return what was used.

    Raises:
        CheckError: A part does not work.
    """
    wheels = [best_wheel(files, project, python) for project in FOLDERS]
    own = folder / "venv" / "bin/python"
    run(python, "-m", "venv", folder / "venv")
    pip = (own, "-m", "pip", "--disable-pip-version-check")
    # As the pages say: what a release needs at run time, each file compared with its hash.
    run(*pip, "install", "--quiet", "--require-hashes", "-r", ROOT / "locks/runtime.txt")
    run(*pip, "install", "--quiet", "--no-deps", *(wheel.path for wheel in wheels))
    examples = [
        word
        for name in SOURCES_OF_EXAMPLES
        for word in ("-r", ROOT / f"examples/{name}/requirements.txt")
    ]
    run(*pip, "install", "--quiet", "-c", ROOT / "constraints.txt", *examples)
    run(*pip, "check")
    packages = Path(
        run(own, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    )
    check_code(packages, wheels)
    check_types(own, folder)
    run(own, ROOT / "scripts/demo.py", "--once", cwd=folder)
    return ", ".join("plain" if wheel.is_plain else "compiled" for wheel in wheels)


def check_code(packages: Path, wheels: Sequence[Built]) -> None:
    """What is imported comes from the wheel, compiled where the wheel is."""
    for wheel in wheels:
        for module in listed_modules(FOLDERS[wheel.project]):
            is_compiled = any((packages / module).parent.glob(f"{Path(module).name}.*.so"))
            if is_compiled == wheel.is_plain:
                raise CheckError(
                    f"{module} is {'' if is_compiled else 'not '}compiled: {wheel.path}"
                )


def check_types(python: Path, folder: Path) -> None:
    """A type checker finds the public names of what is installed, with their types."""
    use = folder / "use.py"
    use.write_text(USE)
    mypy = Path(sysconfig.get_path("scripts")) / "mypy"
    more = ("--strict", "--cache-dir", folder / "mypy", "--config-file", os.devnull)
    run(mypy, "--python-executable", python, *more, use, cwd=folder)


def build(folder: Path, python: Path) -> Path:
    """Build compiled wheels with another Python, as the workflow does; return their folder.

    Raises:
        CheckError: One could not be built.
    """
    run(python, "-m", "venv", folder / "tools")
    tool = folder / "tools/bin/python"
    pip = (tool, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    run(*pip, "--require-hashes", "-r", ROOT / "locks/build.txt")
    out = folder / "wheels"
    for project, source in FOLDERS.items():
        words = (tool, "-m", "build", "--no-isolation", "--outdir", out, source)
        run(*words, HATCH_BUILD_HOOKS_ENABLE="1")
        name = project.replace("-", "_")
        run(*pip, "--no-deps", *out.glob(f"{name}-[0-9]*.whl"))
    return out


def check_workflow(tools: Path) -> None:
    """The workflow is valid, and cibuildwheel builds for the Pythons that the classifiers name.

    Raises:
        CheckError: It is not, or builds for others.
    """
    if (tools / "actionlint").exists():
        run(tools / "actionlint", ROOT / ".github/workflows/release.yml", cwd=ROOT)
    else:
        print(
            "release-check: actionlint is not here, for it is built with Go; the workflow is unseen"
        )
    for source in FOLDERS.values():
        command = (tools / "cibuildwheel", "--print-build-identifiers", "--platform", "linux")
        said = run(*command, "--archs", "x86_64", source, cwd=ROOT).split()
        built = {(int(one[2]), int(one[3:].partition("-")[0])) for one in said}
        if built != set(VERSIONS) or not any("musllinux" in one for one in said):
            raise CheckError(f"cibuildwheel would build {' '.join(said)} in {source}")


def check_version(version: str) -> Iterator[str]:
    """Yield where the version is not what the files of the checkout say."""
    if read_version(VERSION_FILES[1]) != version:
        yield "the two distributions have different versions; see `make lint`"
    date, notes = notes_of((ROOT / "CHANGELOG.md").read_text("utf-8"), version)
    if not notes:
        yield f"CHANGELOG.md has no section [{version}]"
    elif not re.fullmatch(r"unreleased|\d{4}-\d\d-\d\d", date):
        yield f"CHANGELOG.md gives {version} the date {date!r}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Look at everything, and say what was found."""
    parser = argparse.ArgumentParser(prog="release_check.py", description=(__doc__ or "")[:78])
    parser.add_argument("dist", nargs="+", type=Path, help="a folder with what was built")
    parser.add_argument("--quick", action="store_true", help="only with this Python")
    parser.add_argument("--compile", action="store_true", help="compile for the other Pythons too")
    parser.add_argument("--tools", type=Path, help="folder of twine; without it nothing renders")
    given = parser.parse_args(arguments)
    version = read_version(VERSION_FILES[0])
    files = find(given.dist)
    wrong = [*check_version(version), *wrong_with(files, version)]
    for sentence in wrong:
        print(f"release-check: {sentence}", file=sys.stderr)
    if wrong:
        return 1
    print(f"release-check: {len(files)} files of version {version}, nothing wrong in them")
    try:
        if given.tools is not None:
            run(given.tools / "twine", "check", "--strict", *(one.path for one in files))
            print("release-check: their descriptions render")
            check_workflow(given.tools)
            print(
                "release-check: the workflow of a release builds for the Pythons of the classifiers"
            )
        for found, python in pythons().items():
            with tempfile.TemporaryDirectory(prefix="release-check-") as name:
                began = time.monotonic()
                usable = files
                if given.compile and python != Path(sys.executable):
                    usable = find([*given.dist, build(Path(name), python)])
                kinds = check_environment(python, usable, Path(name))
            took = time.monotonic() - began
            print(f"release-check: Python {found[0]}.{found[1]}: {kinds}; works ({took:.0f} s)")
            if given.quick:
                break
    except CheckError as error:
        print(f"release-check: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
