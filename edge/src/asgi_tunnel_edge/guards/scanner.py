"""Replies 404 to the probes of scanners, and bans who sends several of them for a while.

A probe is a request for a file that no ASGI app serves and every scanner asks for (``/.env``,
``/wp-login.php``), or comes from a tool that names itself (sqlmap, nikto). Only tools made for
attacks are on the list: curl, python-requests, Go and payment providers' callbacks are not.

The 404 harms nobody. A ban shuts out everybody who shares the address, so others must not be able
to cause it (T63): an image on a page makes its readers ask for ``/.env``, a link in a chat makes
the chat's servers ask, and a file manager asks for what it always asks for. So a ban needs
``BAN_AFTER`` different probes within ``PROBE_WINDOW``, and these do not count: what a browser
sends for a page (``Sec-Fetch-*``), methods that no scanner uses (WebDAV), programs that say who
runs them, private addresses. It holds for the hostnames of one owner, the token that has them; a
request with ``Sec-Fetch-*`` passes it.

Bans are decided in memory and kept in the store, where they are seen and taken back:
``asgi-tunnel-edge ban list`` and ``ban rm``. The storage's watcher asks for new ones.
"""

from __future__ import annotations

import logging
import math
import re
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from asgi_tunnel.protocol.head import Fields

from ..ban import MAX_SCANNER_BANS, ScannerBan, token_of
from ..network import NO_NUMBER, Networks
from ..replies import Reply
from ..shares.distinct import DistinctCounter
from ..shares.spent import Spending
from .guard import RequestContext, VisitorAddress

if TYPE_CHECKING:
    from ..request import Request
    from ..tokens import Snapshot, TokenRecord

__all__ = ["BAN_AFTER", "PROBE_WINDOW", "ScannerGuard", "is_probe", "is_tool"]

_log = logging.getLogger("asgi_tunnel_edge.guards")

BAN_AFTER: Final = 6
"""Different probes within ``PROBE_WINDOW`` that ban. A link or a look at one's own site makes one
or two, a checklist of the usual files four or five; scanners send dozens."""

PROBE_WINDOW: Final = 60.0
"""Seconds in which probes are counted together: scanners send theirs in a few."""

MAX_SENDERS: Final = 10_000
"""Senders whose probes are counted, 6 MB; one more takes the place of one that sent the fewest."""

MAX_PATH: Final = 256
"""Bytes of a path that are looked at: probes are short."""

_MAX_AGENTS: Final = 2048
"""User-Agent fields remembered with their verdict; visitors make them up, so there is a bound."""

_MAX_AGENT: Final = 256
"""Bytes of a User-Agent that are looked at; longer ones are not remembered."""

# At the root, or in the folder that a PHP site would be in; deeper paths are an app's own files.
_PROBE: Final = re.compile(
    rb"""
    /+(?:(?:api|app|backend|blog|cms|core|laravel|old|public|site|test|web|wordpress|wp)/+)?
    (?:
        \.(?:
            env(?:[.~_-][a-z.]+)?
          | git/(?:config|head|index|logs/head)
          | svn/(?:entries|wc\.db) | hg/(?:hgrc|store/.*)
          | aws/(?:credentials|config) | ssh/(?:id_[a-z0-9]+|authorized_keys|known_hosts)
          | docker/config\.json | kube/config | npmrc | htpasswd | htaccess
          | vscode/sftp\.json | idea/workspace\.xml
        )
      | (?:wp-login|xmlrpc|wp-config|phpinfo|adminer|eval-stdin|wso|c99|r57|alfa)\.php(?:\.bak|~)?
      | wp-admin/(?:install|setup-config)\.php | wp-includes/wlwmanifest\.xml
      | (?:phpmyadmin|mysqladmin)(?:/(?:index\.php|scripts/setup\.php)?)?
      | (?:pma|myadmin)/(?:index\.php|scripts/setup\.php)
      | vendor/phpunit/.* | _ignition/execute-solution
      | cgi-bin/(?:luci.*|php.*|test-cgi|(?:\.|%2e).*) | boaform/.* | hnap1/? | gponform/.*
      | manager/html | solr/admin/.* | owa/auth/.* | ecp/current/exporttool/.*
      | actuator/(?:env|heapdump|gateway/routes)
    )
    (?:\?|\Z)
    """,
    re.IGNORECASE | re.VERBOSE,
).match
_TOOL: Final = re.compile(
    rb"sqlmap|nikto|masscan|zgrab|nuclei|nmap scripting engine|wpscan|dirbuster|gobuster"
    rb"|feroxbuster|dirsearch|fuzz faster u fool|acunetix|nessus|openvas|arachni|w3af\.|havij"
    rb"|jorgee|zmeu|morfeus|l9explore|l9tcpid|whatweb/",
    re.IGNORECASE,
).search
_PERCENT: Final = 0x25  # as a number it is looked for in a quarter of the time
# Says who runs it: previews, crawlers, monitors, callbacks. A scanner that does so has its 404s.
_SAYS_WHO: Final = re.compile(
    rb"https?://|bot\b|crawl|spider|preview|externalhit|whatsapp|embed|hook", re.IGNORECASE
).search
_METHODS: Final = frozenset({b"GET", b"HEAD", b"POST"})
# Behind such an address there is a proxy or a NAT that gives all visitors its own.
_SHARED: Final = Networks(
    (network, math.inf)
    for network in (
        "10.0.0.0/8",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "fc00::/7",
        "fe80::/10",
    )
)
_MAX_SHOWN: Final = 80  # characters of a path in the reason of a ban

_PROBED: Final = Reply(404, "nothing is served here", source="scanner", reason="probe")
_BANNED: Final = "this address asked for what only scanners ask for; it is banned for a while"

_agents: dict[bytes, bool] = {}


class ScannerGuard:
    """See the module.

    Args:
        ban: Seconds that a scanner is banned; 0 for not at all.
    """

    __slots__ = (
        "_ban",
        "_banned",
        "_owners",
        "_saving",
        "_senders",
        "_unsaved",
        "denied",
        "probes",
    )

    def __init__(self, *, ban: float) -> None:
        self.denied = 0  # requests, those of banned visitors included
        self.probes = 0
        self._ban = ban
        # By (group, owner): until when, in the order of bans.
        self._banned: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._senders: DistinctCounter[tuple[str, str]] = DistinctCounter(
            window=PROBE_WINDOW, most=BAN_AFTER, size=MAX_SENDERS
        )
        self._owners: Mapping[str, TokenRecord] = {}  # by hostname or wildcard
        self._unsaved: deque[ScannerBan] = deque(maxlen=MAX_SCANNER_BANS)
        self._saving: list[ScannerBan] = []  # handed out by `unsaved`

    def __len__(self) -> int:
        return len(self._banned)

    def apply(self, snapshot: Snapshot, *, now: float, wall: float) -> None:
        """Follow the store: its owners, and its bans in place of those that it has been given.

        Args:
            snapshot: As the store is now.
            now: Monotonic seconds, which bans end by from here on.
            wall: Seconds since 1970 at the same moment: what the store ends bans by.
        """
        self._owners = snapshot.owners
        if not self._ban:
            return
        banned: OrderedDict[tuple[str, str], float] = OrderedDict()
        for one in (*snapshot.scanner_bans, *self._saving, *self._unsaved):
            if not one.is_over(wall) and token_of(one.owner) is None:
                banned[one.address, one.owner] = now + one.expires_at - wall
        self._banned = banned

    def unsaved(self) -> list[ScannerBan]:
        """See :class:`..storage.watcher.BanSource`."""
        self._saving += self._unsaved
        self._unsaved.clear()
        del self._saving[:-MAX_SCANNER_BANS]  # there are more when the store has failed for long
        return list(self._saving)

    def saved(self) -> None:
        """See :class:`..storage.watcher.BanSource`."""
        self._saving = []

    def check(self, context: RequestContext, now: float) -> Reply | None:
        """See :class:`.guard.Guard`."""
        if not context.rules.scans:
            return None  # here a scanner's visitor may be somebody who logs in to WordPress
        request = context.request
        if self._banned:
            wait = self._banned_for(context, now)
            if wait > 0:
                self.denied += 1
                return Reply(403, _BANNED, math.ceil(wait), source="scanner", reason="banned")
        target = request.target
        # As `is_probe`, without its call: this is asked for each request.
        is_probing = is_probe(target) if _PERCENT in target else _PROBE(target, 0, MAX_PATH)
        if not (is_probing or is_tool(request.fields)):
            return None
        self.denied += 1
        self.probes += 1
        if self._ban and _counts(context.visitor, request):
            self._count(context, _path_of(target) if is_probing else target[:MAX_PATH], now)
        return _PROBED

    def join(self, spending: Spending, now: Callable[[], float]) -> None:
        """Count together with the other serving processes from now on."""

        def add(parts: list[str], mark: int) -> None:
            self._senders.add_mark((parts[0], parts[1]), mark, now())

        self._senders.spent = spending.share_marks("probes", add)

    def _owner_of(self, name: str) -> str:
        token = self._owners.get(name)
        return name if token is None else token.id

    def _banned_for(self, context: RequestContext, now: float) -> float:
        """Return for how many seconds a visitor is banned here; 0 or less: it is not."""
        visitor = context.visitor
        key = (visitor.group, self._owner_of(context.name))
        until = self._banned.get(key)
        if until is None or visitor.is_exempt or _is_from_browser(context.request.fields):
            return 0.0
        if until <= now:
            del self._banned[key]
        return until - now

    def _count(self, context: RequestContext, what: bytes, now: float) -> None:
        """Count a probe, and ban its sender when it is one too many."""
        key = (context.visitor.group, self._owner_of(context.name))
        if self._senders.add(key, what, now) < BAN_AFTER:
            return
        self._senders.forget(key)
        while self._banned and (
            len(self._banned) >= MAX_SCANNER_BANS or next(iter(self._banned.values())) <= now
        ):
            self._banned.popitem(last=False)
        self._banned[key] = now + self._ban
        self._report(context, key, what)

    def _report(self, context: RequestContext, key: tuple[str, str], what: bytes) -> None:
        """Log a ban, and keep it for the store."""
        group, owner = key
        shown = what.decode("latin-1").encode("unicode_escape").decode("ascii")[:_MAX_SHOWN]
        reason = f"{BAN_AFTER} different probes in {PROBE_WINDOW:g} s, the last one {shown}"
        token = self._owners.get(context.name)
        whose = f"the token {token.name}" if token is not None else "nobody"
        _log.warning(
            "%s is banned from the hostnames of %s for %g s: %s", group, whose, self._ban, reason
        )
        at = time.time()
        self._unsaved.append(
            ScannerBan(
                address=group,
                owner=owner,
                created_at=int(at),
                expires_at=math.ceil(at + self._ban),
                reason=reason,
            )
        )


def is_probe(target: bytes) -> bool:
    """Whether a request target is one that only scanners ask for."""
    if _PERCENT in target:  # a path may spell .env as %2eenv
        target = unquote_to_bytes(target[:MAX_PATH])
    return _PROBE(target, 0, MAX_PATH) is not None


def is_tool(fields: Fields) -> bool:
    """Whether the User-Agent names a tool for attacks."""
    for name, value in fields:
        if name == b"user-agent":
            verdict = _agents.get(value)
            return _learn(value) if verdict is None else verdict
    return False


def _learn(agent: bytes) -> bool:
    verdict = _TOOL(agent, 0, _MAX_AGENT) is not None
    if len(agent) <= _MAX_AGENT:
        if len(_agents) >= _MAX_AGENTS:
            _agents.clear()
        _agents[agent] = verdict
    return verdict


def _path_of(target: bytes) -> bytes:
    """Return what a probe asks for, in one spelling for all that mean the same file."""
    path = unquote_to_bytes(target[:MAX_PATH]).partition(b"?")[0]
    return b"/" + b"/".join(part for part in path.lower().split(b"/") if part)


def _counts(visitor: VisitorAddress, request: Request) -> bool:
    """Whether a probe may be held against its sender's address."""
    if visitor.is_exempt or visitor.number == NO_NUMBER or request.method not in _METHODS:
        return False
    if _SHARED.find(visitor.number, 0.0) is not None or _is_from_browser(request.fields):
        return False
    agent = _agent(request.fields)
    return agent is None or _TOOL(agent, 0, _MAX_AGENT) is not None or _SAYS_WHO(agent) is None


def _agent(fields: Fields) -> bytes | None:
    for name, value in fields:
        if name == b"user-agent":
            return value
    return None


def _is_from_browser(fields: Fields) -> bool:
    """Whether a browser sent a request; by https, all of them since 2023 say so."""
    return any(name[:10] == b"sec-fetch-" for name, _ in fields)
