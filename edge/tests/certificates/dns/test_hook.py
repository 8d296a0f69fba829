from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from asgi_tunnel_edge.certificates.acme.solver import Solver
from asgi_tunnel_edge.certificates.dns.hook import MAX_OUTPUT, HookSolver
from asgi_tunnel_edge.errors import SolverError


def program(folder: Path, text: str) -> str:
    """A shell script; gives its path."""
    path = folder / "hook"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return str(path)


async def test_the_program_is_run(tmp_path: Path) -> None:
    """It gets verb, record and value as three arguments, behind the owner's own; no shell."""
    log = tmp_path / "log"
    made: Solver = HookSolver([program(tmp_path, f'printf "<%s>" "$@" >>{log}'), "my zone"])
    await made.present("example.org", "$(id) -v")
    await made.clear("example.org", "$(id) -v")
    assert log.read_text() == (
        "<my zone><present><_acme-challenge.example.org><$(id) -v>"
        "<my zone><clear><_acme-challenge.example.org><$(id) -v>"
    )


async def test_a_failure_says_what_the_program_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The exit status and the last lines are in the error; ``clear`` logs them and goes on."""
    made = HookSolver([program(tmp_path, "seq 9; echo 'no such zone' >&2; exit 3")])
    with pytest.raises(SolverError, match=r'present` for _acme-challenge\.example\.org failed with '
                       r'exit status 3 \("8" / "9" / "no such zone"\)'):  # fmt: skip
        await made.present("example.org", "value")
    with caplog.at_level(logging.WARNING):
        await made.clear("example.org", "value")
    assert "may be left behind" in caplog.text


async def test_much_output_is_read_and_dropped(tmp_path: Path) -> None:
    """A program that prints more than is kept still ends, and its last line is shown."""
    made = HookSolver(
        [program(tmp_path, f"head -c {MAX_OUTPUT * 64} /dev/zero; echo; echo end; exit 1")]
    )
    with pytest.raises(SolverError, match='"end"') as caught:
        await made.present("example.org", "value")
    assert len(str(caught.value)) < 1000


async def test_a_program_that_hangs_is_killed(tmp_path: Path) -> None:
    """After its time it is killed with what it has started."""
    pid = tmp_path / "pid"
    made = HookSolver(
        [program(tmp_path, f"sleep 99 & echo $! >{pid}; echo hello; wait")], timeout=2.0
    )
    with pytest.raises(SolverError, match=r'within 2 s and was killed \("hello"\)'):
        await made.present("example.org", "value")
    found = int(pid.read_text())
    await until(lambda: has_ended(found))


async def test_cancelling_kills_the_program(tmp_path: Path) -> None:
    """A stop of the edge leaves no program behind."""
    pid = tmp_path / "pid"
    made = HookSolver([program(tmp_path, f"echo $$ >{pid}.new; mv {pid}.new {pid}; exec sleep 99")])
    task = asyncio.create_task(made.present("example.org", "value"))
    await until(pid.exists)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    found = int(pid.read_text())
    await until(lambda: has_ended(found))


async def until(condition: Callable[[], bool]) -> None:
    """Return when something is so."""
    while not condition():  # noqa: ASYNC110 - another process makes it so
        await asyncio.sleep(0.01)


def has_ended(pid: int) -> bool:
    """Has a process ended? Whoever adopted it may not have reaped it yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in "ZX"


async def test_a_child_that_stays_does_not_block(tmp_path: Path) -> None:
    """A program that leaves a child with its output open is done when it ends itself."""
    made = HookSolver([program(tmp_path, "sleep 99 & exit 0")])
    await asyncio.wait_for(made.present("example.org", "value"), 20)


@pytest.mark.parametrize(
    ("mode", "text", "expected"),
    [
        (None, "", "no such file"),
        (0o600, "#!/bin/sh\n", r"permission denied.*chmod \+x"),
        (0o700, "exit 0\n", "first line like #!/bin/sh"),
        (0o700, "#!/no/such/shell\n", "check its first line"),
    ],
)
async def test_a_program_that_cannot_be_started(
    tmp_path: Path, mode: int | None, text: str, expected: str
) -> None:
    """Each reason has its sentence."""
    path = tmp_path / "hook"
    if mode is not None:
        path.write_text(text)
        path.chmod(mode)
    with pytest.raises(SolverError, match=rf"could not be started .*{expected}"):
        await HookSolver([str(path)]).present("example.org", "value")
