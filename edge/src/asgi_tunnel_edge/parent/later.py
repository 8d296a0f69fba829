"""What the parent needs only once something serves; imported while its first process starts."""

from __future__ import annotations

from ..control import open_control, remove_control
from .asking import ask_each
from .change import Change
from .renewal import BLOCKED, FORMAT, TRIAL, renew, try_out, understood
from .requests import Requests

__all__ = [
    "BLOCKED",
    "FORMAT",
    "TRIAL",
    "Change",
    "Requests",
    "ask_each",
    "open_control",
    "remove_control",
    "renew",
    "try_out",
    "understood",
]
