"""All guards in their order: what dispatch asks once for each request."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from asgi_tunnel.protocol.policy import PolicyRule

from ..access.policy import Policy
from ..hostname import wildcard_of
from ..network import number_of
from ..policy.matcher import AppPolicy
from ..replies import Reply
from ..settings.config import EdgeConfig, HostnameConfig
from ..shares.spent import Spending
from .addresses import AddressGuard
from .app_bans import AppBanGuard
from .app_policy import AppPolicyGuard, stricter
from .bans import BanGuard
from .guard import Guard, RequestContext, Rules, VisitorAddress, exempt_of, rules_of
from .maintenance import MaintenanceGuard
from .origins import OriginGuard
from .rate import RateGuard
from .scanner import ScannerGuard

if TYPE_CHECKING:
    from ..ban import ScannerBan
    from ..request import Request
    from ..route import Judged
    from ..tokens import Snapshot, TokenRecord

__all__ = ["Guards"]

COME_AGAIN: Final = Reply(
    503, "the app is back, and has said what may be sent to it", 1, closes=False, reason="offline"
)
_new: Final = tuple.__new__  # skips a named tuple's own constructor


class Guards:
    """Who is turned away, by the settings and the store's bans.

    Args:
        config: The edge's settings.
        now: Monotonic seconds.
        policies: ``[access.NAME]`` by name, where somebody else has them, too.

    Attributes:
        hides_offline: Strangers must not tell an offline hostname from one that no token has.
    """

    def __init__(
        self,
        config: EdgeConfig,
        now: Callable[[], float] = time.monotonic,
        policies: Mapping[str, Policy] | None = None,
    ) -> None:
        self.now = now
        if policies is None:
            policies = {name: Policy(name, one) for name, one in config.policies.items()}
        self.hides_offline = config.guards.hide_offline
        self.bans = BanGuard()
        self.addresses = AddressGuard()
        self.scanner = ScannerGuard(ban=config.guards.scanner_ban)
        self.rate = RateGuard()
        self.origins = OriginGuard()
        self.maintenance = MaintenanceGuard()
        self.app_bans = AppBanGuard(config.guards.exempt)
        self.app_policy = AppPolicyGuard(policies)  # asked by dispatch, where an app has rules
        self._exempt = exempt_of(config.guards)
        self._default = Rules(config, HostnameConfig())
        named = config.own_hostnames
        self._rules = {name: Rules(config, own, policies) for name, own in named.items()}
        # Those that cannot deny anything with these settings are not asked. A new guard is one
        # more line here.
        rules = [self._default, *self._rules.values()]
        guards: list[tuple[bool, Guard]] = [
            (True, self.bans),
            (any(one.allow or one.deny for one in rules), self.addresses),
            (any(one.scans for one in rules), self.scanner),
            (
                any(one.rate_limit.interval or one.hostname_rate_limit.interval for one in rules),
                self.rate,
            ),
            (any(one.origins for one in rules), self.origins),
        ]
        self._always = tuple(guard for is_used, guard in guards if is_used)
        self._guards = self._always

    def join(self, spending: Spending) -> None:
        """Count together with the other serving processes from now on."""
        rate, now = self.rate, self.now
        rate.spent = spending.share("rate", lambda key, seconds: rate.charge(key, seconds, now()))
        self.scanner.join(spending, now)
        self.app_policy.join(spending, now)

    def visitor_address(self, address: str) -> VisitorAddress:
        """Return what guards know of an address; kept by the connection."""
        return VisitorAddress(address, self._exempt)

    def is_exempt(self, address: str) -> bool:
        """Whether no limit holds for an address."""
        return self._exempt.find(number_of(address), 0.0) is not None

    def rules(self, hostname: str | None) -> Rules:
        """Return the rules for a visitor's hostname."""
        return rules_of(self._rules, hostname) or self._default if self._rules else self._default

    def check(
        self, visitor: VisitorAddress, request: Request, rules: Rules, name: str
    ) -> Reply | None:
        """Decide about one request; the first guard that denies it decides.

        Args:
            visitor: Whose it is.
            request: What was read.
            rules: Those of its hostname.
            name: The registered hostname or wildcard that serves it; empty when nobody does.
        """
        context = _new(RequestContext, (visitor, request, rules, name))
        now = self.now()
        for guard in self._guards:
            deny = guard.check(context, now)
            if deny is not None:
                return deny
        return None

    def denies_address(self, address: str, hostname: str) -> bool:
        """Whether a visitor is turned away whose requests cannot be read.

        By ``allow`` or ``deny``, or because the app has banned the address.
        """
        number = number_of(address)
        if self.app_bans.is_used:
            names = [hostname, wildcard_of(hostname)]
            if any(name and self.app_bans.is_banned(name, number, self.now()) for name in names):
                self.app_bans.denied += 1
                return True
        return self.addresses.denies(self.rules(hostname), number)

    def is_banned(self, address: str) -> bool:
        """Whether an address may have no connection at all."""
        return self.bans.is_banned(number_of(address), self.now())

    def refuses(self, address: str) -> bool:
        """Whether to turn a new connection away before a byte of it is read; counted."""
        is_banned = self.is_banned(address)
        self.bans.denied += is_banned
        return is_banned

    def apply(self, snapshot: Snapshot) -> bool:
        """Follow the store; return whether the operator's bans changed."""
        now, wall = self.now(), time.time()
        self.scanner.apply(snapshot, now=now, wall=wall)
        self.app_bans.apply(snapshot, now=now, wall=wall)
        self.maintenance.apply(snapshot.maintenance, now=now, wall=wall)
        self._choose()
        return self.bans.apply(snapshot.bans, now=now, wall=wall)

    def _choose(self) -> None:
        """Ask some only while they have something to say: these come last."""
        self._guards = self._always
        if self.app_bans.is_used:
            self._guards = (*self._guards, self.app_bans)
        if self.maintenance.is_used:
            self._guards = (*self._guards, self.maintenance)

    # -- for apps ------------------------------------------------------------------------------

    def notes(
        self, rules: Sequence[PolicyRule], hostnames: Sequence[str], end_to_end: Sequence[str]
    ) -> tuple[str, ...]:
        """See :class:`..admission.tunnels.AppDesk`."""
        names = {name: self.rules(name) for name in hostnames if name not in end_to_end}
        return self.app_policy.notes(rules, names, end_to_end)

    def judge(self, policy: AppPolicy, request: Request, exchange: Judged) -> Reply | None:
        """See :attr:`..route.Route.judge`: for a login the visitor comes again.

        So does one whose body is counted while it comes: its beginning was not.
        """
        is_websocket = request.websocket_key is not None
        match = policy.match(request.method, request.target, is_websocket=is_websocket)
        if match is None:
            return None
        visitor = self.visitor_address(exchange.visitor)
        deny = self.app_policy.check(match, visitor, self.now())
        if deny is not None or is_websocket:
            return COME_AGAIN if deny is None and match.access else deny
        if match.access or (match.max_body and request.length is None):
            return COME_AGAIN
        if 0 < match.max_body < (request.length or 0):
            return Reply(413, f"the body is larger than {match.max_body} bytes")
        exchange.max_time = stricter(exchange.max_time, match.max_time)
        return None

    def answer(self, token: TokenRecord, values: Mapping[str, Any]) -> dict[str, Any]:
        """See :class:`..admission.tunnels.AppDesk`."""
        reply = self.app_bans.answer(token, values, self.now())
        self._choose()
        return reply

    def unsaved(self) -> list[ScannerBan]:
        """See :class:`..storage.watcher.BanSource`."""
        return [*self.scanner.unsaved(), *self.app_bans.unsaved()]

    def saved(self) -> None:
        """See :class:`..storage.watcher.BanSource`."""
        self.scanner.saved()
        self.app_bans.saved()

    def counts(self) -> dict[str, int]:
        """Return the requests turned away so far, by guard, and the probes among them."""
        return {
            "bans": self.bans.denied,
            "addresses": self.addresses.denied,
            "scanner": self.scanner.denied,
            "scanner_probes": self.scanner.probes,
            "rate": self.rate.denied,
            "origins": self.origins.denied,
            "maintenance": self.maintenance.denied,
            "app_bans": self.app_bans.denied,
            "policy": self.app_policy.denied,
        }
