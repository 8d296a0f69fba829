"""The solver whose record an owner's program makes, with the API of a DNS provider for example.

``PROGRAM present NAME VALUE`` makes a TXT record beside those that are there, ``PROGRAM clear NAME
VALUE`` takes it away. NAME is the whole name of the record, ``_acme-challenge.example.org``. The
program is run without a shell, with the environment and the user of the edge; exit status 0 means
that it is done.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
from collections.abc import Sequence
from typing import Final

from ...errors import SolverError, shown
from .propagation import proof_record

__all__ = ["HookSolver"]

TIMEOUT: Final = 120.0
"""Seconds for one run of the program: providers' APIs take seconds, and some wait for their
servers. Then its process group is killed."""

MAX_OUTPUT: Final = 4096
"""Bytes of what it prints that are kept for the error; the rest is read and dropped."""

_PIPE: Final = 65536  # bytes that a pipe holds
_SHOWN_LINES: Final = 3  # the last lines say what went wrong

_log = logging.getLogger("asgi_tunnel_edge.dns")


class HookSolver:
    """Runs the program.

    Args:
        command: The program's path, and arguments that stand before ours.
        timeout: Seconds for one run.
    """

    kind = "dns-01"

    def __init__(self, command: Sequence[str], *, timeout: float = TIMEOUT) -> None:
        self._command = list(command)
        self._timeout = timeout

    async def present(self, name: str, value: str) -> None:
        """See :class:`..acme.solver.Solver`; cancelling it kills the program."""
        await self._run("present", proof_record(name), value)

    async def clear(self, name: str, value: str) -> None:
        """See :class:`..acme.solver.Solver`; cancelling it kills the program."""
        try:
            await self._run("clear", proof_record(name), value)
        except SolverError as error:
            _log.warning("the TXT record of %s may be left behind: %s", proof_record(name), error)

    async def _run(self, verb: str, record: str, value: str) -> None:
        program = self._command[0]
        what = f"`{program} {verb}` for {record}"
        output = _Output()
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                verb,
                record,
                value,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output.write_end,
                stderr=output.write_end,
                start_new_session=True,  # so that what it starts ends with it
            )
        except (OSError, ValueError) as error:
            output.close()
            message = f"{what} could not be started ({_why(error)}"
            raise SolverError(message) from error
        output.start()
        try:
            async with asyncio.timeout(self._timeout):
                status = await process.wait()
        except TimeoutError:
            message = (
                f"{what} did not end within {self._timeout:g} s and was killed{output.shown()}; "
                "find out what it waits for"
            )
            raise SolverError(message) from None
        finally:
            await _end(process)
            output.read()
            output.close()
        if status:
            how = f"exit status {status}" if status > 0 else f"signal {-status}"
            message = (
                f"{what} failed with {how}{output.shown()}; correct the program or its settings"
            )
            raise SolverError(message)


class _Output:
    """What a program prints: all of it is read, the end is kept.

    A pipe of our own: asyncio waits with a program until nobody has its pipe open any more, and a
    child that the program left behind may have it open for ever.
    """

    def __init__(self) -> None:
        self._read_end, self.write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        self._loop = asyncio.get_running_loop()
        self._kept = bytearray()

    def start(self) -> None:
        """The program has the write end."""
        os.close(self.write_end)
        self.write_end = -1
        self._loop.add_reader(self._read_end, self.read)

    def read(self) -> None:
        """Take what is there, one pipe's content at the most."""
        try:
            data = os.read(self._read_end, _PIPE)
        except BlockingIOError:
            return
        self._kept += data
        del self._kept[:-MAX_OUTPUT]
        if not data:
            self._loop.remove_reader(self._read_end)

    def close(self) -> None:
        self._loop.remove_reader(self._read_end)
        for end in (self._read_end, self.write_end):
            if end >= 0:
                os.close(end)

    def shown(self) -> str:
        """The last lines as a part of a sentence."""
        lines = bytes(self._kept).decode(errors="replace").split("\n")
        last = [line.strip() for line in lines if line.strip()][-_SHOWN_LINES:]
        return f" ({' / '.join(shown(line) for line in last)})" if last else ""


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill what is left of a program's process group, and reap the program."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # all of it has ended, or belongs to another user
    if process.returncode is None:
        await process.wait()


def _why(error: OSError | ValueError) -> str:
    """The rest of the sentence: why a program does not start, and what to do."""
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENOENT:
        return "no such file); set the program's full path, and check its first line (#!)"
    if number == errno.EACCES:
        return "permission denied); make it executable for the user of the edge: chmod +x"
    if number == errno.ENOEXEC:
        return "no executable format); give it a first line like #!/bin/sh"
    return f"{error}); check the program"
