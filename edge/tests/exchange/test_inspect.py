"""The inspector of an app's side is for the edge, and no visitor finds it."""

from __future__ import annotations

from pathlib import Path

import pytest
from edge.tests.live import SHOP, live_edge
from tests.asgi.memory import Recorder

from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.inspection import begin_inspection
from asgi_tunnel.inspector.settings import Inspect

ANNA = '{"by":"anna","may_write":true}'


@pytest.mark.parametrize(
    "field",
    [
        f":inspect: {ANNA}",
        f": inspect: {ANNA}",
        f" :inspect: {ANNA}",
        f"x: y\n:inspect: {ANNA}",
        f"x: y\r:inspect: {ANNA}",
    ],
)
async def test_a_visitor_cannot_send_the_line(tmp_path: Path, field: str) -> None:
    """T144: a field with such a name is refused, and neither the app nor the inspector is asked."""
    app = Recorder()
    async with live_edge(tmp_path, app) as live:
        assert live.connector is not None
        inspection = begin_inspection(
            Inspect(level="full"), live.connector.origin, "a", "asgi-tunnel/test"
        )
        assert inspection is not None
        assert (await live.get("/state", field)).status == 400
        assert not app.scopes
        assert not list(inspection.recorder.newest(10))


@pytest.mark.parametrize(
    "path", ["/state", "/exchanges", "/live", "/:inspect", "/?:inspect=1", "*"]
)
async def test_no_path_and_no_field_leads_there(tmp_path: Path, path: str) -> None:
    """T144: what a visitor may send goes to the app, and is recorded as any other request."""
    app = Recorder()
    async with live_edge(tmp_path, app) as live:
        assert live.connector is not None
        inspection = begin_inspection(Inspect(), live.connector.origin, "a", "asgi-tunnel/test")
        assert inspection is not None
        fields = (f"inspect: {ANNA}", f"x-inspect: {ANNA}", f"x: \t:inspect: {ANNA}")
        answer = await live.get(path if path != "*" else f"http://{SHOP}/live", *fields)
        assert answer.status == 200
        assert b"hello" in answer.body
        assert len(app.scopes) == 1
        (one,) = inspection.recorder.newest(10)
        assert one.summary("x")["host"] == SHOP


async def test_an_app_without_one_records_nothing(tmp_path: Path) -> None:
    """An origin has no recorder unless it was asked for."""
    origin = Origin(Recorder())
    assert (origin.recorder, origin.inspector) == (None, None)
    assert begin_inspection(None, origin, "a", "asgi-tunnel/test") is None
    assert (origin.recorder, origin.inspector) == (None, None)
