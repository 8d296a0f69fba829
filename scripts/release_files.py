"""What the files of a release hold: the first half of `make release-check` (docs/release.md).

Takes wheels and source distributions of both distributions, unpacks nothing, and yields what is
wrong, in one sentence each.
"""

from __future__ import annotations

import re
import tarfile
import tomllib
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from packaging.metadata import Metadata
from packaging.utils import parse_sdist_filename, parse_wheel_filename

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDERS: Final = {"asgi-tunnel": ROOT, "asgi-tunnel-edge": ROOT / "edge"}
"""Where each distribution has its pyproject.toml."""

STRANGE: Final = re.compile(
    r"""
    (?:^|/) (?: tests? | conftest\.py | test_[^/]*\.py | __pycache__ | \.[^/]+ ) (?:/|$)
    | \.(?: pyc | pem | key | token | env | sqlite3[^/]* | toml | orig | rej | swp ) $
    """,
    re.VERBOSE,
)
"""What a wheel never holds: tests, settings, secrets, what an editor or an interpreter leaves."""

STRANGE_SOURCE: Final = re.compile(
    r"(?:^|/)(?:__pycache__|\.env|\.venv|build|data)/|\.pyc$|\.token$"
)
"""The same for a source distribution, which has tests, and a .gitignore from hatchling."""

SECRET: Final = re.compile(
    rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{32}|\batt1\.[\w-]{30,}\.[\w-]{16}"
)
"""A private key with its bytes, or a token as long as real ones are."""

_EXTENSIONS: Final = (".so", ".pyd")


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """One file of a release.

    Attributes:
        path: Its own.
        project: "asgi-tunnel" or "asgi-tunnel-edge".
        version: Of its name.
        is_wheel: Otherwise it is a source distribution.
        is_plain: A wheel for any platform.
    """

    path: Path
    project: str
    version: str
    is_wheel: bool
    is_plain: bool

    @classmethod
    def of(cls, path: Path) -> Built:
        """Read a file's name.

        Raises:
            packaging.utils.InvalidWheelFilename: It is no name of a wheel.
            packaging.utils.InvalidSdistFilename: It is no name of a source distribution.
        """
        if path.suffix == ".whl":
            project, version, _, tags = parse_wheel_filename(path.name)
            is_plain = {str(tag) for tag in tags} == {"py3-none-any"}
            return cls(
                path=path,
                project=project,
                version=str(version),
                is_wheel=True,
                is_plain=is_plain,
            )
        project, version = parse_sdist_filename(path.name)
        return cls(path=path, project=project, version=str(version), is_wheel=False, is_plain=False)

    def members(self) -> dict[str, bytes]:
        """Names and contents; a source distribution's without the folder that holds all of it."""
        if self.is_wheel:
            with zipfile.ZipFile(self.path) as wheel:
                return {one: wheel.read(one) for one in wheel.namelist() if one[-1] != "/"}
        found = {}
        with tarfile.open(self.path) as source:
            for one in source:
                handle = source.extractfile(one) if one.isfile() else None
                if handle is not None:
                    found[one.name.partition("/")[2]] = handle.read()
        return found


def find(folders: Iterable[Path]) -> list[Built]:
    """The files of a release in some folders; the same name in two of them counts once."""
    paths = {
        path.name: path
        for folder in folders
        for path in sorted(folder.iterdir())
        if path.suffix == ".whl" or path.name.endswith(".tar.gz")
    }
    return [Built.of(path) for path in paths.values()]


def wrong_with(files: Iterable[Built], version: str) -> Iterator[str]:
    """Yield what is wrong with the files of a release.

    Args:
        files: All of them.
        version: What each has to be.
    """
    files = list(files)
    for project in FOLDERS:
        own = [one for one in files if one.project == project]
        if not any(not one.is_wheel for one in own):
            yield f"there is no source distribution of {project}"
        if not any(one.is_plain for one in own):
            yield f"there is no wheel of {project} for any platform"
    for one in files:
        if one.project not in FOLDERS:
            yield f"{one.path.name} is none of ours"
            continue
        for sentence in _wrong_with(one, version):
            yield f"{one.path.name}: {sentence}"


def _wrong_with(built: Built, version: str) -> Iterator[str]:
    members = built.members()
    if built.version != version:
        yield f"it has the version {built.version}, where {version} is released"
    place = "PKG-INFO"
    if built.is_wheel:
        folder = f"{built.project.replace('-', '_')}-{built.version}.dist-info"
        place = f"{folder}/METADATA"
        if f"{folder}/licenses/LICENSE" not in members:
            yield "the licence is not in it"
    elif "LICENSE" not in members:
        yield "the licence is not in it"
    if place not in members:
        yield f"it has no {place}"
        return
    yield from _wrong_with_metadata(members[place], built.project, version)
    package = built.project.replace("-", "_")
    inside = package if built.is_wheel else f"src/{package}"
    for name in ("__init__.py", "py.typed", "_version.py"):
        if f"{inside}/{name}" not in members:
            yield f"{inside}/{name} is missing"
    strange = STRANGE if built.is_wheel else STRANGE_SOURCE
    for name, data in members.items():
        if strange.search(name):
            yield f"{name} does not belong there"
        if built.is_wheel and SECRET.search(data):
            yield f"{name} holds something that looks like a token or a private key"
    if built.is_wheel:
        yield from _wrong_with_code(built, members)


def _wrong_with_metadata(text: bytes, project: str, version: str) -> Iterator[str]:
    try:
        metadata = Metadata.from_email(text)
    except ExceptionGroup as errors:
        yield from map(str, errors.exceptions)
        return
    if (metadata.name, str(metadata.version)) != (project, version):
        yield f"its metadata are those of {metadata.name} {metadata.version}"
    if not metadata.description or metadata.description_content_type != "text/markdown":
        yield "it has no description in Markdown"
    if metadata.license_expression != "MIT":
        yield f"its licence is {metadata.license_expression!r}"
    if str(metadata.requires_python) != ">=3.11":
        yield f"it wants Python {metadata.requires_python}"
    siblings = [one for one in metadata.requires_dist or () if one.name in FOLDERS]
    for one in siblings:
        if str(one.specifier) != f"=={version}":
            yield f"it requires {one}, and not =={version}"
    if project == "asgi-tunnel-edge" and not siblings:
        yield "it does not require asgi-tunnel"


def _wrong_with_code(built: Built, members: Mapping[str, bytes]) -> Iterator[str]:
    """A plain wheel has nothing compiled; another one all that is listed in pyproject.toml."""
    compiled = {name.partition(".")[0] for name in members if name.endswith(_EXTENSIONS)}
    if built.is_plain:
        yield from (f"{name} is compiled, in a wheel for any platform" for name in compiled)
        return
    for module in sorted(listed_modules(FOLDERS[built.project]) - compiled):
        yield f"{module} is not compiled"


def listed_modules(folder: Path) -> set[str]:
    """The modules that a distribution's pyproject.toml has compiled, as paths without ending."""
    hooks = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]
    patterns = hooks["build"]["targets"]["wheel"]["hooks"]["mypyc"]["include"]
    return {
        str(PurePosixPath(path.relative_to(folder / "src")).with_suffix(""))
        for pattern in patterns
        for path in folder.glob(pattern)
    }
