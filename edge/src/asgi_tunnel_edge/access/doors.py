"""Decides who passes the doors of this edge, request by request; dispatch asks it.

Large because each way to pass is looked at in the same few lines, for each request. It reads dicts
only: sessions are signed (``session``), and what the store has comes with each snapshot. What has
to wait, a password's check, is handed back as :class:`Pending`.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

from asgi_tunnel.protocol.head import Arrival, Fields

from ..accounts import SERVICE_TOKEN_PREFIX
from ..replies import Reply
from ..request import Request
from ..tokens import secret_digest
from .cookies import ID_FIELD, SECRET_FIELD, take_credentials
from .identity import Identity, Method
from .paths import HostDoor, plain_path
from .policy import Policy
from .session import Claims, SessionSigner

if TYPE_CHECKING:
    from ..accounts import AccessRecords, LinkRecord, ServiceTokenRecord, UserRecord
    from ..settings.access import AccessConfig

__all__ = ["ACCESS_PATH", "LOGIN_PATH", "Admission", "Doors", "Pending", "Verified"]

ACCESS_PATH: Final = "/.well-known/asgi-tunnel/access/"
"""Where the edge serves logins, on each hostname that has a door."""

LOGIN_PATH: Final = f"{ACCESS_PATH}login"

MAX_SESSIONS: Final = 8192
"""Sessions whose signature is not checked again, some 1 KiB each; then all are forgotten at once:
a check costs 3 us."""

MAX_FORGOTTEN: Final = 1024
"""Ended sessions that the next snapshots may not have yet: a look at the store is 0.25 s away."""

MAX_VERIFIED: Final = 1024
"""Basic credentials whose password is not checked again."""

VERIFIED_FOR: Final = 300.0
"""Seconds for which it is not: a program sends it with each request, and a check takes 0.1 s."""

MAX_RETURN: Final = 2000
"""Bytes of a target that a login leads back to; a longer one leads to the first page."""

_new: Final = tuple.__new__  # skips a named tuple's own constructor
_NO_SECRET: Final = "0" * 64
_CHALLENGE: Final = (b"www-authenticate", b'Basic realm="asgi-tunnel", charset="UTF-8"')

_INSECURE: Final = Reply(
    403,
    "what is behind this login is served over https only",
    closes=False,
    source="access",
    reason="https-only",
)
_DENIED: Final = Reply(
    403,
    "you are logged in, and what you ask for is not open to you",
    closes=False,
    source="access",
    reason="access-denied",
)
_WRONG_TOKEN: Final = Reply(
    401,
    "the service token is not known here, has ended, or has another secret",
    closes=False,
    source="access",
    reason="login-required",
)
_WRONG_ORIGIN: Final = Reply(
    403,
    "pages of another origin may not open a WebSocket with this session",
    closes=False,
    source="access",
    reason="origin-refused",
)


class Admission(NamedTuple):
    """A request that may pass."""

    fields: Fields  #: what the app is sent of the request's
    identity: bytes  #: one line for the app's side; empty: nobody in particular
    person: (
        Any  #: for :meth:`Doors.holds`; None: nobody in particular. (mypyc knows no `object` here)
    )


class Pending(NamedTuple):
    """A request with a password that has to be checked first."""

    user: str
    password: str
    fields: Fields
    policies: tuple[Policy, ...]
    digest: bytes  #: of the credentials: what :meth:`Doors.verified` remembers


class Verified(NamedTuple):
    """A password that was right a moment ago."""

    user: str
    epoch: int  #: of the user, at that time
    until: float  #: seconds since 1970

    def holds(self, user: UserRecord, now: float) -> bool:
        """Whether it need not be checked again."""
        return self.user == user.name and self.epoch == user.epoch and now < self.until


class _Person:
    """Somebody who has shown who they are; kept as long as the snapshot that says so."""

    __slots__ = (
        "_last",
        "_line",
        "_lines",
        "claims",
        "hostname",
        "identity",
        "link",
        "named",
        "path",
        "provider",
        "until",
        "user",
    )

    def __init__(
        self,
        identity: Identity,
        *,
        claims: Claims | None = None,
        user: str | None = None,
        provider: str | None = None,
        named: frozenset[str] | None = None,
        link: LinkRecord | None = None,
    ) -> None:
        self.identity = identity
        self.claims = claims
        self.user = user
        self.provider = provider
        self.named = named  # policies that a service token or a share link passes
        self.link = link
        path = None if link is None else plain_path(link.path.encode())
        self.path = None if path is None else path.rstrip("/")  # that a link is for
        self.hostname: str | None = None  # the only one that a session holds for
        self.until = 0.0  # seconds since 1970: when a session ends
        if claims is not None:
            self.hostname, self.until = claims.hostname, float(claims.expires)
        if link is not None and link.expires_at is not None:
            self.until = min(self.until, float(link.expires_at))
        self._lines: dict[tuple[Policy, ...], bytes] = {}
        self._last: tuple[Policy, ...] | None = None  # what was asked about last, and its line
        self._line = b""

    def line(self, policies: tuple[Policy, ...]) -> bytes:
        """Return what the app's side reads; empty: one of the policies does not let them in."""
        if policies is self._last:
            return self._line
        line = self._lines.get(policies)
        if line is None:
            line = b""
            if all(self._passes(one) for one in policies):
                name = policies[0].name if policies else ""
                line = self.identity._replace(policy=name).encode()
            self._lines[policies] = line
        self._last, self._line = policies, line
        return line

    def _passes(self, policy: Policy) -> bool:
        if self.named is not None:
            return self.identity.method in policy.methods and policy.name in self.named
        return policy.admits(self.identity, self.user, self.provider)

    def covers(self, target: bytes) -> bool:
        """Whether what a share link opens, where the session is of one, is what is asked for."""
        if self.link is None:
            return True
        path, shared = plain_path(target), self.path
        if path is None or shared is None:
            return False
        return path == shared or path.startswith(f"{shared}/")


class Doors:
    """All doors of one edge.

    Args:
        policies: ``[access.NAME]`` by name.
        signer: Of the cookies.
        find: Returns the doors of a hostname: a share link passes those at its own path only.
        issuers: URLs of the providers that may vouch for somebody, by name.

    Attributes:
        denied: Requests that a door has refused so far.
        on_forgotten: Hears of sessions that were ended here; None: nobody does.
        changes: Grows when somebody who was let in may not be any more.
        policies: By name.
        signer: Of the cookies.
    """

    def __init__(
        self,
        policies: Mapping[str, AccessConfig],
        signer: SessionSigner,
        find: Callable[[str], HostDoor | None] = lambda _: None,
        issuers: Mapping[str, str] = {},
    ) -> None:
        self._issuers = {name: _short(url) for name, url in issuers.items()}
        self._find = find
        self.policies = {name: Policy(name, config) for name, config in policies.items()}
        self.signer = signer
        self.denied = 0
        self.changes = 0
        self._records: AccessRecords | None = None
        self._users: dict[str, UserRecord] = {}
        self._service_tokens: dict[str, ServiceTokenRecord] = {}
        self._learned: dict[str, UserRecord] = {}  # since the last snapshot
        self._links: dict[str, LinkRecord] = {}
        self._ended: frozenset[str] = frozenset()
        self._forgotten: dict[str, None] = {}  # ended sessions that no snapshot has had yet
        self.on_forgotten: Callable[[str], None] | None = None
        self._epoch = 0
        self._sessions: dict[bytes, _Person] = {}  # by the value of the cookie
        self._programs: dict[str, _Person] = {}  # by the id of the service token
        self._verified: dict[bytes, Verified] = {}  # by the digest of the credentials

    @property
    def epoch(self) -> int:
        """What sessions that begin now have to carry."""
        return self._epoch

    def issuer(self, provider: str) -> str:
        """Return what a session holds of a provider's URL; empty: there is no such provider."""
        return self._issuers.get(provider, "")

    def user(self, name: str) -> UserRecord | None:
        """Return a user who may log in."""
        user = self._users.get(name)
        return None if user is None or user.disabled_at is not None else user

    def link(self, link_id: str, now: float) -> LinkRecord | None:
        """Return a share link that may still be used by who has opened it."""
        link = self._links.get(link_id)
        if link is None or link.revoked_at is not None:
            return None
        return None if link.expires_at is not None and now >= link.expires_at else link

    def link_by_digest(self, digest: str, now: float) -> LinkRecord | None:
        """Return a share link by the hash of its secret, as :meth:`link`."""
        for link in self._links.values():
            if link.secret_sha256 == digest:
                return self.link(link.id, now)
        return None

    def holds(self, person: object, now: float) -> bool:
        """Whether somebody who was let in would still be known; what is open is ended otherwise.

        Args:
            person: Of the :class:`Admission`.
            now: Seconds since 1970.
        """
        if not isinstance(person, _Person):
            return True
        if person.claims is not None:
            return self._person(person.claims, now) is not None
        if person.user is not None:
            return self.user(person.user) is not None
        return person.identity.subject.removeprefix("token:") in self._service_tokens

    def apply(self, records: AccessRecords) -> bool:
        """Follow the store: who was removed or signed out is out with the next request.

        Returns:
            Whether anything has changed.
        """
        if records == self._records:
            return False
        self._records = records
        self._users = {user.name: user for user in records.users}
        # One that was read before the change is older than what this process knows.
        self._learned = {
            name: user
            for name, user in self._learned.items()
            if (old := self._users.get(name)) is not None
            and old.created_at == user.created_at
            and old.epoch < user.epoch
        }
        self._users |= self._learned
        self._service_tokens = {one.id: one for one in records.service_tokens}
        self._links = {link.id: link for link in records.links}
        ended = frozenset(records.ended)
        self._forgotten = {one: None for one in self._forgotten if one not in ended}
        self._ended = ended.union(self._forgotten)
        self._epoch = records.epoch
        self._sessions.clear()
        self.changes += 1
        self._programs.clear()
        self._verified.clear()
        return True

    def forget(self, session_id: str) -> None:
        """End a session here and now; the store's own word comes with the next snapshot."""
        self.hear_forgotten(session_id)
        if self.on_forgotten is not None:
            self.on_forgotten(session_id)

    def hear_forgotten(self, session_id: str) -> None:
        """End a session that another node has ended."""
        self._forgotten[session_id] = None
        if len(self._forgotten) > MAX_FORGOTTEN:
            del self._forgotten[next(iter(self._forgotten))]
        self._ended |= {session_id}
        self._sessions.clear()
        self.changes += 1

    def learn(self, user: UserRecord) -> None:
        """Follow a change of a user here and now, whose earlier sessions have ended with it."""
        self._learned[user.name] = self._users[user.name] = user
        self._sessions.clear()
        self.changes += 1
        self._verified.clear()

    def check(
        self, policies: tuple[Policy, ...], request: Request, arrival: Arrival, now: float
    ) -> Admission | Reply | Pending:
        """Decide about one request.

        Args:
            policies: That all have to let it in; none: it is public.
            request: What was read.
            arrival: How it came.
            now: Seconds since 1970.
        """
        fields, cookies, token, has_authorization = take_credentials(request.fields)
        person = self._by_cookie(cookies, request.hostname, now) if cookies else None
        if not policies:
            if has_authorization:
                fields = _without_token(fields)
            is_known = person is not None and _may_be_named(person, request, arrival)
            line = person.line(policies) if person is not None and is_known else b""
            # What everybody may have goes on when a session ends.
            return _new(Admission, (fields, line, None))
        if not self.is_safe(arrival):
            return self._refuse(_INSECURE)
        if person is None:
            return self._by_credentials(policies, request, fields, token, now)
        line = person.line(policies)
        if not line or (person.link is not None and not person.covers(request.target)):
            return self._refuse(_DENIED if person.link is None else _login(request, policies))
        if request.websocket_key is not None and not _is_same_origin(request):
            return self._refuse(_WRONG_ORIGIN)
        if has_authorization:
            fields = _without_token(fields)
        return _new(Admission, (fields, line, person))

    def is_safe(self, arrival: Arrival) -> bool:
        """Whether nobody on the way reads a request: https, or from this machine."""
        return arrival.is_secure or _is_loopback(arrival.peer_host)

    def line_of(self, claims: Claims, policies: tuple[Policy, ...], now: float) -> bytes:
        """Return what the app's side reads of somebody with a signed claim; empty: not let in.

        Args:
            claims: Whose signature holds, on a hostname that was compared.
            policies: That all have to let them in.
            now: Seconds since 1970.
        """
        person = self._person(claims, now)
        return b"" if person is None else person.line(policies)

    def identify(self, value: bytes, hostname: str | None, now: float) -> Claims | None:
        """Return the session of a cookie's value, if it holds for a hostname now."""
        person = self._by_cookie([value], hostname, now)
        return None if person is None else person.claims

    def admits(self, claims: Claims, policies: tuple[Policy, ...]) -> bool:
        """Whether a session passes some policies: what a login asks before it makes one."""
        person = self._person(claims, float(claims.since))
        return person is not None and bool(person.line(policies))

    def verified(self, pending: Pending, now: float) -> Admission | Reply:
        """Let a request in whose password was right.

        Args:
            pending: As :meth:`check` returned it.
            now: Seconds since 1970.
        """
        user = self.user(pending.user)
        if user is None:
            return self._refuse(_DENIED)
        while len(self._verified) >= MAX_VERIFIED:
            del self._verified[next(iter(self._verified))]
        known = Verified(user.name, user.epoch, now + VERIFIED_FOR)
        self._verified[pending.digest] = known
        return self._let_in(self._basic_person(user, now), pending.policies, pending.fields)

    def _by_cookie(self, values: list[bytes], hostname: str | None, now: float) -> _Person | None:
        """Two different values are none: one of them was planted."""
        if len(values) != 1:
            return None
        value = values[0]
        person = self._sessions.get(value)
        if person is None:
            claims = self.signer.read(value)
            person = None if claims is None else self._person(claims, now)
            if person is None:
                return None
            if len(self._sessions) >= MAX_SESSIONS:
                self._sessions.clear()
            self._sessions[value] = person
        return person if person.hostname == hostname and now < person.until else None

    def _person(self, claims: Claims, now: float) -> _Person | None:
        """Whom a session is of; None: it was ended, or they are not let in any more."""
        if claims.id in self._ended or claims.epoch != self._epoch:
            return None
        if claims.link is not None:
            link = self.link(claims.link, now)
            if link is None or link.hostname != claims.hostname:
                return None
            door = self._find(claims.hostname)
            at_path = () if door is None else door.policies_of(b"GET", link.path.encode())
            named = frozenset(policy.name for policy in at_path)
            identity = _identity(f"link:{link.id}", link.note, "", (), claims.method, claims.since)
            return _Person(identity, claims=claims, link=link, named=named)
        if claims.user is not None:
            user = self.user(claims.user)
            if user is None or user.epoch != claims.user_epoch:
                return None
            identity = _identity(
                f"user:{user.name}",
                user.name,
                user.email,
                user.groups,
                claims.method,
                claims.since,
            )
            return _Person(identity, claims=claims, user=user.name)
        # Who was vouched for by a provider that was taken out, or is another one now, is out.
        issuer = None if claims.provider is None else self._issuers.get(claims.provider)
        if issuer is None or claims.issuer != issuer:
            return None
        identity = _identity(
            f"oidc:{claims.provider}:{claims.subject}",
            claims.name,
            claims.email,
            claims.groups,
            claims.method,
            claims.since,
        )
        return _Person(identity, claims=claims, provider=claims.provider)

    def _by_credentials(
        self,
        policies: tuple[Policy, ...],
        request: Request,
        fields: Fields,
        token: Fields,
        now: float,
    ) -> Admission | Reply | Pending:
        if token:
            given = dict(token)
            if len(token) != 2 or len(given) != 2:
                return self._refuse(_WRONG_TOKEN)
            return self._by_token(given[ID_FIELD], given[SECRET_FIELD], policies, fields, now)
        basic = _basic(fields)
        if basic is not None:
            name, password, value = basic
            rest = _without_authorization(fields)
            if name.startswith(SERVICE_TOKEN_PREFIX):
                return self._by_token(name.encode(), password.encode(), policies, rest, now)
            if all("basic" in one.methods for one in policies):
                digest = hashlib.sha256(value).digest()
                known = self._verified.get(digest)
                user = self.user(name)
                if user is not None and known is not None and known.holds(user, now):
                    return self._let_in(self._basic_person(user, now), policies, rest)
                return Pending(name, password, rest, policies, digest)
        return self._refuse(_login(request, policies))

    def _by_token(
        self,
        token_id: bytes,
        secret: bytes,
        policies: tuple[Policy, ...],
        fields: Fields,
        now: float,
    ) -> Admission | Reply:
        record = self._service_tokens.get(token_id.decode("latin-1"))
        digest = secret_digest(secret.decode("latin-1"))
        wanted = _NO_SECRET if record is None else record.secret_sha256
        is_right = hmac.compare_digest(wanted, digest)
        if record is None or not is_right or record.revoked_at is not None:
            return self._refuse(_WRONG_TOKEN)
        if record.expires_at is not None and now >= record.expires_at:
            return self._refuse(_WRONG_TOKEN)
        person = self._programs.get(record.id)
        if person is None:
            since = record.created_at
            identity = _identity(f"token:{record.id}", record.name, "", (), "token", since)
            person = _Person(identity, named=frozenset(record.policies))
            self._programs[record.id] = person
        return self._let_in(person, policies, fields)

    def _basic_person(self, user: UserRecord, now: float) -> _Person:
        subject = f"user:{user.name}"
        identity = _identity(subject, user.name, user.email, user.groups, "basic", int(now))
        return _Person(identity, user=user.name)

    def _let_in(
        self, person: _Person, policies: tuple[Policy, ...], fields: Fields
    ) -> Admission | Reply:
        line = person.line(policies)
        return _new(Admission, (fields, line, person)) if line else self._refuse(_DENIED)

    def _refuse(self, reply: Reply) -> Reply:
        self.denied += 1
        return reply


def _short(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()[:16]


def _identity(
    subject: str, name: str, email: str, groups: tuple[str, ...], method: Method, since: int
) -> Identity:
    return Identity(subject, name, email, groups, method, since, "")


def _is_loopback(peer_host: bytes) -> bool:
    return ipaddress.ip_address(peer_host.decode("latin-1")).is_loopback


def _may_be_named(person: _Person, request: Request, arrival: Arrival) -> bool:
    """Whether an app is told who asks for what is public.

    Not where a page of another origin may be who asks, nor over http, nor off a link's path.
    """
    if not arrival.is_secure and not _is_loopback(arrival.peer_host):
        return False
    if request.websocket_key is not None and not _is_same_origin(request):
        return False
    return person.covers(request.target)


def _without_token(fields: Fields) -> Fields:
    """Take a service token out of Basic authentication that nobody has to show."""
    basic = _basic(fields)
    if basic is None or not basic[0].startswith(SERVICE_TOKEN_PREFIX):
        return fields
    return _without_authorization(fields)


def _without_authorization(fields: Fields) -> Fields:
    return [pair for pair in fields if pair[0] != b"authorization"]


def _is_same_origin(request: Request) -> bool:
    """Whether a WebSocket handshake with a cookie comes from a page of the same host."""
    origins = [value for name, value in request.fields if name == b"origin"]
    if len(origins) != 1:
        return False
    scheme, _, host = origins[0].partition(b"://")
    return scheme in (b"https", b"http") and host.lower() == request.host.lower()


def _basic(fields: Fields) -> tuple[str, str, bytes] | None:
    """Return name and password of the one Authorization field, and its value."""
    found = [value for name, value in fields if name == b"authorization"]
    if len(found) != 1 or found[0][:6].lower() != b"basic ":
        return None
    try:
        text = b64decode(found[0][6:].strip(), validate=True).decode()
    except (Base64Error, UnicodeDecodeError):
        return None
    name, colon, password = text.partition(":")
    return (name, password, found[0]) if colon else None


def _login(request: Request, policies: tuple[Policy, ...]) -> Reply:
    """Send a person who looks at a page to the login, and tell everybody else what is missing."""
    if _is_navigation(request):
        target = request.target
        back = quote(target if len(target) <= MAX_RETURN else b"/", safe="")
        return Reply(
            303,
            "a login is asked for first",
            fields=[(b"location", f"{LOGIN_PATH}?to={back}".encode())],
            source="access",
            closes=False,
            reason="login-required",
        )
    takes_basic = all(not one.methods.isdisjoint(("basic", "token")) for one in policies)
    is_browser = any(name == b"sec-fetch-mode" for name, _ in request.fields)
    return Reply(
        401,
        "this needs a login, or a service token",
        # Not for a browser's script: it would open the browser's own window for a password.
        fields=[_CHALLENGE] if takes_basic and not is_browser else [],
        source="access",
        closes=False,
        reason="login-required",
    )


def _is_navigation(request: Request) -> bool:
    """Whether a person's browser wants to show what comes back."""
    if request.method not in (b"GET", b"HEAD") or request.websocket_key is not None:
        return False
    accept = b""
    for name, value in request.fields:
        if name == b"sec-fetch-mode":
            return value == b"navigate"
        if name == b"accept":
            accept = value
    return b"text/html" in accept
