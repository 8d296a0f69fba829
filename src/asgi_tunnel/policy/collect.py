"""Makes the list of rules that HELLO carries, from a table and from what is decorated.

Called once, when a tunnel is about to be opened: by then the app has all its routes. What cannot be
sent is an error, so that no app is served without the rules that it counts on.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..errors import ConfigError, VersionMismatchError
from ..protocol.codes import RefuseCode
from ..protocol.handshake import Welcome
from ..protocol.limits import MAX_POLICY_SIZE, MAX_ROUTES, MAX_RULES
from ..protocol.policy import POLICY, PolicyRule, segments_of
from .pattern import Pattern, covers, from_template, order_of, overlap
from .readers import Found, read_routes, unwrapped
from .rule import EdgePolicy, is_used, policy_on, unseen

__all__ = ["SentPolicy", "check_table", "collect"]

_log = logging.getLogger("asgi_tunnel.policy")

MAX_LINES: Final = 8
"""Lines of the log about routes that have no pattern, and about decorators that were not found."""

TABLE: Final = 1
"""The number of its list; what is decorated has 0. What both say of a path holds."""

_HTTP: Final = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
_TABLE: Final = "Tunnel(app, policy=...)"
_FEWER: Final = "put one rule on a whole part, such as /api/**, in the place of many"


@dataclass(frozen=True, slots=True, kw_only=True)
class SentPolicy:
    """What HELLO says of it."""

    rules: tuple[PolicyRule, ...] = ()
    routes: tuple[str, ...] = ()

    def check(self, welcome: Welcome) -> None:
        """See that an edge holds what keeps visitors out.

        Raises:
            VersionMismatchError: It does not know of rules, and would let everybody in.
        """
        if POLICY not in welcome.capabilities and self.needs_access:
            raise VersionMismatchError(
                RefuseCode.VERSION,
                "the app has edge(access=...), which this older edge does not hold: everybody "
                "would be let in; upgrade the edge",
            )

    def notes(self, welcome: Welcome) -> tuple[str, ...]:
        """Return what of it does not hold as it says, in sentences for the log."""
        if POLICY not in welcome.capabilities and (self.rules or self.routes):
            return ("the edge is older than this, and holds no rule of the app; upgrade it",)
        return welcome.notes

    @property
    def needs_access(self) -> bool:
        """Whether an edge that does not hold it would let in whom the app wants kept out."""
        return any(rule.access for rule in self.rules)

    @property
    def size(self) -> int:
        """Bytes of it in HELLO."""
        values = [[one.to_json() for one in self.rules], self.routes]
        return len(json.dumps(values, separators=(",", ":")))


def collect(app: Any, *, inner: Any = None, sends_routes: bool = False) -> SentPolicy:
    """Return what an app wants refused.

    Args:
        app: What visitors' requests go to, with its wrappers; a :class:`asgi_tunnel.Tunnel` among
            these brings its table.
        inner: A ``Tunnel`` that is somewhere in it, where wrappers may hide what they wrap.
        sends_routes: The edge is to reply to paths that the app does not have.

    Raises:
        ConfigError: It is too much for one HELLO, or the routes cannot be read.
    """
    table: dict[str, EdgePolicy] = {}
    outer: EdgePolicy | None = None
    found: list[Found] | None = None
    layers = list(unwrapped(app))
    if inner is not None and all(layer is not inner for layer in layers):
        layers += unwrapped(inner)  # looked into where nothing outside has routes
    for layer in layers:
        table.update(getattr(layer, "policy_table", None) or {})
        sends_routes = sends_routes or getattr(layer, "sends_routes", False) is True
    if is_used() or sends_routes:
        for layer in layers:
            own = policy_on(layer)
            outer = outer if own is None else own.within(outer)
            found = _read(layer)
            if found is not None:
                break
    rules = _rules_of_table(table)
    rules += _rules_of_routes(found or [], outer)
    if outer is not None:
        rules.append(outer.rule("/**", ()))
    _tell_unseen()
    routes = _routes_of(found, layers[-1], table) if sends_routes else ()
    sent = SentPolicy(rules=tuple(rules), routes=routes)
    _check_size(sent)
    return sent


def check_table(table: Mapping[str, EdgePolicy]) -> dict[str, EdgePolicy]:
    """Return a table of ``Tunnel`` that can be used.

    Raises:
        ConfigError: A key is no path, or a value is not of :func:`.rule.edge`.
    """
    for key, value in table.items():
        if not isinstance(value, EdgePolicy):
            raise ConfigError(
                _TABLE, f"has no edge(...) for {key!r}", 'write edge(rate="5/minute")'
            )
    _rules_of_table(table)
    return dict(table)


def _rules_of_table(table: Mapping[str, EdgePolicy]) -> list[PolicyRule]:
    """The most particular path first, and of one path those of some methods."""
    rules: list[PolicyRule] = []
    for key, value in table.items():
        words = key.split()
        pattern = from_template(words[-1], has_stars=True) if words else None
        methods = tuple(one.upper() for word in words[:-1] for one in word.split(",") if one)
        if pattern is None or not words[-1].startswith("/") or not all(map(_is_method, methods)):
            raise ConfigError(
                _TABLE,
                f"has {key!r}, which is no path of segments, * and ** behind the methods",
                'write it like "/login", "POST /upload" or "/admin/**"',
            )
        rules.append(value.rule(pattern.text, methods, number=TABLE))
    return sorted(rules, key=lambda rule: (order_of(rule.path), not rule.methods))


def _is_method(text: str) -> bool:
    return text.isascii() and text.isalpha() and len(text) <= 32


def _read(layer: Any) -> list[Found] | None:
    """Return the routes of one layer.

    Raises:
        ConfigError: A reader failed: an app that counts on its rules is not served without them.
    """
    try:
        return read_routes(layer)
    except Exception as error:
        raise ConfigError(
            type(layer).__name__,
            f"has routes that cannot be read ({type(error).__name__}: {error})",
            f"name the paths in {_TABLE}, and leave edge() and routes out",
        ) from error


def _rules_of_routes(found: list[Found], outer: EdgePolicy | None) -> list[PolicyRule]:
    """Rules of decorated routes, in order; a route before them that is not is an exception."""
    rules: list[PolicyRule] = []
    lines = 0
    for number, one in enumerate(found):
        policy, pattern = one.policy, one.pattern
        if policy is None:
            if (
                pattern is not None
                and pattern.is_exact
                and outer is None
                and any(_may_take(pattern, one, other) for other in found[number + 1 :])
            ):
                # All that it surely takes: what a framework gives to another route has its rule.
                rules.append(PolicyRule(path=pattern.text, methods=one.methods or _HTTP))
            continue
        if pattern is None:
            lines += 1
            if lines <= MAX_LINES:
                _log.warning(
                    "the edge cannot be told the path %r: edge() does not hold there; name what "
                    "it is about in %s, such as /reports/**",
                    one.path,
                    _TABLE,
                )
            continue
        methods, also = _methods(one.methods), not pattern.is_exact
        rules.append(policy.within(outer).rule(pattern.text, methods, also=also))
    return list(dict.fromkeys(rules))


def _may_take(pattern: Pattern, one: Found, other: Found) -> bool:
    """Whether a decorated route behind one that is not would take some of its requests."""
    if other.policy is None or other.pattern is None:
        return False
    if one.methods and other.methods and not set(one.methods) & set(other.methods):
        return False
    return overlap(pattern.text, other.pattern.text)


def _methods(methods: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(one for one in methods if one != "HEAD" or "GET" not in methods)


def _routes_of(
    found: list[Found] | None, app: Any, table: Mapping[str, EdgePolicy]
) -> tuple[str, ...]:
    """Return patterns that fit every path that the app serves.

    Raises:
        ConfigError: No reader knows the app.
    """
    if found is None:
        raise ConfigError(
            "routes",
            f"cannot be read from {type(app).__name__}",
            "leave it out: only Starlette, FastAPI, Litestar, Django and Channels have a list",
        )
    texts = [one.pattern.text if one.pattern else "/**" for one in found if one.is_served]
    texts += [rule.path for rule in _rules_of_table(table)]
    patterns = {f"/{'/'.join(segments_of(text))}" for text in texts}
    kept = [one for one in patterns if not any(one != two and covers(two, one) for two in patterns)]
    return tuple(sorted(kept))


def _tell_unseen() -> None:
    """Say which decorators limit nothing, because no route leads to what they decorate."""
    for name in unseen()[:MAX_LINES]:
        _log.warning(
            "edge() on %s limits nothing: it was not found among the routes of the app; name its "
            "path in %s",
            name,
            _TABLE,
        )


def _check_size(sent: SentPolicy) -> None:
    for what, count, most in (
        ("rules", len(sent.rules), MAX_RULES),
        ("patterns of routes", len(sent.routes), MAX_ROUTES),
        ("bytes", sent.size, MAX_POLICY_SIZE),
    ):
        if count > most:
            raise ConfigError("policy", f"has {count} {what}, and {most} is the most", _FEWER)
