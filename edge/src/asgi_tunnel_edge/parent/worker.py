"""One serving process, as its parent sees it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from typing import Final

from ..channel import Channel, Message
from .lines import log, pass_on
from .loop import Loop, Timer

__all__ = ["VARIABLE", "State", "Worker", "ending", "last_line", "serving_command"]

VARIABLE: Final = "ASGI_TUNNEL_EDGE_PARENT"
"""Names the descriptor of the channel to a serving process."""

TAIL: Final = 4096
"""Bytes of a starting process's output that are kept: the last lines say why it ended."""

END_TIMEOUT: Final = 5.0
"""Seconds for a process that has closed the channel to end: it does that when it ends."""

Reply = Callable[[Message | None], None]  # None: it did not reply in time, or is gone


class State(Enum):
    """What a serving process does."""

    STARTING = auto()  #: imports, reads its settings, opens sockets
    SERVING = auto()  #: accepts connections
    LEAVING = auto()  #: accepts none, and finishes what it has
    ENDED = auto()  #: is gone


class Worker:
    """See the module.

    Args:
        loop: The parent's.
        generation: The number of its generation.
        place: Which of the generation's workers, from 0.
        on_message: Gets what it says, but replies.
        on_end: Called once, with the exit code, or the signal below zero.

    Attributes:
        pid: Of the process.
        started: When, in monotonic seconds.
        ready: What it said when it began to serve; empty before.
        failure: Why it could not start, in one sentence; empty where it did not say so.
        tail: The end of what it printed before it was sure to start.
    """

    def __init__(
        self,
        loop: Loop,
        generation: int,
        *,
        place: int = 0,
        on_message: Callable[[Worker, Message], None],
        on_end: Callable[[Worker, int], None],
    ) -> None:
        self.generation = generation
        self.place = place
        self.pid = 0
        self.started = 0.0
        self.state = State.STARTING
        self.ready: Message = {}
        self.failure = ""
        self.tail = b""
        self._loop = loop
        self._on_message = on_message
        self._on_end = on_end
        self._channel: Channel
        self._output = -1  # reads what it prints while it starts
        self._ends_at: float | None = None  # monotonic; None: it has all the time
        self._asked: dict[int, tuple[Reply, Timer]] = {}
        self._next = 0

    def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        sockets: Mapping[str, Sequence[int]],
        *,
        workers: int = 0,
        config: str | None = None,
        is_trial: bool = False,
    ) -> None:
        """Start the process.

        Args:
            command: Program and arguments.
            environment: Its own.
            sockets: Descriptors that it inherits, by name.
            workers: How many its generation has; 0: it reads that in its settings.
            config: The text of the settings; None: it reads the file.
            is_trial: Its output is kept until it is sure to start, besides being shown.

        Raises:
            OSError: The system has no room for a process.
        """
        ours, theirs = socket.socketpair()
        opened = [theirs.detach()]
        inherited = [*opened, *(one for handles in sockets.values() for one in handles)]
        error = -1
        actions = []
        try:
            if is_trial:
                self._output, writing = os.pipe()
                opened.append(writing)
                os.set_blocking(self._output, False)
                error = os.dup(2)
                opened.append(error)
                inherited.append(error)
                actions.append((os.POSIX_SPAWN_DUP2, writing, 2))
            # Marked for this moment: the parent has one thread, and starts nothing else.
            for handle in inherited:
                os.set_inheritable(handle, True)
            self.pid = os.posix_spawnp(
                command[0],
                list(command),
                {**environment, VARIABLE: str(inherited[0])},
                file_actions=actions,
                setpgroup=0,  # Ctrl-C reaches the parent alone, which passes it on once
                setsigmask=[],
                setsigdef=[signal.SIGINT, signal.SIGTERM],
            )
        except OSError:
            ours.close()
            if self._output >= 0:
                os.close(self._output)
                self._output = -1
            raise
        finally:
            for handle in inherited:
                os.set_inheritable(handle, False)
            for handle in opened:
                os.close(handle)
        self.started = time.monotonic()
        self._channel = Channel(ours)
        self._watch()
        if self._output >= 0:
            self._loop.watch(self._output, self._on_output)
        self.send(
            {
                "type": "start",
                "generation": self.generation,
                "worker": self.place,
                "workers": workers,
                "sockets": {name: list(handles) for name, handles in sockets.items()},
                "config": config,
                "error": error,
            }
        )

    @classmethod
    def resumed(
        cls,
        loop: Loop,
        record: Message,
        *,
        on_message: Callable[[Worker, Message], None],
        on_end: Callable[[Worker, int], None],
    ) -> Worker:
        """Go on with a process that another version of the parent had started (:mod:`.renewal`).

        Args:
            loop: The parent's.
            record: As :attr:`record` had it.
            on_message: As above.
            on_end: As above.
        """
        worker = cls(
            loop, record["generation"], place=record["place"], on_message=on_message, on_end=on_end
        )
        worker.pid, worker.started = record["pid"], record["started"]
        worker.state, worker.ready = State[record["state"]], record["ready"]
        worker._next = record["next"]
        os.set_inheritable(record["channel"], False)
        worker._channel = Channel(socket.socket(fileno=record["channel"]))
        worker._watch()
        ends_at = record.get("ends_at")
        if ends_at is not None:
            worker.leave(ends_at - time.monotonic())
        return worker

    @property
    def record(self) -> Message | None:
        """What another version of the parent goes on with.

        None while something is in progress that it could not: a start, a question, half a message.
        """
        is_steady = self.state in (State.SERVING, State.LEAVING) and self._output < 0
        if not is_steady or self._asked or not self._channel.is_idle or self.channel_handle < 0:
            return None
        return {
            "generation": self.generation,
            "place": self.place,
            "pid": self.pid,
            "started": self.started,
            "state": self.state.name,
            "ready": self.ready,
            "next": self._next,
            "channel": self.channel_handle,
            "ends_at": self._ends_at,
        }

    @property
    def channel_handle(self) -> int:
        """The descriptor of the channel; below zero once it is closed."""
        return self._channel.fileno()

    @property
    def waiting(self) -> int:
        """Bytes that it has not taken from the channel yet."""
        return self._channel.waiting

    def send(self, message: Message) -> None:
        """Tell it something; a process that is gone hears nothing."""
        with contextlib.suppress(OSError):
            self._channel.send(message)
            self._watch()

    def offer(self, message: Message, descriptors: list[int]) -> bool:
        """Hand it descriptors, which stay open here; return whether it has room for them now."""
        is_sent = self._channel.offer(message, descriptors)
        if is_sent:
            self._watch()
        return is_sent

    def ask(self, request: Message, reply: Reply, timeout: float) -> None:
        """Ask it something; ``reply`` is called once.

        Args:
            request: Its ``command`` says what is asked for.
            reply: Gets the reply; None after ``timeout`` seconds, or when the process ends.
            timeout: Seconds.
        """
        if self.state is State.ENDED:
            reply(None)
            return
        number = self._next = self._next + 1
        timer = self._loop.call_later(timeout, lambda: self._answered(number, None))
        self._asked[number] = (reply, timer)
        self.send({"type": "ask", "id": number, "request": request})

    def signal(self, number: int) -> None:
        """Send it a signal."""
        if self.state is not State.ENDED:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def leave(self, seconds: float) -> None:
        """It serves no more; one that has not ended in ``seconds`` is killed, at 0 at once."""
        self.state = State.LEAVING
        self._ends_at = time.monotonic() + seconds
        if seconds > 0:
            self._loop.call_later(seconds, self._end)
        else:
            self.signal(signal.SIGKILL)

    def _end(self) -> None:
        if self.state is not State.ENDED:
            log("ERROR", f"the process {self.pid}, which was leaving, does not end; it is killed")
            self.signal(signal.SIGKILL)

    def take_descriptors(self, count: int) -> list[int]:
        """Return descriptors that came with its last message."""
        return self._channel.take_descriptors(count)

    def ended(self, code: int) -> None:
        """The process is gone; ``code`` as ``os.waitstatus_to_exitcode`` has it."""
        self._on_channel()  # its last words
        self._on_output()
        self.state = State.ENDED
        if self._channel.fileno() >= 0:
            self._loop.forget(self._channel.fileno())
            self._channel.close()
        self._close_output()
        for number in list(self._asked):
            self._answered(number, None)
        self._on_end(self, code)

    def _watch(self) -> None:
        self._loop.watch(self._channel.fileno(), self._on_channel, writing=self._channel.has_output)

    def _on_channel(self) -> None:
        if self._channel.fileno() < 0:
            return
        try:
            self._channel.flush()
        except OSError:
            pass
        messages = self._channel.receive()
        if messages is None:
            # Its end follows. One that only closed the channel cannot be led any more.
            self._loop.forget(self._channel.fileno())
            self._channel.close()
            self._loop.call_later(END_TIMEOUT, lambda: self.signal(signal.SIGKILL))
            return
        self._watch()
        for message in messages:
            if message.get("type") == "reply":
                self._answered(message.get("id"), message.get("reply"))
            else:
                self._on_message(self, message)

    def _answered(self, number: object, reply: Message | None) -> None:
        asked = self._asked.pop(number, None) if isinstance(number, int) else None
        if asked is not None:
            asked[1].cancel()
            asked[0](reply)

    def _on_output(self) -> None:
        while self._output >= 0:
            try:
                data = os.read(self._output, 2048)
            except (BlockingIOError, InterruptedError):
                return
            if not data:
                self._close_output()
                return
            self.tail = (self.tail + data)[-TAIL:]
            pass_on(data)

    def _close_output(self) -> None:
        if self._output >= 0:
            self._loop.forget(self._output)
            os.close(self._output)
            self._output = -1


def serving_command(arguments: Sequence[str]) -> list[str]:
    """Return the command of a serving process: this program, as it is installed now.

    ``-P``: the current folder would come before the standard library otherwise.
    """
    return [sys.executable, "-P", "-m", "asgi_tunnel_edge", "run", *arguments]


def ending(code: int) -> str:
    """How a process ended, as the end of a sentence."""
    if code >= 0:
        return f"ended with {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def last_line(output: bytes) -> str:
    """The last line of an output that says anything; empty where there is none."""
    lines = [line.strip() for line in output.decode("utf-8", "replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")
