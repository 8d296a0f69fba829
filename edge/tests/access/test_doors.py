"""The decision about one request: by session, link, service token, password, or none of them."""

from __future__ import annotations

import time
from base64 import b64encode
from typing import Any

import msgspec
import pytest

from asgi_tunnel.protocol.head import Arrival, Fields
from asgi_tunnel_edge.access.doors import Admission, Doors, Pending
from asgi_tunnel_edge.access.paths import Door
from asgi_tunnel_edge.access.session import Claims, SessionSigner
from asgi_tunnel_edge.accounts import (
    AccessRecords,
    LinkRecord,
    ServiceTokenRecord,
    UserRecord,
)
from asgi_tunnel_edge.replies import Reply
from asgi_tunnel_edge.request import Request
from asgi_tunnel_edge.settings.access import AccessConfig
from asgi_tunnel_edge.settings.guards import HostnameConfig
from asgi_tunnel_edge.tokens import secret_digest

HOST = "shop.example.test"
NOW = 1_800_000_000.0
SIGNER = SessionSigner(b"k" * 32)
HOST_FIELD = (b"host", HOST.encode())
RECORDS = AccessRecords(
    users=(
        UserRecord(name="anna", email="anna@a.test", groups=("x",), epoch=3),
        UserRecord(name="ben", groups=("admin",), epoch=1),
    ),
    service_tokens=(
        ServiceTokenRecord(
            id="svc_1", name="phone", secret_sha256=secret_digest("s"), policies=("family",)
        ),
    ),
    links=(
        LinkRecord(id="lnk_1", secret_sha256="", hostname=HOST, path="/album%20s/7", note="Zoe"),
    ),
    ended=("ended",),
)


def arrival(scheme: bytes = b"https", peer: bytes = b"192.0.2.7") -> Arrival:
    """How a request comes."""
    return Arrival(scheme, b"1.1", peer, 1, b"192.0.2.1", 443)


class World:
    """Doors of one hostname."""

    def __init__(self) -> None:
        settings = HostnameConfig(
            access="family", access_paths={"/open": "public", "/admin": "operators"}
        )
        policies = {
            "family": AccessConfig(users=("anna",), methods=("password", "basic", "token", "link")),
            "operators": AccessConfig(groups=("admin",)),
        }
        self.doors = Doors(policies, SIGNER, lambda name: self.door if name == HOST else None)
        self.door = Door(settings, self.doors.policies)
        self.doors.apply(RECORDS)

    def claims(self, **changes: Any) -> Claims:
        """Anna's session."""
        values: dict[str, Any] = {
            "id": "s1",
            "hostname": HOST,
            "method": "password",
            "since": int(NOW),
            "expires": int(NOW) + 60,
            "epoch": 0,
            "user": "anna",
            "user_epoch": 3,
        }
        return Claims(**{**values, **changes})

    def cookie(self, **changes: Any) -> tuple[bytes, bytes]:
        """Its field."""
        return (b"cookie", b"__Host-asgi-tunnel=" + SIGNER.sign(self.claims(**changes)))

    def ask(
        self,
        *fields: tuple[bytes, bytes],
        target: bytes = b"/x",
        method: bytes = b"GET",
        at: float = NOW,
        comes: Arrival | None = None,
        websocket: bool = False,
    ) -> Admission | Reply | Pending:
        """Decide about one request."""
        sent: Fields = [HOST_FIELD, *fields]
        key = b"k" if websocket else None
        request = Request(
            method, target, True, HOST.encode(), HOST, sent, 0, True, False, False, key, 0
        )
        policies = self.door.policies_of(method, target)
        return self.doors.check(policies, request, comes or arrival(), at)

    def passes(self, *fields: tuple[bytes, bytes], **more: Any) -> dict[str, Any]:
        """Let a request in; return who it is for the app."""
        found = self.ask(*fields, **more)
        assert isinstance(found, Admission), found
        return dict(msgspec.json.decode(found.identity)) if found.identity else {}

    def refused(self, *fields: tuple[bytes, bytes], **more: Any) -> tuple[int, str]:
        """Refuse it; return status and reason."""
        before = self.doors.denied
        found = self.ask(*fields, **more)
        assert isinstance(found, Reply), found
        assert self.doors.denied == before + 1
        return found.status, found.reason


@pytest.fixture
def world() -> World:
    """New doors."""
    return World()


def basic(text: str) -> tuple[bytes, bytes]:
    """A field of Basic authentication."""
    return (b"authorization", b"Basic " + b64encode(text.encode()))


def pair(token_id: bytes = b"svc_1", secret: bytes = b"s") -> Fields:
    """The fields of a service token."""
    return [(b"asgi-tunnel-token-id", token_id), (b"asgi-tunnel-token-secret", secret)]


def test_a_session_says_who_it_is(world: World) -> None:
    """As the store has it now, and by the policy that let them in."""
    assert world.passes(world.cookie()) == {
        "subject": "user:anna",
        "name": "anna",
        "email": "anna@a.test",
        "groups": ["x"],
        "method": "password",
        "since": int(NOW),
        "policy": "family",
    }


def test_a_session_ends_in_each_of_its_ways(world: World) -> None:
    """Its time, a sign-out here or in the store, of the user, of everybody; the user disabled."""
    field = world.cookie()
    assert world.passes(field, at=NOW + 59)
    assert world.refused(field, at=NOW + 60)[0] == 401
    changed = msgspec.structs.replace
    anna, ben = RECORDS.users
    for records in (
        changed(RECORDS, ended=("s1",)),
        changed(RECORDS, epoch=1),
        changed(RECORDS, users=(ben,)),
        changed(RECORDS, users=(changed(anna, epoch=4), ben)),
        changed(RECORDS, users=(changed(anna, disabled_at=1), ben)),
    ):
        world.doors.apply(records)
        assert world.refused(field) == (401, "login-required")
        world.doors.apply(RECORDS)
        assert world.passes(field)
    world.doors.forget("s1")
    assert world.refused(field)[0] == 401
    # A snapshot that was read before, and applied after: it does not revive the session.
    for records in (changed(RECORDS, users=(anna,)), changed(RECORDS, ended=("s1",))):
        world.doors.apply(records)
        assert world.refused(field)[0] == 401


def test_groups_are_those_of_now(world: World) -> None:
    """Who is put into a group passes with the session that there is."""
    field = world.cookie(user="ben", user_epoch=1)
    assert world.refused(field) == (403, "access-denied")
    assert world.passes(field, target=b"/admin")["policy"] == "operators"
    ben = msgspec.structs.replace(RECORDS.users[1], groups=())
    world.doors.apply(msgspec.structs.replace(RECORDS, users=(RECORDS.users[0], ben)))
    assert world.refused(field, target=b"/admin") == (403, "access-denied")


def test_every_policy_of_an_odd_path(world: World) -> None:
    """Somebody who passes one of them does not pass."""
    assert world.refused(world.cookie(), target=b"/x//y") == (403, "access-denied")


def test_http_is_for_this_machine_only(world: World) -> None:
    """A session that came over http from elsewhere was read by others on its way."""
    field = world.cookie()
    assert world.refused(field, comes=arrival(b"http")) == (403, "https-only")
    assert world.passes(field, comes=arrival(b"http", b"127.0.0.1"))
    assert world.passes(field, comes=arrival(b"http", b"::1"))
    assert world.passes(field, target=b"/open", comes=arrival(b"http")) == {}


def test_a_public_path_knows_who_asks(world: World) -> None:
    """By a session; nobody is refused, and no field of the edge's reaches the app."""
    assert world.passes(world.cookie(), target=b"/open")["name"] == "anna"
    assert world.passes(target=b"/open") == {}
    for fields in ([world.cookie(), *pair()], [basic("svc_1:s")], pair()):
        found = world.ask(*fields, target=b"/open")
        assert isinstance(found, Admission)
        assert found.fields == [HOST_FIELD]
    mine = basic("somebody:of the app's own")
    found = world.ask(mine, target=b"/open")
    assert isinstance(found, Admission)
    assert found.fields == [HOST_FIELD, mine]


def test_a_session_lets_the_apps_own_credentials_through(world: World) -> None:
    """But for a service token, which is the edge's."""
    mine = basic("somebody:of the app's own")
    found = world.ask(world.cookie(), mine, *pair())
    assert isinstance(found, Admission)
    assert found.fields == [HOST_FIELD, mine]


@pytest.mark.parametrize(
    ("origins", "is_let_in"),
    [
        ([b"https://shop.example.test"], True),
        ([b"https://SHOP.example.test"], True),
        ([], False),
        ([b"https://evil.test"], False),
        ([b"https://shop.example.test", b"https://evil.test"], False),
        ([b"null"], False),
    ],
)
def test_websockets_of_a_session_need_its_origin(
    world: World, origins: list[bytes], is_let_in: bool
) -> None:
    """Browsers send cookies with any page's WebSocket; at a public path such a one is nobody."""
    fields = [(b"origin", one) for one in origins]
    if is_let_in:
        assert world.passes(world.cookie(), *fields, websocket=True)["name"] == "anna"
    else:
        assert world.refused(world.cookie(), *fields, websocket=True) == (403, "origin-refused")
    known = world.passes(world.cookie(), *fields, websocket=True, target=b"/open")
    assert bool(known) is is_let_in


def test_a_program_needs_no_origin(world: World) -> None:
    """A service token is never sent by itself."""
    assert world.passes(*pair(), websocket=True)["subject"] == "token:svc_1"


def test_a_link_opens_its_path_and_its_policy(world: World) -> None:
    """However a browser writes the path; outside of it, it is asked to log in."""
    field = world.cookie(user=None, link="lnk_1", method="link")
    for target in (b"/album%20s/7", b"/album%20s/7/x", b"/%61lbum%20s/7/x?y"):
        assert world.passes(field, target=target)["name"] == "Zoe"
    for target in (b"/", b"/album%20s/70", b"/admin", b"/album%20s/7/../8"):
        assert world.refused(field, target=target)[0] == 401
    assert world.passes(field, target=b"/open") == {}
    over = msgspec.structs.replace(RECORDS.links[0], expires_at=int(NOW))
    world.doors.apply(msgspec.structs.replace(RECORDS, links=(over,)))
    assert world.refused(field, target=b"/album%20s/7")[0] == 401


def test_a_link_of_everything_opens_one_policy(world: World) -> None:
    """The one at its own path: what is more private below stays shut."""
    whole = msgspec.structs.replace(RECORDS.links[0], path="/")
    world.doors.apply(msgspec.structs.replace(RECORDS, links=(whole,)))
    field = world.cookie(user=None, link="lnk_1", method="link")
    assert world.passes(field, target=b"/any")
    assert world.refused(field, target=b"/admin")[0] == 401


def test_service_tokens(world: World) -> None:
    """Right ones pass their policies; each other one gets the same sentence."""
    assert world.passes(*pair())["method"] == "token"
    assert world.passes(basic("svc_1:s"))["name"] == "phone"
    assert world.refused(*pair(), target=b"/admin") == (403, "access-denied")
    wrong = [pair(secret=b"x"), pair(b"svc_2"), pair()[:1], [*pair(), *pair()], [basic("svc_1:x")]]
    found = [world.ask(*fields) for fields in wrong]
    assert len({one.why for one in found if isinstance(one, Reply)}) == 1
    assert {one.status for one in found if isinstance(one, Reply)} == {401}
    assert all(isinstance(one, Reply) for one in found)


def test_a_password_is_checked_once(world: World) -> None:
    """Then its digest is remembered, until the user changes or its time is over."""
    field = basic("anna:secret")
    found = world.ask(field)
    assert isinstance(found, Pending)
    assert (found.user, found.password, found.fields) == ("anna", "secret", [HOST_FIELD])
    assert isinstance(world.doors.verified(found, NOW), Admission)
    assert world.passes(field)["method"] == "basic"
    assert isinstance(world.ask(basic("anna:other")), Pending)
    assert isinstance(world.ask(field, at=NOW + 301), Pending)
    anna = msgspec.structs.replace(RECORDS.users[0], epoch=4)
    world.doors.apply(msgspec.structs.replace(RECORDS, users=(anna,)))
    assert isinstance(world.ask(field), Pending)


def test_a_password_of_somebody_whom_the_policy_does_not_name(world: World) -> None:
    """Is right, and does not help; where none is taken it is not looked at."""
    found = world.ask(basic("ben:secret"))
    assert isinstance(found, Pending)
    reply = world.doors.verified(found, NOW)
    assert isinstance(reply, Reply)
    assert reply.status == 403
    assert world.refused(basic("ben:secret"), target=b"/admin")[0] == 401


@pytest.mark.parametrize(
    ("fields", "method", "status"),
    [
        ([(b"accept", b"text/html,*/*")], b"GET", 303),
        ([(b"accept", b"text/html"), (b"sec-fetch-mode", b"navigate")], b"HEAD", 303),
        ([(b"accept", b"text/html"), (b"sec-fetch-mode", b"cors")], b"GET", 401),
        ([(b"accept", b"application/json")], b"GET", 401),
        ([(b"accept", b"text/html")], b"POST", 401),
        ([], b"GET", 401),
    ],
)
def test_who_is_sent_to_the_login(world: World, fields: Fields, method: bytes, status: int) -> None:
    """Browsers that show a page; nobody else gets one in the place of what they asked for."""
    assert world.refused(*fields, method=method) == (status, "login-required")


def test_the_way_back_is_kept_in_the_address() -> None:
    """As one value, whatever it holds; a very long one leads to the first page."""
    accept = (b"accept", b"text/html")
    for target, back in ((b"/a?b=c&d", b"%2Fa%3Fb%3Dc%26d"), (b"/" + b"a" * 3000, b"%2F")):
        found = World().ask(accept, target=target)
        assert isinstance(found, Reply)
        assert dict(found.fields)[b"location"].endswith(b"/login?to=" + back)


def test_what_is_remembered_is_bounded(world: World) -> None:
    """All sessions are forgotten at once, and read again."""
    for number in range(8200):
        world.passes(world.cookie(id=f"s{number}"))
    assert len(world.doors._sessions) < 100
    for number in range(1030):
        found = world.ask(basic(f"anna:{number}"))
        assert isinstance(found, Pending)
        world.doors.verified(found, NOW)
    assert len(world.doors._verified) == 1024


def test_what_a_login_asks(world: World) -> None:
    """Whether somebody would pass, who a cookie is of, and which link a secret opens."""
    at = world.door.policies_of(b"GET", b"/admin")
    assert not world.doors.admits(world.claims(), at)
    assert world.doors.admits(world.claims(user="ben", user_epoch=1), at)
    value = world.cookie()[1].partition(b"=")[2]
    assert world.doors.identify(value, HOST, NOW) == world.claims()
    assert world.doors.identify(value, "other.test", NOW) is None
    assert world.doors.link_by_digest("", time.time()) == RECORDS.links[0]
    assert world.doors.link_by_digest("x", time.time()) is None
