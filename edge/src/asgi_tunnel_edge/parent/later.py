"""What the parent needs only once something serves; imported while its first process starts."""

from __future__ import annotations

from ..control import open_control, remove_control
from .change import Change
from .requests import Requests

__all__ = ["Change", "Requests", "open_control", "remove_control"]
