"""Learn of SIGTERM and Ctrl+C at once.

ASGI tells an app about the shutdown after open responses have ended, but an event stream never
ends by itself: uvicorn would wait for it without limit. So the app listens for itself.
"""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def on_stop_signal(callback: Callable[[], None]) -> Iterator[None]:
    """Run `callback` in the event loop when the process is told to stop, then go on as before.

    The server's own handler is kept and called. Outside the main thread, where Python allows no
    signal handlers, and for signals nobody handles, nothing is installed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    restores = [
        _chain(number, lambda: loop.call_soon_threadsafe(callback))
        for number in (signal.SIGINT, signal.SIGTERM)
    ]
    try:
        yield
    finally:
        for restore in restores:
            restore()


def _chain(number: signal.Signals, notify: Callable[[], object]) -> Callable[[], None]:
    """Put `notify` before the present handler of a signal; returns what undoes it."""
    previous = signal.getsignal(number)
    if not callable(previous):
        return lambda: None

    def handle(received: int, frame: FrameType | None) -> None:
        notify()
        previous(received, frame)

    def restore() -> None:
        if signal.getsignal(number) is handle:
            signal.signal(number, previous)

    signal.signal(number, handle)
    return restore
