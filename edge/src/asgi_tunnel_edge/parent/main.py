"""What ``asgi-tunnel-edge run`` is: starts serving processes, keeps them running, changes them.

A generation is what serves after one start, reload or upgrade (:mod:`.generation`). The parent has
one that serves, perhaps one that is to take its place (:mod:`.change`), and a list of processes of
earlier ones that leave.

Large because it holds one class, which says why.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from .. import __version__
from .generation import Generation
from .held import HeldSockets
from .hub import Hub
from .lines import log, reopen_streams
from .loop import Loop
from .notify import Notifier
from .spread import Spread
from .worker import State, Worker, ending, serving_command

if TYPE_CHECKING:
    from ..channel import Message
    from .change import Change
    from .later import Requests
    from .loop import Timer

__all__ = ["Parent", "run"]

KILL_AFTER: Final = 2.0
"""Seconds that a serving process has for its end after a second signal."""

STOP_TIMEOUT: Final = 18.0
"""The same after the first one: what is in progress gets 10 s, and systemd waits 20 s."""

LEAVE_MARGIN: Final = 15.0
"""Seconds that a process which is replaced has for its end, besides those for what it serves."""

CONTROL_RETRY: Final = 1.0
"""Seconds between two looks whether another edge has left the control socket."""

ASK_TIMEOUT: Final = 10.0
"""Seconds for the serving process to answer what the control socket asks."""

STATUS_TIMEOUT: Final = 2.0
"""The same for ``status``, which has to say that a process does not reply."""

RENEWAL_TIMEOUT: Final = 60.0
"""Seconds after an upgrade for a moment in which nothing is in progress, to become it as well."""

STREAMS_CHECK: Final = 60.0
"""Seconds between two looks whether the files of standard output and error were renamed."""


def run(arguments: Sequence[str]) -> int:
    """Run an edge until SIGINT or SIGTERM; return the exit code.

    Args:
        arguments: Of the command ``run``; for the serving process, which reads and checks them.
    """
    return Parent(arguments).run()


class Parent:
    """See the module; what a change asks of it is in :class:`.change.Generations`.

    Large because processes, changes and signals act on one state, which another version takes over.
    """

    def __init__(self, arguments: Sequence[str], before: Message | None = None) -> None:
        self.loop = Loop()
        self._arguments = list(arguments)
        self._command = serving_command(arguments)
        self._environment = dict(os.environ)
        self._notifier = Notifier(self._environment)
        self._held = HeldSockets()
        self._hub = Hub(self.loop)
        self._spread = Spread()
        if before is None:
            self._held.take_given(self._environment)
        for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
            self._environment.pop(name, None)
        self._started = time.time()
        self._current = Generation(self, 1)  # serves, or is started to
        self._leaving: list[Worker] = []
        self._all: dict[int, Worker] = {}  # by process id, until they are gone
        self._change: Change | None = None
        self._last_change: Message | None = None
        self._has_served = False
        self._signals = 0  # that ask for the end
        self._is_hangup_due = False
        self._code: int | None = None  # of the parent, once it is known
        self._worst = 0  # code of a serving process, after a signal
        self._folder = ""
        self._requests: Requests | None = None
        self._silent: set[int] = set()  # process ids that gave no sign of life when last asked
        self._had_terminal = _has_terminal()
        self._before = before  # what this process was as another version
        self._renewal: Timer | None = None  # ends the wait for the moment to become another one

    def run(self) -> int:
        """See :func:`run`."""
        for one in (signal.SIGINT, signal.SIGTERM):
            self.loop.on_signal(one, self._on_stop)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
            self.loop.on_signal(signal.SIGHUP, self._on_hangup)
        self.loop.on_signal(signal.SIGCHLD, self._on_child)
        if self._before is None:
            self._current.begin()
        # The rest while it starts; and now, for later there may be another version on the disk.
        from . import later

        self._later = later
        self.loop.call_later(STREAMS_CHECK, self._check_streams)
        if self._notifier.interval:
            # The last sign of life may be an interval old where this is another version.
            is_new = self._before is None
            self.loop.call_later(self._notifier.interval if is_new else 0.0, self._watchdog)
        if self._before is not None:
            self._go_on(self._before)
        while self._code is None:
            self.loop.turn()
            if self._renewal is not None:
                self._renew()
        if self._requests is not None:
            # In this order: the next edge takes its place as soon as nobody listens.
            self._later.remove_control(self._folder)
            self._requests.close()
        self._notifier.close()
        return self._code

    # -- signals -----------------------------------------------------------------------------

    def _on_stop(self) -> None:
        self._signals += 1
        if self._signals == 1:
            self._notifier.stopping()
            # Nobody accepts any more: who connects is to be refused, and not to wait for a reset.
            self._held.close()
            if self._change is not None:
                self._change.cancel()
        self._current.stop_replacing()
        for worker in self._all.values():
            if self._signals == 1:
                worker.signal(signal.SIGTERM)
            else:
                worker.send({"type": "ask", "id": 0, "request": {"command": "end"}})
        if self._signals <= 2:
            self.loop.call_later((STOP_TIMEOUT, KILL_AFTER)[self._signals - 1], self._kill)
        if not self._all:
            self._code = 0

    def _kill(self) -> None:
        for worker in self._all.values():
            log("ERROR", f"the process {worker.pid} does not end; it is killed")
            worker.signal(signal.SIGKILL)

    def _on_hangup(self) -> None:
        if self._had_terminal and not _has_terminal():
            self._on_stop()  # its window was closed
        elif not self._current.is_steady:
            self._is_hangup_due = True  # it cannot be told before it serves
        elif not self._signals:
            self.refresh()
            if self._change is None:
                self._begin_change("reload", lambda _: None)
            else:
                self._is_hangup_due = True  # its new process may have read the settings already

    def _on_child(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            worker = self._all.pop(pid, None)
            if worker is not None:
                worker.ended(os.waitstatus_to_exitcode(status))

    # -- serving processes -------------------------------------------------------------------

    def start(self, generation: Generation, place: int) -> Worker:
        """See :class:`.generation.Starter`."""
        reopen_streams()
        worker = Worker(
            self.loop,
            generation.number,
            place=place,
            on_message=self._on_message,
            on_end=self._on_worker_end,
        )
        worker.start(
            self._command,
            self._environment,
            self._held.names,
            workers=generation.count,
            config=generation.config,
            is_trial=generation.is_trial and not generation.has_served,
        )
        self._all[worker.pid] = worker
        return worker

    def _on_message(self, worker: Worker, message: Message) -> None:
        kind = message.get("type")
        if kind == "sockets":
            names = message.get("names", {})
            for name, count in names.items():
                self._held.hold(name, worker.take_descriptors(count))
            if self._signals:
                self._held.close()
        elif kind == "bus":
            self._hub.on_message(worker, message)
        elif kind == "failed":
            worker.failure = str(message.get("error"))
        elif kind == "ready":
            self._on_ready(worker, message)
        elif kind == "spread":
            self._spread.pass_on(worker, message, list(self._current.workers.values()))
        elif kind == "ask":
            self._ask_for(worker, message)

    def _on_ready(self, worker: Worker, message: Message) -> None:
        worker.state, worker.ready = State.SERVING, message
        if self._signals:
            return  # it has the signal too, and no other one is to start
        coming = None if self._change is None else self._change.coming
        if coming is not None and coming.has(worker):
            if coming.on_ready(worker):
                assert self._change is not None
                self._change.on_ready()
            return
        if not self._current.has(worker):
            return
        is_first = self._current.on_ready(worker)
        if is_first:
            self._has_served = True
            self._open_control(str(message.get("folder", "")))
        if self._current.is_steady:
            self._held.keep(self._current.sockets)
            self._tell_ready()
            self._take_hangup()

    def _take_hangup(self) -> None:
        if self._is_hangup_due and self._current.is_steady:
            self._is_hangup_due = False
            self._on_hangup()

    def _open_control(self, folder: str, *, is_again: bool = False) -> None:
        """Listen for commands, as soon as no other edge does: one that ends may still drain."""
        self._folder = folder
        if self._signals:
            return
        try:
            sock = self._later.open_control(folder)
            why = f"another edge runs in {folder}, and its control socket is that one's"
            fix = "give each its own folder, or wait until that one has ended"
        except OSError as error:
            sock = None
            why = f"the control socket in {folder} cannot be opened ({error.strerror})"
            fix = "this edge goes on meanwhile, without status, reload and upgrade"
        if sock is None:
            if not is_again:
                log("WARNING", f"{why}; {fix}")
            self.loop.call_later(CONTROL_RETRY, lambda: self._open_control(folder, is_again=True))
            return
        self._requests = self._later.Requests(self.loop, sock, self._answer)
        if is_again:
            log("INFO", f"the control socket in {folder} is this edge's now")

    def _on_worker_end(self, worker: Worker, code: int) -> None:
        self._hub.on_end(worker)
        coming = None if self._change is None else self._change.coming
        if self._change is not None and coming is not None and coming.has(worker):
            self._change.on_end(worker, code)
        elif worker in self._leaving:
            self._leaving.remove(worker)
            if code:
                log("WARNING", f"the process {worker.pid}, which was leaving, {ending(code)}")
        elif self._current.has(worker):
            self._current.lost(worker)
            self._on_crash(worker, code)
        if self._signals and not self._all and self._code is None:
            self._code = self._worst
        self._let_go()

    def _let_go(self) -> None:
        """Close the sockets that only a generation had which did not come to serve."""
        if self._change is None and self._current.is_steady and not self._signals:
            self._held.keep(self._current.sockets)

    def _on_crash(self, worker: Worker, code: int) -> None:
        if self._signals:
            if code != -signal.SIGTERM:  # else it had only begun to start
                self._worst = max(self._worst, code if code >= 0 else 128 - code)
        elif not self._has_served:
            self._code = code if code >= 0 else 128 - code
            for one in self._all.values():  # which have begun to start
                one.signal(signal.SIGKILL)
        elif self._change is None or self._change.coming is None:
            self._current.replace(worker, code)
        # Else the next generation is on its way; if it fails, see _on_changed.

    # -- for a change -------------------------------------------------------------------------

    @property
    def current(self) -> Generation:
        """See :class:`Generations`."""
        return self._current

    def begin(self) -> Generation:
        """See :class:`Generations`."""
        coming = Generation(self, self._current.number + 1, is_trial=True)
        coming.begin()
        return coming

    def promote(self, generation: Generation) -> Generation:
        """See :class:`Generations`."""
        old, self._current = self._current, generation
        self._held.keep(generation.sockets)
        old.stop_replacing()
        for worker in old.workers.values():
            worker.leave(generation.drain_timeout + LEAVE_MARGIN)
            self._leaving.append(worker)
        return old

    def give_up(self, generation: Generation) -> None:
        """See :class:`Generations`."""
        generation.stop_replacing()
        for worker in generation.workers.values():
            worker.leave(0.0)
            self._leaving.append(worker)

    def refresh(self) -> None:
        """See :class:`Generations`."""
        reopen_streams()
        for worker in self._all.values():
            if worker.state in (State.SERVING, State.LEAVING):
                worker.signal(signal.SIGHUP)

    # -- changes -----------------------------------------------------------------------------

    def _begin_change(self, kind: str, reply: Callable[[Message], None]) -> None:
        if self._change is not None:
            reply(
                {"ok": False, "error": f"another {self._change.kind} is in progress; wait for it"}
            )
            return
        if self._signals:
            reply({"ok": False, "error": "the edge is about to stop"})
            return
        self._notifier.reloading()

        def done(result: Message) -> None:
            self._on_changed(result)
            reply(result)

        self._change = self._later.Change(self, kind, done)
        self._change.start()

    def _on_changed(self, result: Message) -> None:
        coming = None if self._change is None else self._change.coming
        self._change = None
        self._last_change = result
        if coming is not None:
            self.give_up(coming)
        if not self._signals:
            self._tell_ready()
            self._current.fill()  # some may have ended meanwhile
            if result["ok"] and result["kind"] == "upgrade" and _CAN_RENEW:
                if self._renewal is not None:
                    self._renewal.cancel()
                why = f"there was something in progress for {RENEWAL_TIMEOUT:g} s"
                self._renewal = self.loop.call_later(RENEWAL_TIMEOUT, lambda: self._stay(why))
            self._let_go()
            self.loop.call_later(0.0, self._take_hangup)  # once who asked has the reply

    # -- another version of this process ------------------------------------------------------

    def _renew(self) -> None:
        """Become the version that is installed now, if this moment allows it.

        Called after each turn of the loop: looks at fixed intervals could come each time when the
        watchdog, whose intervals are as long, has just asked the serving processes.
        """
        document = self._document()
        if document is None:
            return
        handles = [*self._held.handles, *(one["channel"] for one in document["workers"])]
        if document["control"] >= 0:
            handles.append(document["control"])
        # A signal that comes from here on waits: for the new version, or until this one stays.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, self._later.BLOCKED)
        try:
            if not self.loop.has_signals:
                if self._notifier.interval:
                    self._notifier.alive()  # each process has replied when it was last asked
                self._stay(self._later.try_out(document) or self._later.renew(document, handles))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _stay(self, why: str) -> None:
        """Do not become the installed version."""
        if self._renewal is not None:
            self._renewal.cancel()
            self._renewal = None
        if not self._signals:
            log("WARNING", f"the parent stays version {__version__}: {why}; serving goes on")

    def _document(self) -> Message | None:
        """What another version goes on with; None while something is in progress."""
        requests = self._requests
        is_busy = self._change is not None or self._is_hangup_due or not self._current.is_steady
        if self._signals or is_busy or (requests is not None and not requests.is_idle):
            return None
        records = [one.record for one in self._all.values()]
        if None in records:
            return None
        return {
            "format": self._later.FORMAT,
            "arguments": self._arguments,
            "held": self._held.names,
            "given": self._held.given,
            "workers": records,
            "hub": self._hub.record,
            "generation": self._current.values,
            "serving": [one.pid for one in self._current.workers.values()],
            "control": -1 if requests is None else requests.fileno(),
            "values": {name: getattr(self, name) for name in _CARRIED},
        }

    def _go_on(self, before: Message) -> None:
        """Take what this process had as another version."""
        vars(self).update(before["values"])
        self._current = Generation.resumed(self, before["generation"])
        self._held.restore(before["held"], before["given"])
        for handle in self._held.handles:
            os.set_inheritable(handle, False)
        for record in before["workers"]:
            worker = Worker.resumed(
                self.loop, record, on_message=self._on_message, on_end=self._on_worker_end
            )
            self._all[worker.pid] = worker
            if worker.pid in before["serving"]:
                self._current.take(worker)
            else:
                self._leaving.append(worker)
        self._hub.resume(before.get("hub", {}), self._all.values())
        if before["control"] >= 0:
            os.set_inheritable(before["control"], False)
            sock = socket.socket(fileno=before["control"])
            self._requests = self._later.Requests(self.loop, sock, self._answer)
        else:
            self._open_control(self._folder, is_again=True)
        self._tell_ready()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._later.BLOCKED)
        self._on_child()  # that ended meanwhile
        log("INFO", f"the parent goes on as version {__version__}")

    def _tell_ready(self) -> None:
        current = self._current
        if current.is_steady:
            of = f", {current.count} processes" if current.count > 1 else ""
            self._notifier.ready(f"generation {current.number}, version {current.version}{of}")

    # -- questions ---------------------------------------------------------------------------

    def _answer(self, request: Message, reply: Callable[[Message], None]) -> None:
        command = request["command"]
        if command in _OWN:
            reply({"ok": False, "error": f"{command} is nothing that a client may ask for"})
        elif command in ("reload", "upgrade"):
            self._begin_change(command, reply)
        elif command == "status":
            self._status(reply)
        elif "to" in request:
            about = {"ok": True, "generation": self._current.number}
            self._ask_those(request, lambda found: reply({**about, "workers": found}), ASK_TIMEOUT)
        elif self._current.first is None:
            reply({"ok": False, "error": "the serving process is just being started again"})
        else:
            self._current.ask_first(request, lambda found: reply(found or _NO_REPLY), ASK_TIMEOUT)

    def _status(self, reply: Callable[[Message], None]) -> None:
        ask = {"command": "status"}
        self._ask_those(ask, lambda found: reply(self._described(found)), STATUS_TIMEOUT)

    def _ask_for(self, worker: Worker, message: Message) -> None:
        """A serving process asks the others; each reply goes back by itself, for its size."""
        number = message.get("id")

        def then(found: list[Message]) -> None:
            for one in found:
                worker.send({"type": "said", "id": number, "worker": one})
            worker.send({"type": "said", "id": number, "worker": None})

        others = [
            one
            for one in self._all.values()
            if one.state in (State.SERVING, State.LEAVING) and one is not worker
        ]
        request = message.get("request", {})
        if "worker" in request:
            place = request["worker"]
            others = [one for one in others if self._current.has(one) and one.place == place]
        self._later.ask_each(others, request, then, STATUS_TIMEOUT)

    def _ask_those(
        self, request: Message, then: Callable[[list[Message]], None], timeout: float
    ) -> None:
        """Ask the processes that a request is for: all that serve or leave, or one by its id."""
        to = request.get("to", "all")
        workers = [
            one
            for one in self._all.values()
            if one.state is not State.STARTING and to in ("all", one.pid)
        ]
        self._later.ask_each(workers, request, then, timeout)

    def _described(self, workers: list[Message]) -> Message:
        first = self._current.first
        addresses = () if first is None else first.ready.get("addresses", ())
        return {
            "ok": True,
            "version": self._current.version,
            "generation": self._current.number,
            "uptime": round(time.time() - self._started, 3),
            "parent": {"pid": os.getpid(), "version": __version__},
            "addresses": list(addresses),
            "workers": workers,
            "last_change": self._last_change,
            "changing": None if self._change is None else self._change.kind,
        }

    # -- now and then ------------------------------------------------------------------------

    def _check_streams(self) -> None:
        reopen_streams()
        self.loop.call_later(STREAMS_CHECK, self._check_streams)

    def _watchdog(self) -> None:
        """A sign of life, if a serving process gives one; or while there is none yet.

        One of several that gives none for two turns is ended, so that another one takes its place.
        """

        def on_reply(worker: Worker, reply: Message | None) -> None:
            if reply is not None:
                self._notifier.alive()
                self._silent.discard(worker.pid)
            elif worker.pid in self._silent and self._current.has(worker):
                log("ERROR", f"the serving process {worker.pid} gives no sign of life; it is ended")
                worker.signal(signal.SIGKILL)
            elif self._current.count > 1:
                self._silent.add(worker.pid)

        serving = [one for one in self._all.values() if one.state is State.SERVING]
        if not serving:
            self._notifier.alive()
        for one in serving:
            one.ask({"command": "ping"}, functools.partial(on_reply, one), self._notifier.interval)
        self._silent.intersection_update(self._all)
        self.loop.call_later(self._notifier.interval, self._watchdog)


_CAN_RENEW: Final = hasattr(os, "memfd_create") and hasattr(os, "pidfd_open")  # Linux

_OWN: Final = frozenset({"end", "retire"})
"""What only the parent says to a serving process."""

_CARRIED: Final = (
    *("_environment", "_folder", "_had_terminal", "_has_served", "_last_change", "_started"),
)
"""Plain values that another version of this process goes on with."""

_NO_REPLY: Final = {"ok": False, "error": "the serving process did not reply in time"}


def _has_terminal() -> bool:
    """Whether this process has a terminal, whose end ends it; a service has none."""
    with contextlib.suppress(OSError):
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK))
        return True
    return False
