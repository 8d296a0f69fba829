"""``scripts/dependencies.py``: open versions are named, and an audit says what it saw."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from scripts import dependencies
from scripts.dependencies import LOCKS, OK, ROOT, UNKNOWN, WRONG, Tree, check

FILES = (
    "constraints.txt",
    "pyproject.toml",
    "edge/pyproject.toml",
    "requirements-dev.txt",
    "benchmarks/requirements.txt",
    "locks/runtime.txt",
    "locks/build.txt",
)
UV = """\
import sys
given = sys.stdin.read()
if "--generate-hashes" in sys.argv:
    name = "build" if "hatchling" in given else "runtime"
    text = open(f"{root}/locks/{{name}}.txt").read()
    sys.stdout.write(text.partition("\\n\\n")[2])
sys.stderr.write({said!r})
sys.exit({status})
"""
PIP_AUDIT = """\
import json, sys
given = [line.split("==") for line in sys.stdin.read().split()]
service = sys.argv[sys.argv.index("-s") + 1]
{report}
print(json.dumps({{"dependencies": [report(service, *one) for one in given], "fixes": []}}))
"""
GOOD = "def report(service, name, version): return dict(name=name, version=version, vulns=[])"
AWAY = "sys.exit('no route to host')"
NOT_THERE = "def report(service, name, version): return dict(name=name, skip_reason='not found')"
HOLE = """\
def report(service, name, version):
    holes = [dict(id="CVE-1", fix_versions=["99.1"])] if name == "cryptography" else []
    return dict(name=name, version=version, vulns=holes)
"""
ONE_SKIPPED = """\
def report(service, name, version):
    if name == "anyio":
        return dict(name=name, skip_reason="not found")
    return dict(name=name, version=version, vulns=[])
"""
SECOND_KNOWS = """\
def report(service, name, version):
    if service == "pypi":
        return dict(name=name, skip_reason="not found")
    return dict(name=name, version=version, vulns=[])
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what this checkout says of its dependencies."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


def _program(folder: Path, name: str, source: str) -> None:
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{source}", "utf-8")
    path.chmod(0o700)


def _tools(root: Path, *, said: str = "", status: int = 0, report: str = GOOD) -> Path:
    folder = root / "tools"
    folder.mkdir()
    _program(folder, "uv", UV.format(root=root, said=said, status=status))
    _program(folder, "pip-audit", PIP_AUDIT.format(report=report))
    return folder


def _run(root: Path, arguments: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> int:
    # What is installed where tests run is another question.
    monkeypatch.setattr(dependencies, "check_installed", lambda _: ())
    return dependencies.main([*arguments, "--root", str(root), "--tools", str(root / "tools")])


def test_this_checkout_is_pinned_hashed_and_bounded() -> None:
    """T68: what `make lint` asks for."""
    assert list(check(Tree.read(ROOT))) == []


def test_locks_name_no_index() -> None:
    """Where files come from is the installing machine's choice; what they are is not."""
    for name in LOCKS:
        text = (ROOT / f"locks/{name}.txt").read_text("utf-8")
        assert "://" not in text
        assert "--index" not in text
        assert "--find-links" not in text


def test_a_lock_has_every_file_of_a_release() -> None:
    """Also those for other platforms: wheels of cryptography exist for many, and its source."""
    lock = Tree.read(ROOT).locks["runtime"]
    assert len(lock["cryptography"].hashes) > 20
    assert len(lock["anyio"].hashes) == 2  # a wheel for all, and the source


@pytest.mark.parametrize(
    ("file", "old", "new", "sentence"),
    [
        ("constraints.txt", "anyio==", "anyio>=", "constraints.txt: anyio>="),
        ("constraints.txt", "anyio==4", "#anyio==4", "constraints.txt lacks anyio"),
        ("constraints.txt", "cffi==", "#cffi==", "constraints.txt lacks cffi, which locks/"),
        ("constraints.txt", "websockets==17", "websockets==16", "websockets==16.4, but"),
        ("constraints.txt", "idna==3.20", "idna==3.21", "run `make lock`"),
        ("constraints.txt", "idna==3.20", "idna==3.20\nIDNA==3.20", "idna is there twice"),
        ("pyproject.toml", '"anyio>=4.9,<5"', '"anyio>=4.9"', "anyio>=4.9 has no upper bound"),
        ("edge/pyproject.toml", '"cryptography>=46"', '"cryptography<99"', "out of UNBOUNDED"),
        ("edge/pyproject.toml", '"click>=8.2,<9"', '"ruff<9"', "locks/runtime.txt lacks ruff"),
        ("locks/runtime.txt", "anyio==4", "anyio>=4", "has no exact version and sha256"),
        ("locks/runtime.txt", "--hash=sha256:", "--hash=md5:", "has no exact version and sha256"),
        ("locks/build.txt", "idna==3.20 \\\n", "idna==3.20\n#", "has no exact version and sha256"),
    ],
)
def test_what_is_not_pinned_is_named(
    checkout: Path, file: str, old: str, new: str, sentence: str
) -> None:
    """Each way to leave a version open has a sentence that names it."""
    _replace(checkout / file, old, new)
    wrong = list(check(Tree.read(checkout)))
    assert any(sentence in one for one in wrong), wrong


def test_a_missing_lock_says_how_to_make_it(checkout: Path) -> None:
    """And nothing else, though every requirement is missing in it."""
    (checkout / "locks/build.txt").unlink()
    assert list(check(Tree.read(checkout))) == [
        "locks/build.txt is missing; make it with `make lock`"
    ]


def test_lock_writes_what_is_missing(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A lock that is changed by hand is written anew; one that is right is left alone."""
    wanted = (checkout / "locks/runtime.txt").read_text("utf-8")
    _tools(checkout)
    _replace(checkout / "locks/runtime.txt", "do not edit", "edited")
    assert _run(checkout, ["lock"], monkeypatch) == OK
    assert capsys.readouterr().out == "lock: wrote locks/runtime.txt\n"
    assert (checkout / "locks/runtime.txt").read_text("utf-8") == wanted


def test_an_audit_that_finds_nothing(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says how many versions it looked at."""
    _tools(checkout)
    assert _run(checkout, ["audit"], monkeypatch) == OK
    assert "none withdrawn, no known vulnerability" in capsys.readouterr().out


@pytest.mark.parametrize("report", [AWAY, NOT_THERE], ids=["away", "not there"])
def test_an_audit_without_the_services_has_a_status_of_its_own(
    checkout: Path,
    report: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A service that does not know the packages is no clean bill: one sentence, and status 3."""
    _tools(checkout, report=report)
    assert _run(checkout, ["audit"], monkeypatch) == UNKNOWN
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "known vulnerabilities (all): neither service of pip-audit gave a report" in err


def test_an_audit_names_holes_and_what_was_withdrawn(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the version that mends it, and the authors' reason."""
    _tools(checkout, said='warning: `anyio==4` is yanked (reason: "broken")\n', report=HOLE)
    assert _run(checkout, ["audit"], monkeypatch) == WRONG
    err = capsys.readouterr().err
    assert "cryptography 50.0.2: CVE-1, fixed in 99.1" in err
    assert "anyio==4 was withdrawn by its authors: broken" in err


def test_an_audit_names_what_nobody_could_judge(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One package that both services skip is no success either."""
    _tools(checkout, report=ONE_SKIPPED)
    assert _run(checkout, ["audit"], monkeypatch) == UNKNOWN
    assert "known vulnerabilities (anyio)" in capsys.readouterr().err


def test_the_second_service_is_asked_for_what_the_first_does_not_know(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both count."""
    _tools(checkout, report=SECOND_KNOWS)
    assert _run(checkout, ["audit"], monkeypatch) == OK


def test_an_index_that_is_not_reached_is_said(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The tool's own last line is kept."""
    _tools(checkout, said="error: no route to host\n", status=2)
    assert _run(checkout, ["audit"], monkeypatch) == UNKNOWN
    err = capsys.readouterr().err
    assert "could not find out whether a release was withdrawn: uv failed" in err
    assert "no route to host" in err
