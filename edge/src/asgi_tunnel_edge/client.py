"""A client of the API of an edge, for Python programs: docs/reference/api.md.

::

    from asgi_tunnel_edge.client import EdgeClient

    edge = EdgeClient("https://admin.example.org", "svc_0123456789abcdef", secret)
    for token in edge.tokens.list():
        print(token.name, token.last_used_at)

It blocks, and needs nothing but this package. Paths and types come from the table of operations
that the edge itself serves (:mod:`.api.table`), so the two cannot differ.
"""

from __future__ import annotations

import base64
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from .api.app import PREFIX
from .api.bans import AddedBan, LimitedView
from .api.certificates import Ordered
from .api.edge import Change, History, Me, Status, Traffic
from .api.hosts import AddedHosts
from .api.operation import Done
from .api.problem import Problem
from .api.sharing import IssuedLink, IssuedServiceToken
from .api.table import OPERATIONS
from .api.tokens import IssuedToken, TokenDetail
from .api.tunnels import Ended, TunnelDetail
from .errors import EdgeError
from .operations.bans import BanView, NewBan
from .operations.certificates import CertificateView
from .operations.hosts import HostView, MaintenanceView, NewMaintenance
from .operations.inbox import KeptRequestDetail, KeptRequestView
from .operations.links import LinkView, NewLink
from .operations.service_tokens import NewServiceToken, ServiceTokenView
from .operations.sessions import SessionView
from .operations.tokens import OVERLAP, NewToken, TokenView
from .operations.tunnels import TunnelView
from .operations.users import ChangedUser, Invitation, NewUser, UserDetail, UserView
from .quotas import TokenQuotas

__all__ = ["APIRequestError", "EdgeClient"]

TIMEOUT: Final = 30.0
"""Seconds for a response: the slowest asks the DNS about each of some hostnames."""

MAX_RESPONSE: Final = 64 * 1024 * 1024
"""Bytes of one response: a kept request of 25 MiB in base64 fits."""

_PIECE: Final = 500  # entries of a list that are asked for at once

_OPERATIONS: Final = {one.id: one for one in OPERATIONS}

Call = Callable[..., Any]
"""Does an operation by its id, with the parameters of its path, ``query`` and ``body``."""


class APIRequestError(EdgeError):
    """The edge has not done what was asked.

    Attributes:
        status: Of HTTP; 0: no response came.
        code: What the edge calls it, such as ``token_not_found``.
        detail: One sentence.
    """

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(status, code, detail)
        self.status = status
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        return self.detail


class EdgeClient:
    """See the module. Every method raises APIRequestError when the edge has not done it.

    Args:
        url: Of the dashboard: ``https://admin.example.org``, or ``http://127.0.0.1:9181``.
        token_id: Of a service token made with ``--access dashboard``.
        token_secret: Its secret.
        timeout: Seconds for a response.
        context: For TLS; None: as the system has it.

    Raises:
        ValueError: The URL is none.
    """

    def __init__(
        self,
        url: str,
        token_id: str,
        token_secret: str,
        *,
        timeout: float = TIMEOUT,
        context: ssl.SSLContext | None = None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError(f"{url!r} is no http or https address of a dashboard")
        self._root = f"{parts.scheme}://{parts.netloc}{PREFIX}"
        pair = base64.b64encode(f"{token_id}:{token_secret}".encode()).decode()
        self._fields = {"authorization": f"Basic {pair}", "accept": "application/json"}
        self._timeout = timeout
        tls = urllib.request.HTTPSHandler(context=context)
        self._opener = urllib.request.build_opener(_NoRedirect, tls)
        self.tokens = Tokens(self.call)
        self.hosts = Hosts(self.call)
        self.tunnels = Tunnels(self.call)
        self.users = Users(self.call)
        self.sessions = Sessions(self.call)
        self.links = Links(self.call)
        self.service_tokens = ServiceTokens(self.call)
        self.bans = Bans(self.call)
        self.inbox = Inbox(self.call)
        self.certificates = Certificates(self.call)

    def me(self) -> Me:
        """Return who asks, and what is theirs."""
        found: Me = self.call("showMe")
        return found

    def status(self) -> Status:
        """Return what the edge does now."""
        found: Status = self.call("showStatus")
        return found

    def traffic(self) -> Traffic:
        """Return what passes now, by hostname; two calls give a rate."""
        found: Traffic = self.call("showTraffic")
        return found

    def history(self, span: str = "day", hostname: str | None = None) -> History:
        """Return numbers over time.

        Args:
            span: ``hour``, ``day``, ``week`` or ``months``.
            hostname: Only those of one; None: of all.
        """
        found: History = self.call("showHistory", query={"span": span, "hostname": hostname})
        return found

    def changes(self, query: str = "") -> Iterator[Change]:
        """Yield who changed what, the newest first.

        Args:
            query: Only those with this text.
        """
        before: int | None = None
        while True:
            found = self.call("listChanges", query={"before": before, "query": query})
            yield from found.items
            before = found.next
            if before is None:
                return

    def call(
        self,
        operation_id: str,
        *,
        query: dict[str, object] | None = None,
        body: object = None,
        **path: str,
    ) -> Any:
        """Do an operation of the API by its id (``operationId`` of the document).

        Args:
            operation_id: Which one.
            query: Its parameters; None among them is left out.
            body: A struct, or a dict of the same form.
            path: The parameters of the path.

        Raises:
            APIRequestError: The edge has not done it, or could not be reached.
        """
        operation = _OPERATIONS[operation_id]
        where = operation.path.format(**{name: quote(text, safe="") for name, text in path.items()})
        given = {name: _text(value) for name, value in (query or {}).items() if value is not None}
        url = f"{self._root}{where}{'?' if given else ''}{urlencode(given)}"
        fields, data = dict(self._fields), None
        if body is not None:
            fields["content-type"] = "application/json"
            data = msgspec.json.encode(body)
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked
            url, data, fields, method=operation.method
        )
        content = self._send(request)
        return None if operation.result is None else _decoded(content, operation.result)

    def _send(self, request: urllib.request.Request) -> bytes:
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                return bytes(response.read(MAX_RESPONSE))
        except urllib.error.HTTPError as error:
            with error:
                raise _failure(error.code, error.read(MAX_RESPONSE)) from None
        except OSError as error:
            why = f"the edge at {self._root} cannot be reached ({error}); check its address"
            raise APIRequestError(0, "unreachable", why) from error


class _Group:
    """Operations on one kind of thing."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def _all(self, operation_id: str, **query: object) -> Iterator[Any]:
        """Yield a whole list, piece by piece."""
        offset: int | None = 0
        while offset is not None:
            asked = {**query, "offset": offset, "limit": _PIECE}
            page = self._call(operation_id, query=asked)
            yield from page.items
            offset = page.next


class Tokens(_Group):
    """What apps connect with."""

    def list(self) -> Iterator[TokenView]:
        """Yield all tokens, oldest first."""
        return self._all("listTokens")

    def show(self, token: str) -> TokenDetail:
        """Return a token, by id or name."""
        found: TokenDetail = self._call("showToken", token=token)
        return found

    def create(self, new: NewToken) -> IssuedToken:
        """Make a token; its ``secret`` is in this response only."""
        made: IssuedToken = self._call("createToken", body=new)
        return made

    def change(
        self, token: str, *, owner: str | None = None, limits: TokenQuotas | None = None
    ) -> TokenDetail:
        """Change whose a token is, or all limits of its own; None: it stays."""
        change = {"owner": owner, "limits": limits}
        body = {name: value for name, value in change.items() if value is not None}
        changed: TokenDetail = self._call("changeToken", token=token, body=body)
        return changed

    def rotate(self, token: str, *, overlap: str = OVERLAP) -> IssuedToken:
        """Give a token another secret; the old one is taken too for a while (``0``: not at all)."""
        made: IssuedToken = self._call("rotateToken", token=token, body={"overlap": overlap})
        return made

    def revoke(self, token: str) -> None:
        """Take a token back."""
        self._call("revokeToken", token=token)


class Hosts(_Group):
    """Hostnames of tokens."""

    def list(self) -> Iterator[HostView]:
        """Yield all hostnames, sorted."""
        return self._all("listHosts")

    def add(
        self,
        token: str,
        hostnames: Sequence[str],
        *,
        end_to_end: bool = False,
        unchecked: bool = False,
    ) -> AddedHosts:
        """Let a token serve more hostnames, all or none."""
        body = {"hostnames": hostnames, "end_to_end": end_to_end, "unchecked": unchecked}
        added: AddedHosts = self._call("addHosts", token=token, body=body)
        return added

    def remove(self, hostname: str) -> None:
        """Take a hostname from its token."""
        self._call("removeHost", hostname=hostname)

    def close(self, hostname: str, new: NewMaintenance | None = None) -> MaintenanceView:
        """Close a hostname for visitors."""
        body = new or NewMaintenance()
        closed: MaintenanceView = self._call("closeHost", hostname=hostname, body=body)
        return closed

    def open(self, hostname: str) -> None:
        """Open a hostname for visitors again."""
        self._call("openHost", hostname=hostname)


class Tunnels(_Group):
    """Apps that are connected, each named by its token (name or id), or by a connection's id."""

    def list(self) -> Iterator[TunnelView]:
        """Yield a tunnel for each token that an app is connected with."""
        return self._all("listTunnels")

    def show(self, tunnel: str) -> TunnelDetail:
        """Return the connections of a tunnel."""
        found: TunnelDetail = self._call("showTunnel", tunnel=tunnel)
        return found

    def kick(self, tunnel: str) -> Ended:
        """End connections now; the app may dial again."""
        ended: Ended = self._call("kickTunnel", tunnel=tunnel)
        return ended

    def drain(self, tunnel: str) -> Ended:
        """Let connections finish what they have."""
        ended: Ended = self._call("drainTunnel", tunnel=tunnel)
        return ended


class Users(_Group):
    """People who may log in."""

    def list(self) -> Iterator[UserView]:
        """Yield all users, sorted."""
        return self._all("listUsers")

    def show(self, user: str) -> UserDetail:
        """Return a user, with passkeys and sessions."""
        found: UserDetail = self._call("showUser", user=user)
        return found

    def create(self, new: NewUser) -> UserView:
        """Make a user."""
        made: UserView = self._call("createUser", body=new)
        return made

    def change(self, user: str, change: ChangedUser) -> UserView:
        """Change what is given of a user."""
        changed: UserView = self._call("changeUser", user=user, body=change)
        return changed

    def invite(self, user: str, *, expires: str = "7d", hostname: str | None = None) -> Invitation:
        """Make a link with which a user sets a password or makes a passkey, once."""
        body = {"expires": expires, "hostname": hostname}
        made: Invitation = self._call("inviteUser", user=user, body=body)
        return made

    def sign_out(self, user: str) -> None:
        """End all sessions of a user."""
        self._call("signOutUser", user=user)

    def remove(self, user: str) -> None:
        """Forget a user."""
        self._call("removeUser", user=user)


class Sessions(_Group):
    """Logins of people."""

    def list(self) -> Iterator[SessionView]:
        """Yield the sessions that hold, oldest first."""
        return self._all("listSessions")

    def end(self, session: str) -> None:
        """End one session."""
        self._call("endSession", session=session)

    def end_all(self) -> int:
        """Sign everybody out; return how many sessions held."""
        done: Done = self._call("endAllSessions")
        return done.count


class Links(_Group):
    """Share links."""

    def list(self) -> Iterator[LinkView]:
        """Yield all links, oldest first."""
        return self._all("listLinks")

    def create(self, new: NewLink) -> IssuedLink:
        """Make a link; its ``url`` is in this response only."""
        made: IssuedLink = self._call("createLink", body=new)
        return made

    def revoke(self, link: str) -> None:
        """Take a link back."""
        self._call("revokeLink", link=link)


class ServiceTokens(_Group):
    """What programs pass doors with."""

    def list(self) -> Iterator[ServiceTokenView]:
        """Yield all service tokens, oldest first."""
        return self._all("listServiceTokens")

    def create(self, new: NewServiceToken) -> IssuedServiceToken:
        """Make a service token; its ``secret`` is in this response only."""
        made: IssuedServiceToken = self._call("createServiceToken", body=new)
        return made

    def revoke(self, service_token: str) -> None:
        """Take a service token back, by id or name."""
        self._call("revokeServiceToken", service_token=service_token)


class Bans(_Group):
    """Addresses that are shut out."""

    def list(self) -> Iterator[BanView]:
        """Yield the bans that hold, oldest first."""
        return self._all("listBans")

    def add(self, new: NewBan) -> AddedBan:
        """Ban an address or a network."""
        added: AddedBan = self._call("addBan", body=new)
        return added

    def limited(self) -> Iterator[LimitedView]:
        """Yield who was turned away lately, how often and why; the newest first."""
        return self._all("listLimited")

    def remove(self, address: str) -> None:
        """Take the bans of an address or network back."""
        self._call("removeBan", address=address)


class Inbox(_Group):
    """Requests that are kept for apps."""

    def list(self, *, token: str | None = None, failed: bool = False) -> Iterator[KeptRequestView]:
        """Yield what is kept, the oldest first."""
        return self._all("listInbox", token=token, failed=failed)

    def show(self, request: str) -> KeptRequestDetail:
        """Return a request as its sender sent it, secrets included."""
        found: KeptRequestDetail = self._call("showInbox", request=request)
        return found

    def retry(
        self, ids: Sequence[str] = (), *, failed: bool = False, token: str | None = None
    ) -> int:
        """Deliver requests once more: some, or all that failed; return how many."""
        body = {"ids": ids, "failed": failed, "token": token}
        done: Done = self._call("retryInbox", body=body)
        return done.count

    def drop(
        self, ids: Sequence[str] = (), *, failed: bool = False, token: str | None = None
    ) -> int:
        """Forget requests: some, or all that failed; return how many."""
        body = {"ids": ids, "failed": failed, "token": token}
        done: Done = self._call("dropInbox", body=body)
        return done.count


class Certificates(_Group):
    """Certificates of the edge."""

    def list(self) -> Iterator[CertificateView]:
        """Yield the certificates from the CA, and those that are wanted."""
        return self._all("listCertificates")

    def renew(self, name: str | None = None) -> Ordered:
        """Order certificates again, or change the edge's own."""
        ordered: Ordered = self._call("renewCertificates", body={"name": name})
        return ordered


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Takes no redirect: credentials go to the edge that was named, and a login page is no API."""

    def redirect_request(self, *_: Any) -> None:
        """Return that there is none to follow."""


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _decoded(content: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.DecodeError as error:
        why = f"the response is none of this version's API ({error}); upgrade the older side"
        raise APIRequestError(0, "response", why) from error


def _failure(status: int, content: bytes) -> APIRequestError:
    try:
        problem = msgspec.json.decode(content, type=Problem)
    except msgspec.DecodeError:
        why = f"the edge has answered with status {status}; check address and service token"
        return APIRequestError(status, "http", why)
    return APIRequestError(status, problem.code, problem.detail)
