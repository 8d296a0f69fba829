"""What dispatch asks at a door: who may pass, where the login is, and what has to be waited for.

It owns what a login needs while an edge runs: the pages, and the thread that checks passwords.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from asgi_tunnel.asgi.types import ASGIApp
from asgi_tunnel.protocol.head import Arrival, Fields

from ..access.doors import ACCESS_PATH, Admission, Doors, Pending
from ..access.passwords import Outcome, PasswordChecker
from ..access.paths import Door, HostDoor
from ..access.session import SessionSigner
from ..endpoints.local_app import LocalApp
from ..exchange.checked import CheckedRoute
from ..exchange.writer import Exchange
from ..oauth.bearer import OAUTH_PATH, RESOURCE_METADATA, SERVER_METADATA, Bearers
from ..oauth.client import ClientSigner
from ..pages.brand import Brand
from ..replies import RETRY_AFTER, Reply
from ..request import Request
from ..route import Route
from ..shares.spent import Spending
from ..storage.encryption import SecretBox
from .app_door import add_policies, host_door
from .once import UsedOnce

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..access.policy import Policy
    from ..bus.events import Events
    from ..guards import VisitorAddress
    from ..policy.matcher import AppPolicy
    from ..settings.config import EdgeConfig
    from ..tokens import Snapshot
    from .app import Method
    from .oidc.login import OidcLogin

__all__ = ["Entrance", "Passage"]

_PREFIX: Final = ACCESS_PATH.encode()
_OAUTH: Final = tuple(one.encode() for one in (RESOURCE_METADATA, SERVER_METADATA, OAUTH_PATH))
_OWN: Final = b"/.well-known/"  # what all of them begin with
_FIELDS: Final = [(b"www-authenticate", b'Basic realm="asgi-tunnel", charset="UTF-8"')]
_REFUSED: Final = {
    Outcome.WRONG: Reply(
        401,
        "the name or the password is wrong",
        fields=_FIELDS,
        source="access",
        closes=False,
        reason="login-required",
    ),
    Outcome.TOO_MANY: Reply(
        429, "too many wrong passwords came from this address", 15, source="access"
    ),
    Outcome.BUSY: Reply(
        503,
        "too many passwords are being checked right now",
        RETRY_AFTER,
        reason="overloaded",
    ),
    Outcome.BROKEN: Reply(
        503, "passwords cannot be checked right now", RETRY_AFTER, reason="overloaded"
    ),
}


class Passage(NamedTuple):
    """How a request passes a door."""

    fields: Fields  #: what the app is sent of the request's
    identity: bytes  #: what the app's side is told of the visitor; empty: nobody in particular
    person: object  #: see :class:`..access.doors.Admission`
    route: Route
    checked: CheckedRoute | None  #: the same, where something has to be waited for

    def begin(self, exchange: Exchange) -> None:
        """Say whose exchange it is; before it starts."""
        exchange.identity, exchange.person = self.identity, self.person
        if self.checked is not None:
            self.checked.serve(exchange)


class Entrance:
    """See the module.

    Args:
        config: Of the edge; it has ``[access]``.
        find: Returns the door of a hostname and the rules of its app, each where there is one.

    Attributes:
        doors: Decide about each request.
    """

    def __init__(
        self, config: EdgeConfig, find: Callable[[str], tuple[Door | None, AppPolicy | None]]
    ) -> None:
        from ..storage.access import AccessStore  # SQLAlchemy, which other edges need not load

        self._config = config
        self._find = find
        self._box = SecretBox(config.acme_key_path)
        self._store = AccessStore(config.database)
        self._checks: set[asyncio.Task[None]] = set()
        self._used_once: list[UsedOnce] = []
        self._checker = PasswordChecker(self._store.password_of, asyncio.get_running_loop().time)
        self._app: LocalApp
        self._oidc: OidcLogin | None = None
        self._bearers: Bearers | None = None  # no policy has `oauth`
        self._clients: ClientSigner
        self.doors: Doors

    async def start(self, snapshot: Snapshot) -> None:
        """Make the pages and read the key of sessions.

        Raises:
            StorageError: The key file cannot be read or made.
            EdgeConfigError: The secret of a provider cannot be read.
        """
        key = await asyncio.to_thread(self._box.derive, "access session")
        issuers = {name: one.issuer for name, one in self._config.oidc.items()}
        self.doors = Doors(self._config.policies, SessionSigner(key), self._door_of, issuers)
        self.doors.apply(snapshot.access)
        if any(one.oauth for one in self.doors.policies.values()):
            token_key = await asyncio.to_thread(self._box.derive, "oauth access token")
            self._bearers = Bearers(self.doors, SessionSigner(token_key))
            client_key = await asyncio.to_thread(self._box.derive, "oauth client")
            self._clients = ClientSigner(client_key)
        login_key = await asyncio.to_thread(self._box.derive, "access login")
        attempt_key = await asyncio.to_thread(self._box.derive, "access passkey")
        self._app = LocalApp(await asyncio.to_thread(self._make_pages, login_key, attempt_key))
        await self._app.start()

    def join(self, spending: Spending, events: Events) -> None:
        """Act together with the other nodes from now on: tries of passwords, and what ends.

        Args:
            spending: Shares the tries.
            events: Tell of logins that are over, and of what is used once.
        """
        checker = self._checker
        checker.spent = spending.share("passwords", checker.charge)
        self.doors.on_forgotten = lambda session_id: events.broadcast(
            {"kind": "sign-out", "session": session_id}
        )
        events.on("sign-out", lambda event, _: self.doors.hear_forgotten(str(event["session"])))
        for used in self._used_once:
            used.join(events)

    @property
    def route(self) -> Route:
        """To the login's pages."""
        return self._app.route

    def is_login(self, request: Request) -> bool:
        """Whether a request is for one of the login's pages, or for OAuth where a door takes it."""
        target = request.target
        if not target.startswith(_OWN):
            return False
        if target.startswith(_PREFIX):
            return True
        if self._bearers is None or request.hostname is None or not target.startswith(_OAUTH):
            return False
        door = self._door_of(request.hostname)
        return door is not None and any(one.oauth for one in door.policies)

    async def stop(self) -> None:
        """End the pages and what is being checked."""
        for task in self._checks:
            task.cancel()
        self._checker.stop()
        await self._app.stop()
        if self._oidc is not None:
            await self._oidc.aclose()

    def check(
        self,
        door: Door | None,
        named: tuple[str, ...],
        request: Request,
        arrival: Arrival,
        visitor: VisitorAddress,
        route: Route,
    ) -> Passage | Reply:
        """Decide about one request at a door.

        Args:
            door: In front of the hostname; None: only the app has one.
            named: The policies that the app names for the path, all of which ``edge.toml`` has.
            request: What was read.
            arrival: How it came.
            visitor: Whose it is.
            route: To the app.

        Returns:
            How it passes, or what to reply.
        """
        policies = () if door is None else door.policies_of(request.method, request.target)
        if named:
            policies = add_policies(policies, named, self.doors.policies)
        bearers = self._bearers
        if bearers is None:
            found = self.doors.check(policies, request, arrival, time.time())
        else:
            found = self._decide(bearers, policies, request, arrival)
        if isinstance(found, Reply):
            return found
        if isinstance(found, Pending):
            checked = self._checked_route(found, visitor, route)
            return Passage(found.fields, b"", None, checked, checked)
        return Passage(found.fields, found.identity, found.person, route, None)

    def _decide(
        self, bearers: Bearers, policies: tuple[Policy, ...], request: Request, arrival: Arrival
    ) -> Admission | Reply | Pending:
        """Decide where some policy takes access tokens."""
        now = time.time()
        admitted = bearers.check(policies, request, arrival, now)
        if admitted is not None:
            return admitted
        found = self.doors.check(policies, request, arrival, now)
        if isinstance(found, Reply):
            return bearers.challenge(policies, request, arrival, found)
        return found

    def _door_of(self, hostname: str) -> HostDoor | None:
        return host_door(*self._find(hostname), self.doors.policies)

    def _checked_route(
        self, pending: Pending, visitor: VisitorAddress, route: Route
    ) -> CheckedRoute:
        """Return a route that opens when a password was found to be right."""
        checked = CheckedRoute(route)
        task = asyncio.ensure_future(self._check(pending, visitor.group, checked))
        self._checks.add(task)
        task.add_done_callback(self._checks.discard)
        return checked

    async def _check(self, pending: Pending, group: str, route: CheckedRoute) -> None:
        outcome = await self._checker.check(pending.user, pending.password, group)
        if outcome is not Outcome.RIGHT:
            route.refuse(_REFUSED[outcome])
            return
        found = self.doors.verified(pending, time.time())
        if isinstance(found, Reply):
            route.refuse(found)
        else:
            route.open(found.identity, found.person)

    def _make_pages(self, login_key: bytes, attempt_key: bytes) -> ASGIApp:
        # Starlette takes 0.1 s to load: only edges that have a door do it.
        from .account import AccountPages
        from .app import LoginApp
        from .invitation import Invitations
        from .link import LinkLogin
        from .passkey import PasskeyLogin
        from .password import PasswordLogin
        from .sessions import Sessions
        from .site import Site

        brand = Brand.of(self._config.pages, self._config.data_dir)
        sessions = Sessions(self.doors, self._store)
        account, invitations = AccountPages(self._checker), Invitations(self._checker)
        passkeys = PasskeyLogin(attempt_key, account, invitations)
        self._used_once.append(passkeys.used)
        methods: list[Method] = [
            passkeys,
            PasswordLogin(self._checker),
            LinkLogin(),
            invitations,
            account,
        ]
        if self._bearers is not None:
            from ..storage.oauth import GrantStore
            from .oauth import OAuthPages

            grants = GrantStore(self._config.database)
            methods.append(OAuthPages(self._bearers, self._clients, grants))
        if self._config.oidc:
            from .oidc.login import OidcLogin

            self._oidc = OidcLogin(self._config.oidc, self._config.data_dir, login_key)
            self._used_once.append(self._oidc.used)
            methods.append(self._oidc)
        return LoginApp(self._door_of, sessions, Site(brand), methods).asgi
