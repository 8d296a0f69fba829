from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from asgi_tunnel_edge.commands.service_install import render_unit

from .conftest import Run

ROOT = Path(__file__).parents[3]
ANALYZE = shutil.which("systemd-analyze")


def test_the_page_has_the_same_text() -> None:
    """docs/howto/vps.md shows the unit that is written with its names."""
    text = (ROOT / "docs/howto/vps.md").read_text("utf-8")
    shown = re.findall(r"^```ini\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)[0]
    data = Path("/var/lib/asgi-tunnel/edge")
    program = ["/opt/asgi-tunnel/bin/asgi-tunnel-edge"]
    assert shown == render_unit(user="asgi-tunnel", program=program, data=data, writes=[data])


def test_it_is_written_once(tmp_path: Path, run: Run, data: Path) -> None:
    """Again it changes nothing; a unit with other text stays until --force."""
    unit = tmp_path / "edge.service"
    words = ("service", "install", "--unit", unit, "--data", data)
    done = run(*words)
    assert (done.code, done.err) == (0, "")
    assert "is written. Next, as root:" in done.out
    assert "systemctl enable --now asgi-tunnel-edge" in done.out
    text = unit.read_text()
    assert unit.stat().st_mode & 0o777 == 0o644
    assert f"run --data {data}\n" in text
    assert f"ReadWritePaths={data}\n" in text
    assert "is there already, with this text" in run(*words).out
    changed = text.replace("Restart=always", "Restart=no")
    unit.write_text(changed)
    done = run(*words)
    assert (done.code, unit.read_text()) == (2, changed)
    assert "-Restart=no\n+Restart=always" in done.err
    assert "give --force to overwrite it" in done.err
    assert run(*words, "--force").code == 0
    assert unit.read_text() == text


def test_dry_run(tmp_path: Path, run: Run, data: Path) -> None:
    """It is shown, and nothing is written; a log elsewhere may be written by the service."""
    path = data / "edge.toml"
    log = f'[access_log]\npath = "{tmp_path}/log/access.log"\n'
    path.write_text(path.read_text().replace("[access_log]\n", log))
    unit = tmp_path / "edge.service"
    done = run("service", "install", "--dry-run", "--user", "me", "--unit", unit, "--data", data)
    assert "User=me\n" in done.out
    assert f"ReadWritePaths={data} {tmp_path}/log\n" in done.out
    assert not unit.exists()
    words = ("service", "install", "--dry-run", "--unit", unit, "--data", data, "--json")
    result = json.loads(run(*words).out)
    assert (result["unit"], result["written"]) == (str(unit), False)
    assert "User=asgi-tunnel\n" in result["text"]


@pytest.mark.parametrize("user", ["a b", "%u", "x\nExecStart=/bin/sh"])
def test_names_that_mean_something_in_a_unit(run: Run, data: Path, user: str) -> None:
    """They are refused: nobody adds a line to a unit by a name."""
    done = run("service", "install", "--dry-run", "--user", user, "--data", data)
    assert (done.code, done.out) == (2, "")
    assert "characters that mean something else in a unit" in done.err


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
def test_systemd_takes_it(tmp_path: Path, run: Run, data: Path) -> None:
    """`systemd-analyze` finds nothing wrong, and the exposure is what the page says."""
    assert ANALYZE is not None
    unit = tmp_path / "asgi-tunnel-edge.service"
    run("service", "install", "--user", "root", "--unit", unit, "--data", data)
    done = subprocess.run(
        [ANALYZE, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if unit.name in line]
    assert said == []
    command = [ANALYZE, "security", "--offline=true", "--no-pager", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    match = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert match is not None, done.stderr
    assert float(match[1]) < 3
