"""The files of deploy/: units that systemd takes, images that copy what there is."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
UNITS = DEPLOY / "systemd"
ANALYZE = shutil.which("systemd-analyze") or ""


def shown(page: str, begins: str) -> list[str]:
    """The blocks of a page that begin with a line."""
    text = (ROOT / page).read_text("utf-8")
    blocks = re.findall(r"^```\w+\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [block for block in blocks if block.startswith(begins)]


def without_comments(path: Path) -> str:
    """A unit's own lines."""
    return "".join(
        line for line in path.read_text("utf-8").splitlines(keepends=True) if line[0] != "#"
    )


def test_the_page_shows_the_socket_unit() -> None:
    """docs/howto/operate.md has the text of the file."""
    unit = without_comments(UNITS / "asgi-tunnel-edge.socket")
    assert shown("docs/howto/operate.md", "[Unit]\n") == [unit]


@pytest.mark.skipif(not ANALYZE, reason="systemd-analyze is not installed")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    """`systemd-analyze verify` finds nothing wrong, with a program where each is to be."""
    program = shutil.which("true") or "/bin/true"
    for path in UNITS.iterdir():
        there = f"\nExecStart={program}"
        text = re.sub(r"\nExecStart=\S+", there, path.read_text("utf-8"))
        (tmp_path / path.name).write_text(text)
    edge = "[Service]\nExecStart=" + program + "\n"
    (tmp_path / "asgi-tunnel-edge.service").write_text(edge)
    (tmp_path / "asgi-tunnel@.service").rename(tmp_path / "asgi-tunnel@shop.service")
    done = subprocess.run(
        [ANALYZE, "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert [line for line in done.stderr.splitlines() if "asgi-tunnel" in line] == []


@pytest.mark.skipif(not ANALYZE, reason="systemd-analyze is not installed")
def test_the_app_may_do_little() -> None:
    """The exposure of the app's unit is what docs/howto/vps.md says, or less in a newer systemd."""
    unit = UNITS / "asgi-tunnel@.service"
    done = subprocess.run(
        [ANALYZE, "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    match = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert match is not None, done.stderr
    assert float(match[1]) <= 1.6


def test_images_copy_what_there_is() -> None:
    """Each path that a Containerfile copies exists, and .dockerignore lets it through."""
    text = (DEPLOY / "Containerfile").read_text("utf-8").replace("\\\n", " ")
    copied = [
        name
        for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE)
        for name in line.split()[:-1]
    ]
    assert {"src", "edge/src", "locks"} <= set(copied)
    let_through = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    for name in copied:
        assert (ROOT / name).exists(), name
    assert set(copied) == let_through


def test_images_run_as_another_user_than_root() -> None:
    """The last USER of both images is a number, for runtimes that look at it."""
    stages = re.split(r"^FROM ", (DEPLOY / "Containerfile").read_text("utf-8"), flags=re.MULTILINE)
    for name in ("app", "edge"):
        (stage,) = [one for one in stages if re.match(rf"\S+ AS {name}\n", one)]
        assert re.findall(r"^USER (.*)$", stage, re.MULTILINE) == ["10001:10001"]
