"""What the parent needs only once something serves; imported while its first process starts."""

from __future__ import annotations

from ..control import open_control, remove_control
from .asking import ask_each
from .change import Change
from .requests import Requests

__all__ = ["Change", "Requests", "ask_each", "open_control", "remove_control"]
