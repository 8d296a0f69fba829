"""What the two distributions depend on: is each version pinned, hashed, and free of known holes?

    python scripts/dependencies.py check    # without network; part of `make lint`
    python scripts/dependencies.py lock     # write locks/*.txt anew (`make lock`)
    python scripts/dependencies.py audit    # check, then ask who knows of holes (`make audit`)

`constraints.txt` has the versions, and `locks/` the sha256 of every file of those that a release
is installed or built with. `lock` and `audit` use uv and pip-audit; `--tools` says where they are.

Exit status: 0 all is well; 1 something has to be done; 2 wrong use; 3 it could not be found out,
because the package index or the vulnerability service was not reached.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).resolve().parent.parent
OURS: Final = frozenset({"asgi-tunnel", "asgi-tunnel-edge"})
FLOOR: Final = "3.11"  # requires-python

LOCKS: Final = ("runtime", "build")
"""Files of locks/: what runs a release, and what builds its wheels from source."""

UNBOUNDED: Final = {
    # A new major version every few months, each with the fixes of a new OpenSSL; what is removed
    # has warned for two of them before. A bound would keep security fixes away.
    "cryptography",
}
"""Dependencies at run time without an upper bound, each with its reason."""

FROM_PYTHON: Final = frozenset({"pip"})
"""What each virtual environment has from Python itself."""

OK, WRONG, UNKNOWN = 0, 1, 3

HEADER: Final = """\
# {what}, on every platform: exact versions, and the sha256 of every file of each.
# Made by `make lock` from both pyproject.toml and constraints.txt; do not edit.
#     pip install --require-hashes -r locks/{name}.txt

"""
WHAT: Final = {
    "runtime": "What asgi-tunnel and asgi-tunnel-edge need at run time",
    "build": "What the wheels of a release are built with",
}


@dataclass(frozen=True, slots=True)
class Locked:
    """One entry of a lock."""

    version: str
    hashes: frozenset[str]


@dataclass(slots=True)
class Tree:
    """What a checkout says about its dependencies."""

    root: Path
    pins: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    runtime: list[Requirement] = field(default_factory=list)
    build: list[Requirement] = field(default_factory=list)
    others: list[Requirement] = field(default_factory=list)  # tests, examples, benchmarks
    locks: dict[str, dict[str, Locked]] = field(default_factory=dict)

    @classmethod
    def read(cls, root: Path) -> Tree:
        """Read constraints, requirements and locks; what cannot be read is in `wrong`."""
        tree = cls(root)
        tree._read_pins()
        for name in ("pyproject.toml", "edge/pyproject.toml"):
            tree._read_project(tomllib.loads((root / name).read_text("utf-8")))
        for path in sorted(
            [
                root / "requirements-dev.txt",
                root / "benchmarks/requirements.txt",
                *root.glob("examples/*/requirements.txt"),
            ]
        ):
            tree.others += _requirements(_lines(path))
        for name in LOCKS:
            tree._read_lock(name)
        return tree

    def _read_pins(self) -> None:
        for line in _lines(self.root / "constraints.txt"):
            match = re.fullmatch(r"([A-Za-z0-9][\w.-]*)==([\w.!+]+)", line)
            if match is None:
                self.wrong.append(f"constraints.txt: {line} is no exact version (name==1.2.3)")
                continue
            name = canonicalize_name(match[1])
            if name in self.pins:
                self.wrong.append(f"constraints.txt: {name} is there twice")
            self.pins[name] = match[2]

    def _read_project(self, data: Mapping[str, Any]) -> None:
        project = data["project"]
        self.runtime += _requirements(project["dependencies"])
        for extra in project.get("optional-dependencies", {}).values():
            self.runtime += _requirements(extra)
        hooks = data["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]
        self.build += _requirements(data["build-system"]["requires"])
        for hook in hooks.values():
            self.build += _requirements(hook["dependencies"])

    def _read_lock(self, name: str) -> None:
        path = self.root / f"locks/{name}.txt"
        entries = self.locks[name] = {}
        if not path.exists():
            self.wrong.append(f"locks/{name}.txt is missing; make it with `make lock`")
            return
        for line in _lines(path):
            match = re.match(r"([\w.-]+)==([\w.!+]+)(?: ;[^\\]*?)?((?: --hash=\S+)*)$", line)
            hashes = frozenset(re.findall(r"--hash=sha256:([0-9a-f]{64})(?= |$)", line))
            if match is None or not hashes or len(hashes) != line.count("--hash="):
                shown = line.split(" --hash")[0]
                self.wrong.append(f"locks/{name}.txt: {shown} has no exact version and sha256")
                continue
            entries[canonicalize_name(match[1])] = Locked(match[2], hashes)


def _lines(path: Path) -> list[str]:
    """The lines of a requirements file without comments; continued ones are joined."""
    text = re.sub(r"\s*\\\n\s*", " ", path.read_text("utf-8"))
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in text.splitlines())
    return [line for line in lines if line]


def _requirements(lines: Sequence[str]) -> list[Requirement]:
    found = [Requirement(line) for line in lines]
    return [one for one in found if canonicalize_name(one.name) not in OURS]


# -- check: without network ------------------------------------------------------------------------


def check(tree: Tree) -> Iterator[str]:
    """Yield what is wrong with what a checkout says."""
    yield from tree.wrong
    for requirement in (*tree.runtime, *tree.build, *tree.others):
        name = canonicalize_name(requirement.name)
        version = tree.pins.get(name)
        if version is None:
            yield f"constraints.txt lacks {name}, which is required"
        elif version not in requirement.specifier:
            yield f"constraints.txt has {name}=={version}, but {requirement} is required"
    yield from _check_bounds(tree)
    yield from _check_locks(tree)


def _check_bounds(tree: Tree) -> Iterator[str]:
    for requirement in tree.runtime:
        name = canonicalize_name(requirement.name)
        is_bounded = any(one.operator in {"<", "<=", "==", "~="} for one in requirement.specifier)
        if not is_bounded and name not in UNBOUNDED:
            yield f"{requirement} has no upper bound; give it one, or a reason in UNBOUNDED"
        if is_bounded and name in UNBOUNDED:
            yield f"{requirement} has an upper bound; take it out of UNBOUNDED"


def _check_locks(tree: Tree) -> Iterator[str]:
    for name, needed in (("runtime", tree.runtime), ("build", [*tree.runtime, *tree.build])):
        lock = tree.locks[name]
        for requirement in needed:
            if lock and canonicalize_name(requirement.name) not in lock:
                yield f"locks/{name}.txt lacks {requirement.name}; run `make lock`"
        for package, locked in lock.items():
            pinned = tree.pins.get(package)
            if pinned is None:
                yield f"constraints.txt lacks {package}, which locks/{name}.txt has"
            elif pinned != locked.version:
                yield (
                    f"locks/{name}.txt has {package}=={locked.version}, constraints.txt has "
                    f"{pinned}; run `make lock`"
                )


def check_installed(tree: Tree) -> Iterator[str]:
    """Yield what is installed beside this script and not pinned."""
    for one in importlib.metadata.distributions():
        name = canonicalize_name(one.name)
        if name in OURS or name in FROM_PYTHON:
            continue
        pinned = tree.pins.get(name)
        if pinned is None:
            yield f"constraints.txt lacks {name}, which is installed ({one.version})"
        elif pinned != one.version:
            yield f"{name} {one.version} is installed, constraints.txt has {pinned}"


# -- lock ------------------------------------------------------------------------------------------


def lock(tree: Tree, tools: Path, *, write: bool = True) -> Iterator[str]:
    """Write locks/, or only compare; yield which files differed.

    Raises:
        ToolError: uv is missing, or could not resolve.
    """
    needed = {"runtime": tree.runtime, "build": [*tree.runtime, *tree.build, Requirement("build")]}
    for name in LOCKS:
        command = [
            *("pip", "compile", "-", "--quiet", "--universal", "--python-version", FLOOR),
            *("--generate-hashes", "--no-header", "--no-annotate"),
            *("--constraints", str(tree.root / "constraints.txt")),
        ]
        entries = _run(tools, "uv", command, given="\n".join(map(str, needed[name]))).stdout
        text = HEADER.format(what=WHAT[name], name=name) + entries
        path = tree.root / f"locks/{name}.txt"
        if not path.exists() or path.read_text("utf-8") != text:
            yield f"locks/{name}.txt"
            if write:
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, "utf-8")


class ToolError(Exception):
    """A tool is missing, or did not do its work; says so in one sentence."""


def _run(
    tools: Path, name: str, arguments: Sequence[str], *, given: str = ""
) -> subprocess.CompletedProcess[str]:
    try:
        done = subprocess.run(
            [tools / name, *arguments],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "NO_COLOR": "1"},
        )
    except OSError as error:
        raise ToolError(
            f"{tools / name} cannot be run ({error}); `make audit` installs it"
        ) from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1].strip()
        raise ToolError(f"{name} failed: {last}")
    return done


# -- audit -----------------------------------------------------------------------------------------


def yanked(tree: Tree, tools: Path) -> Iterator[str]:
    """Yield the pins whose release was withdrawn from the index.

    Raises:
        ToolError: The index was not reached, or does not have a pin.
    """
    command = [
        *("pip", "compile", "-", "--no-deps", "--universal", "--python-version", FLOOR),
        *("--no-header", "--no-annotate"),
    ]
    given = "\n".join(f"{name}=={version}" for name, version in tree.pins.items())
    said = _run(tools, "uv", command, given=given).stderr
    for match in re.finditer(r"`([^`]+)` is yanked(?: \(reason: \"(.*)\"\))?", said):
        yield f"{match[1]} was withdrawn by its authors: {match[2] or 'no reason is given'}"


def holes(pins: Mapping[str, str], tools: Path) -> tuple[list[str], list[str]]:
    """Return the known vulnerabilities of some pins, and the pins that nobody could judge.

    Both services are asked: what one does not know may be known to the other.
    """
    found: dict[str, str] = {}
    unknown = dict(pins)
    for service in ("pypi", "osv"):
        if not unknown:
            break
        given = "\n".join(f"{name}=={version}" for name, version in unknown.items())
        try:
            report = _audited(tools, service, given)
        except ToolError:
            continue
        for one in report:
            name = canonicalize_name(one["name"])
            if "skip_reason" in one:
                continue
            unknown.pop(name, None)
            for hole in one["vulns"]:
                fixed = ", ".join(hole["fix_versions"]) or "no version yet"
                found[hole["id"]] = f"{name} {one['version']}: {hole['id']}, fixed in {fixed}"
    return list(found.values()), list(unknown)


def _audited(tools: Path, service: str, given: str) -> list[dict[str, Any]]:
    command = [
        *("-r", "/dev/stdin", "--no-deps", "--disable-pip", "-s", service),
        *("-f", "json", "--progress-spinner", "off"),
    ]
    try:
        done = subprocess.run(
            [tools / "pip-audit", *command],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        report: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise ToolError(f"pip-audit gave no report: {error}") from None
    return report["dependencies"]


def audit(tree: Tree, tools: Path) -> int:
    """Look at everything, say what was found, and return the exit status."""
    found = [*check(tree), *check_installed(tree)]
    not_seen: list[str] = []
    try:
        found += yanked(tree, tools)
        found += [
            f"{name} is not what `make lock` makes" for name in lock(tree, tools, write=False)
        ]
    except ToolError as error:
        not_seen.append(f"whether a release was withdrawn: {error}")
    # One package first: where the services are not reached, nobody waits for a hundred of them.
    probe = dict(list(tree.pins.items())[:1])
    known, unknown = holes(probe, tools)
    if len(unknown) < len(probe):
        known, unknown = holes(tree.pins, tools)
    if unknown:
        what = "all" if unknown == list(probe) else ", ".join(unknown)
        not_seen.append(
            f"known vulnerabilities ({what}): neither service of pip-audit gave a report; "
            "run this again where the network allows it"
        )
    for sentence in [*known, *found]:
        print(f"audit: {sentence}", file=sys.stderr)
    for sentence in not_seen:
        print(f"audit: could not find out {sentence}", file=sys.stderr)
    if known or found:
        return WRONG
    if not_seen:
        return UNKNOWN
    print(f"audit: {len(tree.pins)} pinned versions, none withdrawn, no known vulnerability")
    return OK


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the three."""
    parser = argparse.ArgumentParser(prog="dependencies.py", description=(__doc__ or "")[:92])
    parser.add_argument("what", choices=["check", "lock", "audit"])
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout")
    parser.add_argument(
        "--tools", type=Path, default=ROOT / "build/audit-venv/bin", help="folder of uv, pip-audit"
    )
    given = parser.parse_args(arguments)
    tree = Tree.read(given.root)
    if given.what == "audit":
        return audit(tree, given.tools)
    if given.what == "lock":
        try:
            for name in lock(tree, given.tools):
                print(f"lock: wrote {name}")
        except ToolError as error:
            print(f"lock: {error}", file=sys.stderr)
            return UNKNOWN
        tree = Tree.read(given.root)
    wrong = list(check(tree))
    for sentence in wrong:
        print(f"{given.what}: {sentence}", file=sys.stderr)
    return WRONG if wrong else OK


if __name__ == "__main__":
    sys.exit(main())
