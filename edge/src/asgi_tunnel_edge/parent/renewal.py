"""The parent goes on as the installed version: the same process, with what it holds.

After an upgrade it replaces itself by ``execve``. Its process id stays, and so do its descriptors
and its children: the service manager, visitors and apps notice nothing. What cannot be inherited
goes over in a document, which the new version has read once, as a trial in a process of its own,
before the old one gives itself up (:mod:`.resume`). Where that fails, or where a moment without
anything in progress does not come, the old parent goes on.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ..channel import Message

__all__ = ["BLOCKED", "FORMAT", "TRIAL", "TRIAL_TIMEOUT", "renew", "try_out", "understood"]

FORMAT: Final = 2
"""Of the document. A parent reads its own format, and 1, of parents with one serving process; with
another one the old parent stays."""

TRIAL_TIMEOUT: Final = 5.0
"""Seconds for the new version to read the document; the parent waits meanwhile, and an import takes
0.1 s."""

BLOCKED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
"""Signals that wait until the new version has its own handlers."""

TRIAL: Final = "trial"
"""Asks the new version only to read the document."""

_GO: Final = "go"
_MODULE: Final = "asgi_tunnel_edge.parent.resume"  # a version without it fails the trial


def understood(document: Message) -> Message | None:
    """Return a document in this version's format; None where that is not known."""
    if document["format"] == 1:  # of a parent with one serving process
        values = dict(document["values"])
        del values["_deaths"]
        about = {"number": values.pop("_generation"), "config": values.pop("_config"), "count": 1}
        workers = [{**one, "place": 0} for one in document["workers"]]
        more = {"workers": workers, "generation": about, "serving": [document["serving"]]}
        return {**document, **more, "format": FORMAT, "values": values}
    return document if document["format"] == FORMAT else None


def try_out(document: Message) -> str:
    """Let the installed version read the document; return why it cannot, or "".

    It blocks for :data:`TRIAL_TIMEOUT` at the most, and waits for no other child.
    """
    try:
        handle = _written(document)
    except OSError as error:
        return f"what it goes on with cannot be written ({error.strerror})"
    try:
        os.set_inheritable(handle, True)
        pid = os.posix_spawn(
            sys.executable,
            _command(TRIAL, handle, document["arguments"]),
            os.environ,
            setsigmask=[],
            setsigdef=[signal.SIGINT, signal.SIGTERM],
        )
    except OSError as error:
        return f"it cannot be tried out ({error.strerror})"
    finally:
        os.close(handle)
    try:
        watching = os.pidfd_open(pid)
    except OSError as error:  # an old kernel, or a filter of system calls
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return f"it cannot be watched ({error.strerror})"
    if not select.select([watching], [], [], TRIAL_TIMEOUT)[0]:
        os.kill(pid, signal.SIGKILL)
    os.close(watching)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return f"the installed version cannot go on from here (code {code})" if code else ""


def renew(document: Message, handles: Sequence[int]) -> str:
    """Become the installed version; return only where that failed, and why.

    Args:
        document: What the new version goes on with.
        handles: Descriptors that it inherits; those that the document names.

    The caller has blocked the signals :data:`BLOCKED`; the new version lets them come.
    """
    inherited = list(handles)
    try:
        handle = _written(document)
        inherited.append(handle)
        for one in inherited:
            os.set_inheritable(one, True)
        os.execv(sys.executable, _command(_GO, handle, document["arguments"]))  # noqa: S606
    except OSError as error:
        return f"the installed version cannot be started ({error.strerror})"
    finally:
        for one in inherited:
            os.set_inheritable(one, False)
        for one in inherited[len(handles) :]:
            os.close(one)


def _command(kind: str, handle: int, arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-P", "-m", _MODULE, kind, str(handle), *arguments]


def _written(document: Message) -> int:
    handle = os.memfd_create("asgi-tunnel-edge")
    with open(os.dup(handle), "wb") as file:
        file.write(json.dumps(document).encode())
    return handle
