"""``scripts/release_files.py`` and ``release_notes.py``: what is wrong in a release is named."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from scripts.release_files import FOLDERS, find, listed_modules, wrong_with
from scripts.release_notes import differences, notes_of

VERSION = "1.2.3"
PLAIN = f"asgi_tunnel-{VERSION}-py3-none-any.whl"
METADATA = """\
Metadata-Version: 2.4
Name: {project}
Version: {version}
License-Expression: MIT
License-File: LICENSE
Requires-Python: >=3.11
{requires}Description-Content-Type: text/markdown

# A title
"""
CHANGELOG = """\
# Changelog

## [1.2.3] - 2026-01-31

Better.

### Added

- A thing.

## [1.2.2] - unreleased

Older.
"""


def metadata(project: str, *, version: str = VERSION, edge_wants: str = VERSION) -> str:
    """What a distribution says of itself."""
    requires = ""
    if project == "asgi-tunnel-edge":
        requires = f"Requires-Dist: asgi-tunnel=={edge_wants}\n"
    return METADATA.format(project=project, version=version, requires=requires)


def package(project: str, prefix: str = "") -> dict[str, str]:
    """The files that each has."""
    folder = prefix + project.replace("-", "_")
    return dict.fromkeys(
        (f"{folder}/{one}" for one in ("__init__.py", "_version.py", "py.typed")), ""
    )


def write_wheel(
    folder: Path,
    project: str,
    more: Mapping[str, str] | None = None,
    *,
    tag: str = "py3-none-any",
    text: str | None = None,
    licence: bool = True,
) -> None:
    """A wheel, with more in it than it needs."""
    name = f"{project.replace('-', '_')}-{VERSION}"
    info = f"{name}.dist-info"
    members = package(project) | {f"{info}/METADATA": text or metadata(project)} | dict(more or {})
    if licence:
        members[f"{info}/licenses/LICENSE"] = "MIT"
    with zipfile.ZipFile(folder / f"{name}-{tag}.whl", "w") as wheel:
        for path, data in members.items():
            wheel.writestr(path, data)


def write_source(folder: Path, project: str) -> None:
    """A source distribution."""
    name = f"{project.replace('-', '_')}-{VERSION}"
    members = package(project, "src/") | {"PKG-INFO": metadata(project), "LICENSE": "MIT"}
    with tarfile.open(folder / f"{name}.tar.gz", "w:gz") as source:
        for path, data in members.items():
            about = tarfile.TarInfo(f"{name}/{path}")
            about.size = len(data)
            source.addfile(about, io.BytesIO(data.encode()))


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """A release that is in order."""
    for project in FOLDERS:
        write_source(tmp_path, project)
        write_wheel(tmp_path, project)
    return tmp_path


def wrong(dist: Path) -> list[str]:
    """What is found in a folder."""
    return list(wrong_with(find([dist]), VERSION))


def test_nothing_is_wrong_in_a_release_that_is_in_order(dist: Path) -> None:
    """Two distributions, each with its source and a wheel for any platform."""
    assert wrong(dist) == []


@pytest.mark.parametrize(
    "name",
    [
        "tests/test_x.py",
        "asgi_tunnel/test_x.py",
        "asgi_tunnel/conftest.py",
        "asgi_tunnel/__pycache__/x.pyc",
        "asgi_tunnel/protocol/ruff.toml",
        ".env",
        "asgi_tunnel/edge.key",
        "data/edge.sqlite3-wal",
    ],
)
def test_what_does_not_belong_into_a_wheel(dist: Path, name: str) -> None:
    """Tests, settings, keys and caches are named with their path."""
    write_wheel(dist, "asgi-tunnel", {name: ""})
    assert wrong(dist) == [f"asgi_tunnel-1.2.3-py3-none-any.whl: {name} does not belong there"]


@pytest.mark.parametrize(
    "text",
    [
        "token = 'att1." + "aB3" * 15 + "." + "xY-_" * 8 + "'",
        "-----BEGIN PRIVATE KEY-----\n" + "MIIE" * 16 + "\n-----END PRIVATE KEY-----\n",
    ],
)
def test_a_secret_in_a_wheel(dist: Path, text: str) -> None:
    """A token or a private key is found, and not shown."""
    write_wheel(dist, "asgi-tunnel", {"asgi_tunnel/x.py": text})
    (sentence,) = wrong(dist)
    assert sentence.endswith(
        "asgi_tunnel/x.py holds something that looks like a token or a private key"
    )


def test_versions_that_differ(dist: Path) -> None:
    """The version of the metadata, and the one that the edge requires, are those of the release."""
    write_wheel(dist, "asgi-tunnel", text=metadata("asgi-tunnel", version="1.2.4"))
    write_wheel(dist, "asgi-tunnel-edge", text=metadata("asgi-tunnel-edge", edge_wants="1.2.2"))
    first, second = wrong(dist)
    assert "its metadata are those of asgi-tunnel 1.2.4" in first
    assert "it requires asgi-tunnel==1.2.2, and not ==1.2.3" in second


def test_what_is_missing(dist: Path) -> None:
    """A licence, a source distribution."""
    write_wheel(dist, "asgi-tunnel", licence=False)
    (dist / "asgi_tunnel_edge-1.2.3.tar.gz").unlink()
    assert wrong(dist) == [
        "there is no source distribution of asgi-tunnel-edge",
        "asgi_tunnel-1.2.3-py3-none-any.whl: the licence is not in it",
    ]


def test_what_is_compiled(dist: Path) -> None:
    """A plain wheel has nothing compiled, another one all that pyproject.toml lists."""
    write_wheel(dist, "asgi-tunnel", {"asgi_tunnel/session.cpython-311.so": ""})
    assert wrong(dist) == [f"{PLAIN}: asgi_tunnel/session is compiled, in a wheel for any platform"]
    write_wheel(dist, "asgi-tunnel")
    modules = listed_modules(FOLDERS["asgi-tunnel"])
    assert {"asgi_tunnel/session", "asgi_tunnel/protocol/frames"} <= modules
    most = {f"{one}.cpython-311.so": "" for one in modules - {"asgi_tunnel/session"}}
    write_wheel(dist, "asgi-tunnel", most, tag="cp311-cp311-linux_x86_64")
    assert wrong(dist) == [
        "asgi_tunnel-1.2.3-cp311-cp311-linux_x86_64.whl: asgi_tunnel/session is not compiled"
    ]


def test_the_notes_of_a_release() -> None:
    """They are the section of the version, and a tag goes with a version that has its day."""
    date, notes = notes_of(CHANGELOG, "1.2.3")
    assert (date, notes) == ("2026-01-31", "Better.\n\n### Added\n\n- A thing.")
    assert differences("v1.2.3", "1.2.3", date, notes) == []
    assert notes_of(CHANGELOG, "1.2.4") == ("", "")
    assert differences("v1.2.4", "1.2.3", date, notes) == [
        "the tag is v1.2.4, and the version 1.2.3: the tag would be v1.2.3"
    ]
    date, notes = notes_of(CHANGELOG, "1.2.2")
    assert notes == "Older."
    (sentence,) = differences("v1.2.2", "1.2.2", date, notes)
    assert "the date 'unreleased'" in sentence
