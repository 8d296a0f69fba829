"""What a request gets that cannot be done: a problem (RFC 9457) with one sentence."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from msgspec import Struct

from asgi_tunnel_edge.errors import (
    AccountError,
    BanNotFoundError,
    CertificateError,
    EdgeConfigError,
    EdgeError,
    HostnameElsewhereError,
    HostnameError,
    HostnameNotFoundError,
    HostnameTakenError,
    KeptRequestNotFoundError,
    NameTakenError,
    StorageError,
    TokenNotFoundError,
    TokenRevokedError,
    TooManyBansError,
    TooManyHostnamesError,
    TunnelNotFoundError,
    code_of,
)
from asgi_tunnel_edge.operations.scope import NotAllowedError

__all__ = ["APIError", "Problem", "problem", "problem_of"]

_STATUS: Final[dict[type[EdgeError], int]] = {
    BanNotFoundError: 404,
    CertificateError: 409,
    EdgeConfigError: 422,
    HostnameElsewhereError: 422,
    HostnameError: 422,
    HostnameNotFoundError: 404,
    HostnameTakenError: 409,
    KeptRequestNotFoundError: 404,
    NameTakenError: 409,
    NotAllowedError: 403,
    StorageError: 503,
    TokenNotFoundError: 404,
    TokenRevokedError: 409,
    TooManyBansError: 409,
    TooManyHostnamesError: 409,
    TunnelNotFoundError: 404,
}


class Problem(Struct, frozen=True, kw_only=True):
    """Why a request was not done."""

    type: str = "about:blank"
    title: str  #: of the status
    status: int
    detail: str  #: one sentence: what, why, what to do
    code: str  #: what a program knows it by, such as ``token_not_found``


class APIError(Exception):
    """A request that no operation gets to see.

    Attributes:
        status: Of the response.
        code: What a program knows it by.
        detail: One sentence.
    """

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail


def problem_of(error: Exception) -> Problem:
    """Return the problem of an error that was foreseen."""
    if isinstance(error, APIError):
        return _problem(error.status, error.code, error.detail)
    assert isinstance(error, EdgeError)
    if isinstance(error, AccountError):
        status = 404 if error.is_missing else 409
    else:
        status = next((it for kind, it in _STATUS.items() if isinstance(error, kind)), 400)
    return _problem(status, code_of(error), _sentence(error))


def problem(status: int, title: str, detail: str) -> Problem:
    """Return the problem of an address below the API that no operation has."""
    return Problem(title=title, status=status, detail=detail, code="http")


def _problem(status: int, code: str, detail: str) -> Problem:
    return Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, code=code)


def _sentence(error: EdgeError) -> str:
    """The sentence of an error; of an option of the command line, with the name of the field."""
    if isinstance(error, EdgeConfigError) and error.file is None:
        field = error.setting.removeprefix("--").replace("-", "_").lower()
        return f"{field}: {error.why}; {error.fix}"
    return str(error)
