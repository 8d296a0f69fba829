"""Measure what the guards cost: microseconds for each request (docs/reference/guards.md)."""

from __future__ import annotations

import sys
import timeit
from collections.abc import Mapping
from pathlib import Path

from asgi_tunnel.protocol.policy import PolicyRule
from asgi_tunnel_edge.ban import BanRecord
from asgi_tunnel_edge.guards import Guards
from asgi_tunnel_edge.http1.head import read_head
from asgi_tunnel_edge.policy.matcher import AppPolicy
from asgi_tunnel_edge.settings.config import EdgeConfig, Limits
from asgi_tunnel_edge.tokens import Snapshot

OFF = {"rate": 0, "scanner": False}
ALL: dict[str, object] = {
    "allow": ["198.51.100.0/24", "203.0.113.0/24"],
    "deny": ["203.0.113.128/25", "2001:db8::/32"],
    "rate": 1e6,
    "burst": 2**31,
    "hostname_rate": 1e6,
    "hostname_burst": 2**31,
    "origins": ["https://shop.example.org"],
}
HEAD = (
    b"GET /items/17?page=2 HTTP/1.1\r\nHost: shop.example.org\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    b"Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
    b"Cookie: session=0123456789abcdef0123456789abcdef\r\n"
    b"Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: none\r\n\r\n"
)
RULES = (
    *(PolicyRule(path=f"/api/v1/part{n}/*", max_body=1000) for n in range(20)),
    PolicyRule(path="/upload/*", max_body=1000),
    PolicyRule(path="/login", rate=10**9, per=1.0),
)
ROUNDS = 300
NUMBER = 1000  # a round of a millisecond: the best one was not interrupted


def measure(
    settings: Mapping[str, object], *, bans: int = 0, address: str = "203.0.113.7"
) -> float:
    """Return the best round's microseconds for rules and decision of one request."""
    table = {"domain": "example.org", "listen": "127.0.0.1:0", "guards": dict(settings)}
    guards = Guards(EdgeConfig.from_table(table, Path()))
    records = [BanRecord(address=f"10.{n >> 8}.{n & 255}.0/24", created_at=0) for n in range(bans)]
    guards.apply(Snapshot.of(1, [], bans=records))
    request = read_head(HEAD, len(HEAD), Limits())
    visitor = guards.visitor_address(address)

    def ask() -> None:
        guards.check(visitor, request, guards.rules(request.hostname), "shop.example.org")

    ask()
    if guards.check(visitor, request, guards.rules(request.hostname), "shop.example.org"):
        raise SystemExit("the request was denied: this would measure something else")
    return min(timeit.repeat(ask, number=NUMBER, repeat=ROUNDS)) / NUMBER * 1e6


def measure_policy(target: bytes) -> float:
    """Return the same for an app's rules on one target, as dispatch asks for them."""
    table = {"domain": "example.org", "listen": "127.0.0.1:0", "guards": OFF}
    guards = Guards(EdgeConfig.from_table(table, Path()))
    visitor = guards.visitor_address("203.0.113.7")
    policy = AppPolicy(RULES, (), token_id="tok_a")  # noqa: S106 - an id

    def ask() -> None:
        match = policy.match(b"GET", target, is_websocket=False)
        if match is not None:
            guards.app_policy.check(match, visitor, guards.now())

    ask()
    return min(timeit.repeat(ask, number=NUMBER, repeat=ROUNDS)) / NUMBER * 1e6


def main() -> int:
    """Print one line for each setting."""
    generous = {"rate": 1e6, "burst": 2**31}  # the default's work, without its refusals
    cases = {
        "everything off": measure(OFF),
        "default": measure(generous),
        "default, from an exempt address": measure(generous, address="127.0.0.1"),
        "only bans (10,000 networks)": measure(OFF, bans=10_000),
        "only allow and deny": measure({**OFF, "allow": ALL["allow"], "deny": ALL["deny"]}),
        "only scanner": measure({"rate": 0}),
        "only rate of an address": measure({**generous, "scanner": False}),
        "only origins (no WebSocket)": measure({**OFF, "origins": ALL["origins"]}),
        "everything on": measure(ALL, bans=10_000),
    }
    cases |= {
        "policy of 22 rules, none fits": measure_policy(b"/items/17?page=2"),
        "policy, a size fits": measure_policy(b"/upload/17?page=2"),
        "policy, a rate fits": measure_policy(b"/login"),
        "policy, an encoded letter": measure_policy(b"/caf%C3%A9/17"),
        "policy, a path of many readings": measure_policy(b"/x/..;/%2561dmin//"),
    }
    for name, microseconds in cases.items():
        print(f"{name:34} {microseconds:5.2f} us")
    return 0


if __name__ == "__main__":
    sys.exit(main())
