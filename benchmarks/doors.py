"""What a door costs a request: the decision alone, by each way to pass it.

    python -m benchmarks.doors [--rounds 300]

CPU time of this thread for one call of :meth:`Doors.check`, with the fields of a browser and with
those of a program; the best round of each. A request at a hostname without a door costs one test of
an attribute in dispatch, which is too little to be seen here.
"""

from __future__ import annotations

import argparse
import sys
import time
from base64 import b64encode
from time import thread_time
from typing import Final

import asgi_tunnel_edge.access.doors
from asgi_tunnel.protocol.head import Arrival, Fields
from asgi_tunnel_edge.access.doors import Admission, Doors
from asgi_tunnel_edge.access.paths import Door
from asgi_tunnel_edge.access.session import Claims, SessionSigner
from asgi_tunnel_edge.accounts import AccessRecords, ServiceTokenRecord, UserRecord
from asgi_tunnel_edge.request import Request
from asgi_tunnel_edge.settings.access import AccessConfig
from asgi_tunnel_edge.settings.guards import HostnameConfig
from asgi_tunnel_edge.tokens import secret_digest

from .model import HOSTNAME

NUMBER: Final = 1000  # calls in one round
ARRIVAL: Final = Arrival(b"https", b"1.1", b"192.0.2.7", 50_000, b"192.0.2.1", 443)
BROWSER: Final[Fields] = [
    (b"host", HOSTNAME.encode()),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    (b"accept-language", b"en-US,en;q=0.5"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"referer", f"https://{HOSTNAME}/album/7".encode()),
    (b"sec-fetch-dest", b"document"),
    (b"sec-fetch-mode", b"navigate"),
    (b"sec-fetch-site", b"same-origin"),
    (b"priority", b"u=0, i"),
]
PROGRAM: Final[Fields] = [
    (b"host", HOSTNAME.encode()),
    (b"user-agent", b"curl/8.5.0"),
    (b"accept", b"*/*"),
]
NOW: Final = time.time()
SECRET: Final = "s" * 43


def _request(fields: Fields, target: bytes = b"/album/7/1.jpg") -> Request:
    return Request(
        b"GET", target, True, HOSTNAME.encode(), HOSTNAME, fields, 0, True, False, False, None, 0
    )


def _cases() -> tuple[Doors, Door, dict[str, Request]]:
    signer = SessionSigner(b"k" * 32)
    settings = HostnameConfig(
        access="family",
        access_paths={"/share": "public", "POST /hooks": "public", "/admin": "family"},
    )
    doors = Doors({"family": AccessConfig(users=("anna",))}, signer)
    door = Door(settings, doors.policies)
    token = ServiceTokenRecord(
        id="svc_0123456789abcdef",
        name="phone",
        secret_sha256=secret_digest(SECRET),
        policies=("family",),
    )
    users = (UserRecord(name="anna", groups=("family",)),)
    doors.apply(AccessRecords(users=users, service_tokens=(token,)))
    claims = Claims(
        id="0123456789abcdef012345",
        hostname=HOSTNAME,
        method="passkey",
        since=int(NOW),
        expires=int(NOW) + 86400,
        epoch=0,
        user="anna",
    )
    cookie = b"__Host-asgi-tunnel=" + signer.sign(claims)
    others = b"; theme=dark; lang=en; csrftoken=0123456789abcdef0123456789abcdef"
    pair = [
        (b"asgi-tunnel-token-id", token.id.encode()),
        (b"asgi-tunnel-token-secret", SECRET.encode()),
    ]
    basic = b"Basic " + b64encode(f"{token.id}:{SECRET}".encode())
    return (
        doors,
        door,
        {
            "a public path": _request(BROWSER, b"/share/1.jpg"),
            "a session": _request([*BROWSER, (b"cookie", cookie)]),
            "a session, other cookies": _request([*BROWSER, (b"cookie", cookie + others)]),
            "a service token": _request([*PROGRAM, *pair]),
            "the same, as a password": _request([*PROGRAM, (b"authorization", basic)]),
        },
    )


def measure(rounds: int) -> dict[str, tuple[float, float]]:
    """Return the seconds of finding the policies, and of the decision, of each case."""
    doors, door, cases = _cases()
    found = {}
    for name, request in cases.items():
        policies = door.policies_of(request.method, request.target)
        assert isinstance(doors.check(policies, request, ARRIVAL, NOW), Admission), name
        path, check = 1.0, 1.0
        for _ in range(rounds):
            begin = thread_time()
            for _ in range(NUMBER):
                door.policies_of(request.method, request.target)
            middle = thread_time()
            for _ in range(NUMBER):
                doors.check(policies, request, ARRIVAL, NOW)
            path = min(path, middle - begin)
            check = min(check, thread_time() - middle)
        found[name] = (path / NUMBER, check / NUMBER)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300, help="of each case")
    found = measure(parser.parse_args().rounds)
    lines = ["                          path   decision   both"]
    for name, (path, check) in found.items():
        both = (path + check) * 1e6
        lines.append(f"{name:25} {path * 1e6:5.2f}      {check * 1e6:5.2f}  {both:5.2f} us")
    file = asgi_tunnel_edge.access.doors.__file__ or ""
    compiled = "compiled" if file.endswith(".so") else "plain"
    sys.stdout.write("\n".join([*lines, f"({compiled})", ""]))


if __name__ == "__main__":
    main()
