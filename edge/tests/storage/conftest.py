"""The contract of the store: each test that asks for a place runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.tokens import TokenRecord, secret_digest

if TYPE_CHECKING:
    from edge.tests.postgres import PostgresServer

    from asgi_tunnel_edge.storage.dialect import Location

Place = Callable[[], "Location"]


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Makes places for stores, each another one, without tables."""
    if request.param == "postgresql":
        return cast("PostgresServer", request.getfixturevalue("postgres")).create_schema
    made: list[Path] = []

    def create() -> Path:
        made.append(tmp_path / f"edge{len(made) or ''}.sqlite3")
        return made[-1]

    return create


@pytest.fixture
def location(place: Place) -> Location:
    """A place for one store, without tables."""
    return place()


def record(
    name: str, *hostnames: str, token_id: str | None = None, expires_at: int | None = None
) -> TokenRecord:
    """A token to keep."""
    return TokenRecord(
        id=token_id or f"tok_{name}",
        name=name,
        secret_sha256=secret_digest(name),
        hostnames=hostnames or (f"{name}.test",),
        created_at=1000,
        expires_at=expires_at,
    )


def make_revision(store: Store, revision: str, *statements: str) -> None:
    """Make the tables of an older version, with rows."""
    config = Config()
    config.set_main_option("script_location", "asgi_tunnel_edge.storage:migrations")
    config.set_main_option("path_separator", "os")
    store._dialect.prepare()
    with store._write() as session:
        config.attributes["connection"] = session.connection()
        command.upgrade(config, revision)
        for statement in statements:
            session.execute(sa.text(statement))
