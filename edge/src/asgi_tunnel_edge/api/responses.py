"""Responses of the API: JSON that nothing keeps, and that no browser takes for anything else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from starlette.responses import Response

if TYPE_CHECKING:
    from .problem import Problem

__all__ = ["FIELDS", "PROBLEM_TYPE", "json_response", "no_content", "respond"]

PROBLEM_TYPE: Final = "application/problem+json"

FIELDS: Final = {
    "cache-control": "no-store",  # some have a secret
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""Of each response."""


def json_response(body: bytes, status: int = 200) -> Response:
    """Return what was done, as JSON."""
    return Response(body, status_code=status, media_type="application/json", headers=FIELDS)


def no_content() -> Response:
    """Return that it was done."""
    return Response(status_code=204, headers=FIELDS)


def respond(problem: Problem) -> Response:
    """Return why it was not done."""
    body = msgspec.json.encode(problem)
    return Response(body, status_code=problem.status, media_type=PROBLEM_TYPE, headers=FIELDS)
