from __future__ import annotations

import os

import pytest
from tests.asgi.fakes import FakeConnector


@pytest.fixture
def connectors(monkeypatch: pytest.MonkeyPatch) -> list[FakeConnector]:
    """The connectors that are made: none of them dials, and no variable of this machine counts."""
    monkeypatch.setattr("asgi_tunnel.connector.Connector", FakeConnector)
    monkeypatch.setattr("asgi_tunnel.runner.Connector", FakeConnector)
    monkeypatch.setattr(FakeConnector, "refusal", None)
    monkeypatch.setattr(FakeConnector, "connects", True)
    monkeypatch.setattr(FakeConnector, "made", [])
    for name in list(os.environ):
        if name.startswith("ASGI_TUNNEL_"):
            monkeypatch.delenv(name)
    return FakeConnector.made
