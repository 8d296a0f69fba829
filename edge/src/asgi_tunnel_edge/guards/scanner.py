"""Replies 404 to the probes of scanners and bans their senders for a while, in memory.

A probe is a request for a file that no ASGI app serves and every scanner asks for (``/.env``,
``/wp-login.php``), or comes from a tool that names itself (sqlmap, nikto). Only tools made for
attacks are on the list: curl, python-requests, Go and payment providers' callbacks are not.

A page anywhere can make a browser ask for ``/.env`` and so try to have its visitors banned.
Browsers say so (``Sec-Fetch-Site``): such a request gets its 404, but nobody is banned for it.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from typing import Final
from urllib.parse import unquote_to_bytes

from asgi_tunnel.protocol.head import Fields

from ..replies import Reply
from .guard import RequestContext

__all__ = ["MAX_BANNED", "ScannerGuard", "is_probe", "is_tool"]

MAX_BANNED: Final = 10_000
"""Addresses banned at one time, 2 MB; the first one banned goes first."""

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
          | ds_store | vscode/sftp\.json | idea/workspace\.xml
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
_OTHER_SITES: Final = frozenset({b"cross-site", b"same-site"})

_PROBED: Final = Reply(404, "nothing is served here", source="scanner")
_BANNED: Final = "this address asked for what only scanners ask for; it is banned for a while"

_agents: dict[bytes, bool] = {}


class ScannerGuard:
    """See the module.

    Args:
        ban: Seconds that a scanner is banned; 0 for not at all.
    """

    __slots__ = ("_ban", "_banned", "denied", "probes")

    def __init__(self, *, ban: float) -> None:
        self.denied = 0  # requests, those of banned visitors included
        self.probes = 0
        self._ban = ban
        self._banned: OrderedDict[str, float] = OrderedDict()  # group -> until, in order of bans

    def __len__(self) -> int:
        return len(self._banned)

    def check(self, context: RequestContext, now: float) -> Reply | None:
        """See :class:`.guard.Guard`."""
        if not context.rules.scans:
            return None  # here a scanner's visitor may be somebody who logs in to WordPress
        visitor, request = context.visitor, context.request
        if self._banned:
            until = self._banned.get(visitor.group)
            if until is not None:
                if now < until:
                    self.denied += 1
                    return Reply(403, _BANNED, math.ceil(until - now), source="scanner")
                del self._banned[visitor.group]
        target = request.target
        # As `is_probe`, without its call: this is asked for each request.
        is_probing = is_probe(target) if _PERCENT in target else _PROBE(target, 0, MAX_PATH)
        if not (is_probing or is_tool(request.fields)):
            return None
        self.denied += 1
        self.probes += 1
        if self._ban and not visitor.is_exempt and not _is_sent_by_a_page(request.fields):
            if len(self._banned) >= MAX_BANNED:
                self._banned.popitem(last=False)
            self._banned[visitor.group] = now + self._ban
        return _PROBED


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


def _is_sent_by_a_page(fields: Fields) -> bool:
    return any(name == b"sec-fetch-site" and value in _OTHER_SITES for name, value in fields)
