from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asgi_tunnel.services import hosted
from asgi_tunnel.services.hosted import AppState, HostedApp
from asgi_tunnel.services.service import AppTarget

MODULE = """
async def asgi(scope, receive, send):
    pass

def wsgi(environ, start_response):
    pass

def make():
    return asgi

number = 7
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module that can be imported."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(hosted, "RESTART_DELAY", 0.01)
    path = tmp_path / "hosted_shop.py"
    path.write_text(MODULE)
    yield path
    sys.modules.pop("hosted_shop", None)


@pytest.mark.parametrize(
    "target",
    [
        AppTarget(where="hosted_shop:asgi"),
        AppTarget(where="hosted_shop:wsgi"),
        AppTarget(where="hosted_shop:make", factory=True),
        AppTarget(where="hosted_shop:wsgi", interface="wsgi"),
    ],
)
async def test_an_app_is_loaded(target: AppTarget) -> None:
    """ASGI, WSGI by the arguments it takes, and what a factory makes."""
    app = HostedApp(target, "a.test")
    app.start()
    await app.wait_tried()
    states = [app.state]
    await app.stop()
    assert [*states, app.state] == [AppState.READY, AppState.STOPPED]


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        ("hosted_shop:nothing", "names 'nothing', which 'hosted_shop' does not have"),
        ("hosted_nowhere:app", "names the module 'hosted_nowhere', which cannot be found"),
        ("hosted_shop:number", "is not callable"),
        ("hosted_shop:make", "it looks like a factory"),
    ],
)
async def test_what_cannot_be_loaded_is_said(
    where: str, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In one line of the log, with what visitors get."""
    app = HostedApp(AppTarget(where=where), "a.test")
    app.start()
    await app.wait_tried()
    assert app.state is AppState.FAILED
    assert "the app of a.test did not start" in caplog.text
    assert sentence in caplog.text
    assert "it answers 503, next try in" in caplog.text
    await app.stop()


async def test_an_app_is_loaded_when_its_module_is_repaired(
    module: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An error while importing is shown with its traceback; the next try reads the file anew."""
    module.write_text("1 / 0  # broken")  # noqa: ASYNC240 - a small file
    app = HostedApp(AppTarget(where="hosted_shop:asgi"), "a.test")
    app.start()
    await app.wait_tried()
    assert "ZeroDivisionError" in caplog.text
    module.write_text(MODULE)  # noqa: ASYNC240 - a small file
    async with asyncio.timeout(10):
        while app.state is not AppState.READY:  # noqa: ASYNC110 - its own time decides
            await asyncio.sleep(0.005)
    await app.stop()


async def test_a_startup_that_hangs_is_stopped(caplog: pytest.LogCaptureFixture) -> None:
    """The end of the process does not wait for it."""
    caplog.set_level(logging.INFO)
    cancelled = asyncio.Event()

    async def hanging(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    app = HostedApp(AppTarget(app=hanging), "a.test")
    app.start()
    await asyncio.sleep(0)
    await app.stop()
    await cancelled.wait()
    assert app.state is AppState.STOPPED


async def test_a_shutdown_that_hangs_is_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After its time, with a line of the log."""
    monkeypatch.setattr(hosted, "STOP_TIMEOUT", 0.05)

    async def clinging(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await asyncio.Event().wait()

    app = HostedApp(AppTarget(app=clinging), "a.test")
    app.start()
    await app.wait_tried()
    await app.stop()
    assert "did not end in 0.05 s" in caplog.text
