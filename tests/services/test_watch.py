from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

from tests.services.test_app import ask

from asgi_tunnel import Services
from asgi_tunnel.services import watch
from asgi_tunnel.services.watch import FileWatch
from asgi_tunnel.testing import LocalEdge

if TYPE_CHECKING:
    import pytest

TEXT = '[[services]]\nhostname = "a.test"\nstatus = {}\n'


async def test_changes_are_given_once_each(tmp_path: Path) -> None:
    """Services, or why there are none; a file that is written anew in between is no loss."""
    path = tmp_path / "asgi-tunnel.toml"
    path.write_text(TEXT.format(404))
    changes = FileWatch(path, interval=0.005).changes()
    path.write_text(TEXT.format(4040))
    services, why = await anext(changes)
    assert services is None
    assert "status is no number from 200 to 599" in why
    path.write_text(TEXT.format(410))
    services, why = await anext(changes)
    assert services is not None
    assert why == ""
    path.unlink()
    services, why = await anext(changes)
    assert (services, "cannot be read" in why) == (None, True)


async def test_the_file_in_force_follows_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A change is served; one that cannot be used is said, and the old table stays."""
    monkeypatch.setattr(watch, "INTERVAL", 0.005)
    path = tmp_path / "asgi-tunnel.toml"
    path.write_text(TEXT.format(404))
    services = Services.from_file(path)

    async def until(status: str) -> None:
        async with asyncio.timeout(10):
            while await ask(edge, "a.test", "/") != status:  # noqa: ASYNC110 - as visitors see it
                await asyncio.sleep(0.005)

    async with LocalEdge(services) as edge:
        await until("404")
        new = tmp_path / "new"
        new.write_text(TEXT.format(410))
        os.replace(new, path)  # noqa: PTH105 - as editors do
        await until("410")
        path.write_text("nonsense")
        async with asyncio.timeout(10):
            while "the services stay as they were" not in caplog.text:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        await until("410")
        path.write_text(TEXT.format(451))
        await until("451")
