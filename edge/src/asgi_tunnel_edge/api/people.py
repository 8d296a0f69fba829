"""Operations on users and their sessions."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from asgi_tunnel_edge.operations import sessions, users
from asgi_tunnel_edge.operations.sessions import SessionView as LoginView
from asgi_tunnel_edge.operations.sessions import session_view
from asgi_tunnel_edge.operations.users import (
    ChangedUser,
    Invitation,
    NewUser,
    UserDetail,
    UserView,
)

from .operation import Call, Done, Operation
from .paging import Page, PageQuery, page_of

__all__ = ["PEOPLE"]


class NewInvitation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An invitation to make."""

    expires: str = "7d"  #: from now, 7 days at most
    hostname: str | None = None  #: where it leads; None: the only one that has a door


def list_users(call: Call) -> Page[UserView]:
    """Return all users, sorted."""
    return page_of(users.list_users(call.config), call.query)


def create_user(call: Call) -> UserView:
    """Make a user."""
    return users.create_user(call.config, call.body)


def show_user(call: Call) -> UserDetail:
    """Return one user."""
    return users.show_user(call.config, call.path["user"])


def change_user(call: Call) -> UserView:
    """Change what is given of a user."""
    return users.change_user(call.config, call.path["user"], call.body)


def remove_user(call: Call) -> None:
    """Forget a user."""
    users.remove_user(call.config, call.path["user"])


def invite_user(call: Call) -> Invitation:
    """Make a link for a user."""
    new: NewInvitation = call.body
    return users.invite_user(
        call.config, call.path["user"], expires=new.expires, hostname=new.hostname
    )


def sign_out_user(call: Call) -> None:
    """End all sessions of a user."""
    users.end_user_sessions(call.config, call.path["user"])


def list_sessions(call: Call) -> Page[LoginView]:
    """Return the sessions that hold, oldest first."""
    return page_of([session_view(one) for one in sessions.list_sessions(call.config)], call.query)


def end_session(call: Call) -> None:
    """End one session."""
    sessions.end_sessions(call.config, [call.path["session"]])


def end_all_sessions(call: Call) -> Done:
    """Sign everybody out."""
    return Done(count=len(sessions.end_all_sessions(call.config)))


PEOPLE: Final = (
    Operation(
        id="listUsers",
        method="GET",
        path="/users",
        run=list_users,
        summary="Users, sorted",
        role="operator",
        query=PageQuery,
        result=Page[UserView],
        commands=("user list",),
    ),
    Operation(
        id="createUser",
        method="POST",
        path="/users",
        run=create_user,
        summary="Make a user",
        role="operator",
        body=NewUser,
        result=UserView,
        status=201,
        commands=("user create",),
    ),
    Operation(
        id="showUser",
        method="GET",
        path="/users/{user}",
        run=show_user,
        summary="One user, with passkeys, sessions and what is open to them",
        role="operator",
        result=UserDetail,
        commands=("user show",),
    ),
    Operation(
        id="changeUser",
        method="PATCH",
        path="/users/{user}",
        run=change_user,
        summary="Change what is given of a user",
        role="operator",
        body=ChangedUser,
        result=UserView,
        commands=("user change",),
    ),
    Operation(
        id="removeUser",
        method="DELETE",
        path="/users/{user}",
        run=remove_user,
        summary="Forget a user, the passkeys and the sessions",
        role="operator",
        commands=("user rm",),
    ),
    Operation(
        id="inviteUser",
        method="POST",
        path="/users/{user}/invite",
        run=invite_user,
        summary="Make a link with which a user sets a password or makes a passkey, once",
        role="operator",
        body=NewInvitation,
        result=Invitation,
        commands=("user invite",),
    ),
    Operation(
        id="signOutUser",
        method="POST",
        path="/users/{user}/sign-out",
        run=sign_out_user,
        summary="End all sessions of a user",
        role="operator",
        commands=("user sign-out",),
    ),
    Operation(
        id="listSessions",
        method="GET",
        path="/sessions",
        run=list_sessions,
        summary="Logins that hold, oldest first",
        role="operator",
        query=PageQuery,
        result=Page[LoginView],
        commands=("session list",),
    ),
    Operation(
        id="endAllSessions",
        method="DELETE",
        path="/sessions",
        run=end_all_sessions,
        summary="Sign everybody out",
        role="operator",
        result=Done,
        commands=("session end",),
    ),
    Operation(
        id="endSession",
        method="DELETE",
        path="/sessions/{session}",
        run=end_session,
        summary="Sign somebody out",
        role="operator",
        commands=("session end",),
    ),
)
