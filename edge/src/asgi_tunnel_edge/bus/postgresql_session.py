"""Connections of the bus to PostgreSQL, and the statements that its two halves send."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection

__all__ = ["ANSWER_TIMEOUT", "CHANNEL", "Connection", "answering", "connect", "cut", "set_up"]

CHANNEL: Final = "asgi_tunnel_bus"

CONNECT_TIMEOUT: Final = 3
"""Seconds for a connection to each host of the URL."""

ANSWER_TIMEOUT: Final = 5.0
"""Seconds for one statement; then the server is taken for frozen, and the connection is cut."""

DEAD_AFTER: Final = 6
"""Seconds after which either side gives a silent connection up: three probes, 2 s apart. By Linux's
own 7,875 s the lock of an edge whose cable was pulled would stay for hours."""

Connection = AsyncConnection[tuple[Any, ...]]

_SET_UP_LOCK: Final = 0x6173_6769_0002
"""The advisory lock of who makes the tables; a number that nobody else has by chance."""

# Unlogged: after a crash of the server they are empty, and each node says again what it holds.
_TABLES: Final = """
CREATE SCHEMA IF NOT EXISTS asgi_tunnel_bus;
CREATE UNLOGGED TABLE IF NOT EXISTS asgi_tunnel_bus.nodes (
    id text COLLATE "C" PRIMARY KEY,
    lock bigint NOT NULL,
    node text NOT NULL,
    seen timestamptz NOT NULL
);
CREATE UNLOGGED TABLE IF NOT EXISTS asgi_tunnel_bus.holds (
    node text COLLATE "C" REFERENCES asgi_tunnel_bus.nodes ON DELETE CASCADE,
    hostname text COLLATE "C",
    PRIMARY KEY (node, hostname)
);
"""

# What a server's administrator may have set for all sessions, and would end these.
_SETTINGS: Final = {
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_session_timeout": "0",
    "synchronous_commit": "off",
    "tcp_keepalives_idle": "2",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "2",
    "tcp_user_timeout": str(DEAD_AFTER * 1000),
}


async def connect(url: str) -> Connection:
    """Connect, each statement its own transaction.

    Raises:
        psycopg.Error: The server cannot be reached, or does not let this edge in.
    """
    connection = await AsyncConnection.connect(
        url,
        autocommit=True,
        connect_timeout=CONNECT_TIMEOUT,
        keepalives_idle=2,
        keepalives_interval=2,
        keepalives_count=2,
        tcp_user_timeout=DEAD_AFTER * 1000,
        application_name="asgi-tunnel-edge bus",
    )
    try:
        with answering(connection):
            await connection.execute(
                "SELECT set_config(key, value, false) FROM unnest(%s::text[], %s::text[])"
                " AS settings (key, value)",
                (list(_SETTINGS), list(_SETTINGS.values())),
            )
    except BaseException:
        await connection.close()
        raise
    return connection


async def set_up(connection: Connection) -> None:
    """Make the tables where they are missing; of several at once one does."""
    with answering(connection):
        found = await connection.execute("SELECT to_regclass('asgi_tunnel_bus.holds')")
        if await found.fetchone() != (None,):
            return
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_SET_UP_LOCK,))
            await connection.execute(_TABLES)


@contextmanager
def answering(connection: Connection) -> Iterator[None]:
    """Within the block the server has to answer, or its connection is cut.

    Not a timeout of asyncio: ``psycopg`` would ask a frozen server to cancel, and wait for it.
    """
    loop = asyncio.get_running_loop()
    timer = loop.call_later(ANSWER_TIMEOUT, cut, connection)
    try:
        yield
    finally:
        timer.cancel()


def cut(connection: Connection) -> None:
    """Let whoever waits for the server see the end of the connection."""
    try:
        with socket.socket(fileno=os.dup(connection.fileno())) as sock:
            sock.shutdown(socket.SHUT_RDWR)
    except (OSError, psycopg.Error):
        pass  # it is closed already
