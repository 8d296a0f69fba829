"""``edge(...)``: what one route, or one app, wants of the edge.

It decorates functions, classes, apps and handlers of frameworks, and stands in the table of
:class:`asgi_tunnel.Tunnel`. It changes nothing of what it decorates but one attribute, which
``collect`` looks for when the tunnel opens.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any, Final, TypeVar

from ..errors import ConfigError
from ..protocol.policy import PolicyRule

__all__ = ["EdgePolicy", "edge", "is_used", "policy_on", "unseen"]

ATTRIBUTE: Final = "__asgi_tunnel_edge__"

MAX_DECORATED: Final = 1000
"""Things that are remembered as decorated, to say which were not found among the routes."""

_RATE: Final = re.compile(r"\s*([0-9]{1,9})\s*/\s*([0-9]{0,6})\s*([a-z]+)\s*", re.IGNORECASE)
_UNITS: Final = {
    "s": 1,
    "sec": 1,
    "second": 1,
    "m": 60,
    "min": 60,
    "minute": 60,
    "h": 3600,
    "hour": 3600,
    "d": 86400,
    "day": 86400,
}
_SIZE: Final = re.compile(r"\s*([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*([kmgt]?i?b?)\s*", re.IGNORECASE)
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
_MAX_BODY: Final = 2**53

T = TypeVar("T")

_decorated: dict[int, str] = {}  # by the id of a policy: what it decorates
_kept: list[EdgePolicy] = []  # so that no id comes twice
_seen: set[int] = set()  # of those


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgePolicy:
    """What :func:`edge` returns: a decorator, and a value of the table. None limits nothing."""

    rate: int | None = None  # requests of one visitor in ``per`` seconds
    per: float | None = None  # seconds
    burst: int | None = None  # that may come at once; None: as many as ``rate``
    max_body: int | None = None  # bytes of a request's body
    timeout: float | None = None  # seconds from the request's head to the response's end
    access: str | None = None  # the name of an [access.NAME] of the edge

    def __call__(self, target: T) -> T:
        """Decorate a function, a class, an app, or a handler that a framework has made of one.

        Raises:
            ConfigError: It takes no attribute, so nothing would come of it.
        """
        try:
            setattr(target, ATTRIBUTE, self)
        except (AttributeError, TypeError) as error:
            inner = getattr(target, "fn", None) or getattr(target, "__func__", None)
            if inner is None:
                raise ConfigError(
                    "edge()",
                    f"cannot mark {target!r}, which takes no attribute",
                    "decorate the function below it, or name its path in Tunnel(app, policy=...)",
                ) from error
            self(inner)
            return target
        if len(_decorated) < MAX_DECORATED:
            module = getattr(target, "__module__", None)
            name = getattr(target, "__qualname__", None) or type(target).__name__
            _decorated[id(self)] = f"{module}.{name}" if module else str(name)
            _kept.append(self)
        return target

    def within(self, outer: EdgePolicy | None) -> EdgePolicy:
        """Return the policy of something inside: what it does not say, ``outer`` says.

        One that says nothing at all is meant so: an exception.
        """
        if outer is None or self == EdgePolicy():
            return self
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        if self.rate is None:
            values.update(rate=outer.rate, per=outer.per, burst=outer.burst)
        for name in ("max_body", "timeout", "access"):
            if values[name] is None:
                values[name] = getattr(outer, name)
        return EdgePolicy(**values)

    def rule(
        self, path: str, methods: tuple[str, ...], *, number: int = 0, also: bool = False
    ) -> PolicyRule:
        """Return what is sent of it.

        Args:
            path: The pattern.
            methods: Of HTTP; empty: all.
            number: Of the list that it is in.
            also: The pattern fits more than is meant.
        """
        return PolicyRule(
            path=path,
            list=number,
            also=also,
            methods=methods,
            rate=self.rate or 0,
            per=self.per or 0.0,
            burst=self.burst or 0,
            max_body=self.max_body or 0,
            timeout=self.timeout or 0.0,
            access=self.access or "",
        )


def edge(
    *,
    rate: str | None = None,
    burst: int | None = None,
    max_body: int | str | None = None,
    timeout: float | None = None,
    access: str | None = None,
) -> EdgePolicy:
    """Say what the edge is to refuse, as a decorator or in the table of ``Tunnel``.

    Args:
        rate: Requests of one visitor, as ``"5/minute"`` or ``"100/10s"``: more get 429.
        burst: Of these, how many may come at once; by default all of them.
        max_body: Bytes of a request's body, as a number or as ``"2GB"``: more get 413.
        timeout: Seconds from the request's head to the end of the response: 504, or a cut.
        access: The name of an ``[access.NAME]`` of the edge: who may come in.

    Raises:
        ConfigError: One of them cannot be used so.
    """
    count, per = (None, None) if rate is None else _rate(rate)
    if burst is not None and (count is None or type(burst) is not int or burst < 1):
        raise ConfigError("edge(burst=)", "is no number of 1 or more beside a rate", "leave it out")
    if timeout is not None and not 0 < float(timeout) <= 86400:
        raise ConfigError("edge(timeout=)", "is no number of seconds up to a day", "write 30.0")
    if access is not None and not _NAME.fullmatch(access):
        raise ConfigError(
            "edge(access=)", "is no name of a table of edge.toml", 'write access="family"'
        )
    return EdgePolicy(
        rate=count,
        per=per,
        burst=burst,
        max_body=None if max_body is None else _size(max_body),
        timeout=None if timeout is None else float(timeout),
        access=access,
    )


def policy_on(target: Any) -> EdgePolicy | None:
    """Return what decorates something, if anything does; it is seen from here on."""
    found = getattr(target, ATTRIBUTE, None)
    if not isinstance(found, EdgePolicy):
        inner = getattr(target, "func", None)  # functools.partial
        found = None if inner is None else getattr(inner, ATTRIBUTE, None)
    if not isinstance(found, EdgePolicy):
        return None
    if id(found) in _decorated:
        _seen.add(id(found))
    return found


def is_used() -> bool:
    """Whether anything was decorated in this process: else no app has to be looked at."""
    return bool(_decorated)


def unseen() -> list[str]:
    """Return the names of what was decorated, and is behind no route that was looked at."""
    return [name for key, name in _decorated.items() if key not in _seen]


def _rate(text: str) -> tuple[int, float]:
    match = _RATE.fullmatch(text)
    unit = _UNITS.get(match[3].lower().rstrip("s") or "s") if match else None
    per = (int(match[2] or 1) * unit) if match and unit else 0
    count = int(match[1]) if match else 0
    if not count or not 0 < per <= 86400:
        raise ConfigError(
            "edge(rate=)",
            "is no number of requests in a time of up to a day",
            'write it like "5/minute", "100/10s" or "1000/hour"',
        )
    return count, float(per)


def _size(value: int | str) -> int:
    if isinstance(value, int):
        size = value
    else:
        match = _SIZE.fullmatch(value)
        if match is None:
            size = 0
        else:
            unit = match[2].lower().rstrip("b")
            base = 1024 if unit.endswith("i") else 1000
            size = int(float(match[1]) * base ** _POWERS[unit.rstrip("i")])
    if not 0 < size <= _MAX_BODY:
        raise ConfigError(
            "edge(max_body=)", "is no number of bytes", 'write it like 65536, "10MB" or "2GiB"'
        )
    return size
