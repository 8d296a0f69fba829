"""Turns away whom an app has banned from its own names (403): ``await ban(...)`` in a handler.

Behind a tunnel an app sees who its visitors are, and cannot close the door itself. A ban holds for
the hostnames of its token, at once; ``exempt`` networks cannot be banned. Like those of the scanner
guard, bans are decided in memory and kept in the store: ``ban list``, ``ban rm``.
"""

from __future__ import annotations

import ipaddress
import logging
import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from ..ban import MAX_APP_BANS, MAX_REASON, MAX_TOKEN_BANS, ScannerBan, app_owner, token_of
from ..errors import EdgeConfigError
from ..network import Networks, normalise_network, overlap
from ..replies import Reply
from ..shares.rate import RateLimit
from .guard import RequestContext
from .rate import RateGuard

if TYPE_CHECKING:
    from ..tokens import Snapshot, TokenRecord

__all__ = ["AppBanGuard"]

_log = logging.getLogger("asgi_tunnel_edge.guards")

MAX_SECONDS: Final = 30 * 86400
"""The longest ban of an app: who wants more asks the operator, or bans again."""

NARROWEST: Final = {4: 16, 6: 32}
"""The widest network that an app may ban, as the length of its prefix: a provider's, no continent's
(a typing mistake such as /0 would close the app for everybody)."""

_ASKS: Final = RateLimit(0.05, 10.0)
"""Bans of one token: 20 a second, 200 at once. Each makes a small table anew."""

_BANNED: Final = Reply(
    403, "the app has banned this address", closes=False, source="app-bans", reason="banned"
)


class AppBanGuard:
    """See the module.

    Args:
        exempt: Networks that no app may ban.
    """

    __slots__ = (
        "_asks",
        "_banned",
        "_exempt",
        "_networks",
        "_owners",
        "_saving",
        "_unsaved",
        "denied",
    )

    def __init__(self, exempt: Sequence[str] = ()) -> None:
        self.denied = 0
        self._exempt = tuple(normalise_network(one, setting="guards.exempt") for one in exempt)
        self._asks = RateGuard()
        self._owners: Mapping[str, TokenRecord] = {}  # by hostname or wildcard
        # By token id, then network: until when, in monotonic seconds; in the order of bans.
        self._banned: dict[str, dict[str, float]] = {}
        self._networks: dict[str, Networks] = {}  # the same, to look up
        self._unsaved: deque[ScannerBan] = deque(maxlen=MAX_APP_BANS)
        self._saving: list[ScannerBan] = []  # handed out by `unsaved`

    def __len__(self) -> int:
        return sum(map(len, self._banned.values()))

    @property
    def is_used(self) -> bool:
        """Whether anybody is banned by an app."""
        return bool(self._networks)

    def check(self, context: RequestContext, now: float) -> Reply | None:
        """See :class:`.guard.Guard`."""
        if not self.is_banned(context.name, context.visitor.number, now):
            return None
        self.denied += 1
        return _BANNED

    def is_banned(self, name: str, number: int, now: float) -> bool:
        """Whether the app of a registered name or wildcard has banned an address."""
        token = self._owners.get(name)
        networks = None if token is None else self._networks.get(token.id)
        return networks is not None and networks.find(number, now) is not None

    def answer(self, token: TokenRecord, values: Mapping[str, Any], now: float) -> dict[str, Any]:
        """Do what an app wants, and say what became of it.

        Args:
            token: Of its session.
            values: ``ban`` or ``allow`` with an address or network; ``seconds`` and ``reason``.
            now: Monotonic seconds.

        Returns:
            ``ok``, true or false; then ``code`` and ``why``. And the ``address`` in the edge's
            spelling.
        """
        wait = self._asks.take(token.id, _ASKS, now)
        if wait:
            return _no("busy", f"this token bans too often; try again in {math.ceil(wait)} s")
        is_ban = "ban" in values
        try:
            address = _network_of(values["ban" if is_ban else "allow"])
        except (KeyError, TypeError, EdgeConfigError):
            return _no("address", "that is no IP address and no network")
        if not is_ban:
            return self._allow(token, address)
        seconds, reason = values.get("seconds"), values.get("reason", "")
        if not isinstance(seconds, int | float) or not 1 <= seconds <= MAX_SECONDS:
            return _no("seconds", f"a ban lasts from 1 to {MAX_SECONDS} seconds")
        network = ipaddress.ip_network(address)
        if network.prefixlen < NARROWEST[network.version]:
            least = NARROWEST[network.version]
            return _no("address", f"{address} is too wide: /{least} is the widest")
        if any(overlap(address, one) for one in self._exempt):
            return _no("exempt", f"{address} is exempt on this edge (guards.exempt in edge.toml)")
        if not self._make_room(token.id, address, now):
            return _no("quota", f"this token has {MAX_TOKEN_BANS} bans, and no more are kept")
        shown = reason if isinstance(reason, str) else ""
        self._ban(token, address, float(seconds), shown, now)
        return {"ok": True, "address": address}

    # -- the store -----------------------------------------------------------------------------

    def apply(self, snapshot: Snapshot, *, now: float, wall: float) -> None:
        """Follow the store: its owners, and its bans in place of those that it has been given.

        Args:
            snapshot: As the store is now.
            now: Monotonic seconds, which bans end by from here on.
            wall: Seconds since 1970 at the same moment: what the store ends bans by.
        """
        self._owners = snapshot.owners
        banned: dict[str, dict[str, float]] = {}
        for one in (*snapshot.scanner_bans, *self._saving, *self._unsaved):
            token_id = token_of(one.owner)
            if token_id is None or token_id not in snapshot.tokens:
                continue
            of_token = banned.setdefault(token_id, {})
            of_token.pop(one.address, None)
            if not one.is_over(wall):
                of_token[one.address] = now + one.expires_at - wall
        self._banned = {token_id: bans for token_id, bans in banned.items() if bans}
        self._networks = {one: Networks(bans.items()) for one, bans in self._banned.items()}

    def unsaved(self) -> list[ScannerBan]:
        """See :class:`..storage.watcher.BanSource`; one that is over takes one back."""
        self._saving += self._unsaved
        self._unsaved.clear()
        del self._saving[:-MAX_APP_BANS]  # there are more when the store has failed for long
        return list(self._saving)

    def saved(self) -> None:
        """See :class:`..storage.watcher.BanSource`."""
        self._saving = []

    # -- inside --------------------------------------------------------------------------------

    def _make_room(self, token_id: str, address: str, now: float) -> bool:
        """Forget what is over; make the token with the most bans give one where all is full."""
        own = self._banned.get(token_id, {})
        if address in own:
            return True
        if len(own) >= MAX_TOKEN_BANS or len(self) >= MAX_APP_BANS:
            self._forget_over(now)
            own = self._banned.get(token_id, {})
        if len(own) >= MAX_TOKEN_BANS:
            return False
        if len(self) >= MAX_APP_BANS:
            most = max(self._banned, key=lambda one: len(self._banned[one]))
            if len(self._banned[most]) <= len(own):
                return False
            victim = next(iter(self._banned[most]))
            del self._banned[most][victim]
            self._changed(most)
            self._note(most, victim, 0.0, "")
        return True

    def _forget_over(self, now: float) -> None:
        for token_id, bans in list(self._banned.items()):
            self._banned[token_id] = {one: until for one, until in bans.items() if until > now}
            self._changed(token_id)

    def _ban(
        self, token: TokenRecord, address: str, seconds: float, reason: str, now: float
    ) -> None:
        bans = self._banned.setdefault(token.id, {})
        bans.pop(address, None)
        bans[address] = now + seconds
        self._changed(token.id)
        shown = "".join(one if one.isprintable() else "?" for one in reason[:MAX_REASON])
        self._note(token.id, address, seconds, shown)
        _log.info("the app of %s has banned %s for %g s: %s", token.name, address, seconds, shown)

    def _allow(self, token: TokenRecord, address: str) -> dict[str, Any]:
        """Take a ban back; there need not be one."""
        if self._banned.get(token.id, {}).pop(address, None) is not None:
            self._changed(token.id)
            self._note(token.id, address, 0.0, "")
            _log.info("the app of %s has taken its ban of %s back", token.name, address)
        return {"ok": True, "address": address}

    def _changed(self, token_id: str) -> None:
        bans = self._banned.get(token_id)
        if bans:
            self._networks[token_id] = Networks(bans.items())
        else:
            self._banned.pop(token_id, None)
            self._networks.pop(token_id, None)

    def _note(self, token_id: str, address: str, seconds: float, reason: str) -> None:
        """Keep a ban, or its end, for the store."""
        at = time.time()
        self._unsaved.append(
            ScannerBan(
                address=address,
                owner=app_owner(token_id),
                created_at=int(at),
                expires_at=math.ceil(at + seconds) if seconds else int(at),
                reason=reason,
            )
        )


def _network_of(value: Any) -> str:
    """Return an address or network in the edge's spelling.

    Raises:
        EdgeConfigError: It is none.
        TypeError: It is no text.
    """
    if not isinstance(value, str):
        raise TypeError
    return normalise_network(value[:64].partition("%")[0], setting="address")


def _no(code: str, why: str) -> dict[str, Any]:
    return {"ok": False, "code": code, "why": why}
