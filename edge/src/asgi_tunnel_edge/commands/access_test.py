"""``asgi-tunnel-edge access test``: what the edge would do with a request, and why."""

from __future__ import annotations

import json
import secrets
import time
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

import click
import msgspec

from asgi_tunnel.protocol.head import Arrival
from asgi_tunnel_edge.access.cookies import ID_FIELD, SECRET_FIELD, SESSION_COOKIE
from asgi_tunnel_edge.access.doors import Admission
from asgi_tunnel_edge.access.session import Claims
from asgi_tunnel_edge.errors import AccountError
from asgi_tunnel_edge.hostname import normalise_hostname
from asgi_tunnel_edge.operations.doors import DoorMap
from asgi_tunnel_edge.replies import Reply
from asgi_tunnel_edge.request import Request
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.tokens import secret_digest

from .options import data_option, json_option

if TYPE_CHECKING:
    from asgi_tunnel.protocol.head import Fields

__all__ = ["check_access"]

_ARRIVAL: Final = Arrival(
    scheme=b"https",
    http_version=b"1.1",
    peer_host=b"192.0.2.1",
    peer_port=1,
    host=b"192.0.2.2",
    port=443,
)
_KEPT: Final = "/%~!$&'()*+,;=:@-._?#\\"  # of a path, as it is sent
_HOUR: Final = 3600  # seconds


class Outcome(NamedTuple):
    """What becomes of a request."""

    outcome: str
    status: int | None  #: of the edge's reply; None: the app replies
    policies: list[str]
    why: str


@click.command("test")
@click.argument("hostname", metavar="HOST")
@click.argument("path", metavar="PATH")
@click.option("--user", metavar="NAME", help="As this user, who is logged in.")
@click.option("--token", metavar="ID_OR_NAME", help="With this service token.")
@click.option("--method", default="GET", metavar="METHOD", show_default=True)
@data_option
@json_option
def check_access(  # noqa: PLR0913 - one for each option
    *,
    hostname: str,
    path: str,
    user: str | None,
    token: str | None,
    method: str,
    data_dir: Path,
    as_json: bool,
) -> None:
    """Say what the edge would do with a request for PATH at HOST, and why; nothing is sent.

    Without --user and --token it is somebody who has shown nothing. Guards (bans, rates, origins)
    come before doors and are not looked at, nor is the app.
    """
    if user is not None and token is not None:
        raise click.UsageError("--user and --token cannot be used together")
    config = EdgeConfig.load(data_dir)
    doors = DoorMap.load(config)
    name = normalise_hostname(hostname)
    target = quote(path if path.startswith("/") else f"/{path}", safe=_KEPT).encode()
    request = _request(name, method, target)
    fields: Fields = []
    if token is not None:
        fields = _with_token(doors, token)
    found = _decide(doors, request._replace(fields=fields), user)
    who = "anybody" if user is None and token is None else f"user {user}" if user else "the token"
    if as_json:
        document: dict[str, Any] = {
            "hostname": name,
            "method": method,
            "target": target.decode(),
            "user": user,
            "token": token,
            **found._asdict(),
        }
        click.echo(json.dumps(document))
        return
    said = {
        "passes": f"{who} passes: the app gets the request",
        "login": f"{who} is asked to log in: a browser is sent to the login, a program gets 401",
        "denied": f"{who} is refused: {found.status}",
        "nobody": "404: no app has this hostname",
        "end-to-end": "the app decides: TLS ends there, and no door can stand before it",
    }[found.outcome]
    click.echo(f"{said[:1].upper()}{said[1:]}.\nWhy: {found.why}.")


def _request(hostname: str, method: str, target: bytes) -> Request:
    return Request(
        method=method.encode("ascii", "replace"),
        target=target,
        is_http11=True,
        host=hostname.encode(),
        hostname=hostname,
        fields=[],
        length=0,
        keep_alive=True,
        expects_continue=False,
        takes_trailers=False,
        websocket_key=None,
        websocket_error=0,
    )


def _decide(doors: DoorMap, request: Request, user: str | None) -> Outcome:
    hostname = request.hostname or ""
    if doors.owner(hostname) is None and not doors.is_own(hostname):
        return Outcome("nobody", 404, [], f"no token has {hostname}; see `host list`")
    if doors.is_end_to_end(hostname):
        return Outcome("end-to-end", None, [], f"the hostname {hostname} is end to end")
    door = doors.door(hostname)
    if door is None:
        return Outcome("passes", None, [], "the hostname has no door")
    policies = door.policies_of(request.method, request.target)
    names = [one.name for one in policies]
    why = door.explain(request.method, request.target)
    if not policies:
        return Outcome("passes", None, names, why)
    now = time.time()
    tries = [request] if user is None else _as_user(doors, request, user)
    replies = [doors.doors.check(policies, one, _ARRIVAL, now) for one in tries]
    if any(isinstance(one, Admission) for one in replies):
        return Outcome("passes", None, names, f"{why}, and {' and '.join(names)} lets them in")
    if user is not None and doors.doors.user(user) is None:
        return Outcome("denied", 401, names, f"user {user} is disabled")
    reply = next(one for one in replies if isinstance(one, Reply))
    if user is None and not request.fields:
        return Outcome("login", reply.status, names, why)
    return Outcome("denied", reply.status, names, f"{why}, and the edge says: {reply.why}")


def _as_user(doors: DoorMap, request: Request, user: str) -> list[Request]:
    """Return the request with a session of a user, one for each way to log in that there is.

    Raises:
        AccountError: There is no such user.
    """
    record = next((one for one in doors.snapshot.access.users if one.name == user), None)
    if record is None:
        fix = "list them with `asgi-tunnel-edge user list`"
        raise AccountError(user, "is no user of this edge", fix)
    now = int(time.time())
    claims = [
        Claims(
            id=secrets.token_hex(8),
            hostname=request.hostname or "",
            method=method,
            since=now,
            expires=now + _HOUR,
            epoch=doors.doors.epoch,
            user=user,
            user_epoch=record.epoch,
        )
        for method in ("password", "passkey", "basic")
    ]
    values = [doors.doors.signer.sign(one) for one in claims]
    return [request._replace(fields=[(b"cookie", SESSION_COOKIE + b"=" + one)]) for one in values]


def _with_token(doors: DoorMap, wanted: str) -> Fields:
    """Return the fields with a service token, whose secret is another one for this once.

    Raises:
        AccountError: There is none that holds.
    """
    access = doors.snapshot.access
    record = next((one for one in access.service_tokens if wanted in (one.id, one.name)), None)
    if record is None:
        fix = "list them with `asgi-tunnel-edge service-token list`"
        raise AccountError(wanted, "is no service token that holds", fix)
    secret = b64encode(secrets.token_bytes(24)).decode()
    known = msgspec.structs.replace(record, secret_sha256=secret_digest(secret))
    others = [known if one is record else one for one in access.service_tokens]
    doors.doors.apply(msgspec.structs.replace(access, service_tokens=tuple(others)))
    return [(ID_FIELD, record.id.encode()), (SECRET_FIELD, secret.encode())]
