"""What the edges of a cluster keep about each other: shared secrets, and who has joined.

What a secret is, and with what it is encrypted, is left to who keeps it.
"""

from __future__ import annotations

import time
from typing import Final

import sqlalchemy as sa
from msgspec import Struct

from asgi_tunnel_edge.errors import StorageError

from .database import Database
from .models import Audit, ClusterNode, ClusterSecret

__all__ = ["MAX_NODES", "ClusterStore", "NodeRecord"]

MAX_NODES: Final = 100
"""Edges of one cluster: each has a connection to each other one."""


class NodeRecord(Struct, frozen=True, kw_only=True):
    """One edge that has joined. Times are seconds since 1970."""

    name: str  #: ``node`` of its ``edge.toml``
    peer_address: str  #: HOST:PORT where other edges reach it
    certificate: bytes  #: PEM
    joined_at: int


class ClusterStore(Database):
    """Every method raises StorageError."""

    def secret(self, name: str) -> bytes | None:
        """Return a secret as it was kept; None: there is none."""
        with self._errors(), self._read() as session:
            row = session.get(ClusterSecret, name)
            return None if row is None else row.value

    def keep_secret(self, name: str, value: bytes, *, replace: bool = False) -> bytes:
        """Keep a secret, if there is none of the name; of two who do it at once one is first.

        Args:
            name: Up to 64 characters.
            value: Encrypted.
            replace: Keep it in place of the one that is there.

        Returns:
            The one that is kept now.
        """
        with self._errors(), self._write() as session:
            row = session.get(ClusterSecret, name)
            if row is not None and not replace:
                return row.value
            now = int(time.time())
            session.merge(ClusterSecret(name=name, value=value, created_at=now))
            session.add(Audit(at=now, action="cluster.secret", subject=name, detail=""))
            return value

    def nodes(self) -> list[NodeRecord]:
        """All edges that have joined, by name."""
        with self._errors(), self._read() as session:
            rows = session.scalars(sa.select(ClusterNode).order_by(ClusterNode.name))
            return [
                NodeRecord(
                    name=row.name,
                    peer_address=row.peer_address,
                    certificate=row.certificate,
                    joined_at=row.joined_at,
                )
                for row in rows
            ]

    def add_node(self, record: NodeRecord) -> None:
        """Note an edge that joins, in place of one of its name.

        Raises:
            StorageError: There are ``MAX_NODES`` others.
        """
        with self._errors(), self._write() as session:
            others = sa.select(sa.func.count()).where(ClusterNode.name != record.name)
            if (session.scalar(others) or 0) >= MAX_NODES:
                raise StorageError(f"the cluster has {MAX_NODES} edges; remove one first")
            session.merge(
                ClusterNode(
                    name=record.name,
                    peer_address=record.peer_address,
                    certificate=record.certificate,
                    joined_at=record.joined_at,
                )
            )
            detail = f"peer_address={record.peer_address}"
            session.add(
                Audit(
                    at=record.joined_at, action="cluster.join", subject=record.name, detail=detail
                )
            )

    def remove_node(self, name: str) -> bool:
        """Forget an edge; False: there was none."""
        with self._errors(), self._write() as session:
            row = session.get(ClusterNode, name)
            if row is None:
                return False
            session.delete(row)
            session.add(Audit(at=int(time.time()), action="cluster.leave", subject=name, detail=""))
            return True
