"""Thousands of tokens in one transaction; `token create` has one for each, as people make them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.e2e.harness import Token

from asgi_tunnel_edge.operations.issuing import issue_token
from asgi_tunnel_edge.storage import Store, models
from asgi_tunnel_edge.storage.database import GENERATION, raise_number
from asgi_tunnel_edge.tokens import new_token_id, secret_digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asgi_tunnel_edge.settings.config import EdgeConfig

__all__ = ["make"]


def make(config: EdgeConfig, names: Sequence[str]) -> list[Token]:
    """Make a token of each name, for the hostname NAME.DOMAIN.

    White-box: the store has no call for many, which only a test needs.
    """
    made = list[Token]()
    store = Store(config.database)
    with store._errors(), store._write() as session:
        for name in names:
            token = issue_token(config, new_token_id())
            host = f"{name}.{config.domain}"
            session.add(
                models.Token(
                    id=token.id,
                    name=name,
                    secret_sha256=secret_digest(token.secret),
                    created_at=int(time.time()),
                    hostnames=[models.Hostname(hostname=host, end_to_end=False)],
                )
            )
            made.append(Token(token.format(), token.id, [host], [f"https://{host}"]))
        raise_number(session, GENERATION)
    return made
