"""The command ``asgi-tunnel-edge``.

Exit codes: 0 done; 1 it failed this time (the database is locked, the disk is full); 2 it cannot
work like this (a wrong option, setting or certificate); 3 no edge runs that could be asked. Every
failure is one sentence on stderr that says what, why and what to do; nothing is left half-written.
With ``--json`` it is one JSON document on stdout instead, ``{"error": {"code", "message"}}``, and
stderr has warnings only.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from asgi_tunnel.errors import TunnelError

from . import __version__
from .commands.access_list import list_access
from .commands.access_test import check_access
from .commands.alert_test import send_test
from .commands.backup import backup
from .commands.ban_add import add
from .commands.ban_list import list_bans
from .commands.ban_rm import rm
from .commands.cert_list import list_certificates
from .commands.cert_renew import renew
from .commands.cluster_init import init as init_cluster
from .commands.cluster_join import join
from .commands.cluster_rm import remove_edge
from .commands.cluster_status import cluster_status
from .commands.config_check import check
from .commands.config_pages import write_pages
from .commands.config_show import show_config
from .commands.doctor import doctor
from .commands.host_add import add_hosts
from .commands.host_list import list_hosts
from .commands.host_maintenance import close_hosts, open_hosts
from .commands.host_rm import remove_hosts
from .commands.inbox_drop import drop_requests
from .commands.inbox_list import list_requests
from .commands.inbox_retry import retry_requests
from .commands.inbox_show import show_request
from .commands.init import init
from .commands.link_create import create_link
from .commands.link_list import list_links
from .commands.link_revoke import revoke_link
from .commands.logs import logs
from .commands.metrics import metrics
from .commands.reload import reload
from .commands.remake import certificate, database
from .commands.restore import restore
from .commands.run import run
from .commands.service_install import install
from .commands.service_token_create import create_service_token
from .commands.service_token_list import list_service_tokens
from .commands.service_token_revoke import revoke_service_token
from .commands.session_end import end_sessions
from .commands.session_list import list_sessions
from .commands.status import status
from .commands.store_move import move
from .commands.token_change import change
from .commands.token_create import create
from .commands.token_limit import limit
from .commands.token_list import list_tokens
from .commands.token_revoke import revoke
from .commands.token_rotate import rotate
from .commands.token_show import show
from .commands.top import top
from .commands.tunnel_drain import drain
from .commands.tunnel_kick import kick
from .commands.tunnel_list import list_tunnels
from .commands.tunnel_show import show_tunnel
from .commands.upgrade import upgrade
from .commands.user_change import change_user
from .commands.user_create import create_user
from .commands.user_invite import invite
from .commands.user_list import list_users
from .commands.user_rm import remove_user
from .commands.user_show import show_user
from .commands.user_sign_out import sign_out
from .errors import AlertError, ChangeError, EdgeNotRunningError, StorageError, code_of

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["error_code", "main"]


class _OneSentence(click.Group):
    """Says what went wrong in one sentence, where click prints several lines."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command and, in standalone mode, exit."""
        as_json = "--json" in (sys.argv[1:] if args is None else args)

        def fail(error: Exception, sentence: str, code: int) -> NoReturn:
            if as_json:
                what = {"code": error_code(error), "message": sentence}
                click.echo(json.dumps({"error": what}))
            else:
                click.echo(f"error: {sentence}", err=True)
            sys.exit(code)

        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        try:
            code = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()  # somebody wants to know what there is
            sys.exit(error.exit_code)
        except click.UsageError as error:
            fail(error, _usage_sentence(error), 2)
        except click.ClickException as error:
            fail(error, error.format_message(), error.exit_code)
        except click.Abort as error:
            fail(error, "interrupted", 130)
        except (AlertError, ChangeError, StorageError) as error:
            fail(error, str(error), 1)
        except EdgeNotRunningError as error:
            fail(error, str(error), 3)
        except TunnelError as error:
            fail(error, str(error), 2)
        except OSError as error:
            what = "the operating system refused" if error.filename is None else error.filename
            fail(error, f"{what}: {error.strerror}; check the disk and the permissions", 1)
        sys.exit(code if isinstance(code, int) else 0)


def error_code(error: Exception) -> str:
    """What a program knows an error by: ``token_not_found`` for a TokenNotFoundError."""
    if isinstance(error, click.ClickException):
        return "usage"
    if isinstance(error, OSError):
        return "system"
    return "interrupted" if isinstance(error, click.Abort) else code_of(error)


def _usage_sentence(error: click.UsageError) -> str:
    """Click's message on one line, with what to do where it does not say so."""
    message = " ".join(error.format_message().split()).rstrip(".")
    command = "asgi-tunnel-edge" if error.ctx is None else error.ctx.command_path
    return f"{message[:1].lower()}{message[1:]}; see `{command} --help`"


@click.group(
    "asgi-tunnel-edge",
    cls=_OneSentence,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="asgi-tunnel-edge")
def main() -> None:
    """Run the public side of asgi-tunnel: apps behind NAT are served through this machine."""


@main.group()
def alert() -> None:
    """See whether alerts arrive at your webhook."""


@main.group()
def cert() -> None:
    """Show and renew the certificates that a CA issues for this edge."""


@main.group()
def token() -> None:
    """Make, show, limit and take back the tokens that apps connect with."""


@main.group()
def host() -> None:
    """Give hostnames to tokens, show whose they are, and take them back."""


@host.group()
def maintenance() -> None:
    """Close hostnames for visitors for a while, and open them again."""


@main.group()
def access() -> None:
    """Show who can see what, and try a door before you trust it."""


@main.group()
def user() -> None:
    """Make, show, change, invite and remove the people who may log in at doors."""


@main.group()
def store() -> None:
    """Move what this edge keeps into another database."""


@main.group()
def cluster() -> None:
    """Let several edges serve the same apps, and show whether they reach each other."""


@main.group("service-token")
def service_token() -> None:
    """Make, show and take back what programs pass doors with."""


@main.group()
def link() -> None:
    """Share one path with whoever has a link; show what is shared, and take it back."""


@main.group()
def session() -> None:
    """Show who is logged in, and sign people out."""


@main.group()
def ban() -> None:
    """Shut addresses out, show who is, and let them in again."""


@main.group()
def tunnel() -> None:
    """Show the apps that are connected, end their connections, or let them connect anew."""


@main.group()
def inbox() -> None:
    """Show the requests that wait for apps which are away, and those that failed."""


@main.group()
def config() -> None:
    """Check the settings, and show those that hold."""


@main.group()
def service() -> None:
    """Let the system run this edge."""


@main.group()
def remake() -> None:
    """Make anew what was lost: the edge's own certificate, the database."""


alert.add_command(send_test)
cert.add_command(list_certificates)
cert.add_command(renew)
main.add_command(init)
main.add_command(run)
main.add_command(doctor)
main.add_command(backup)
main.add_command(restore)
inbox.add_command(list_requests)
inbox.add_command(show_request)
inbox.add_command(retry_requests)
inbox.add_command(drop_requests)
config.add_command(check)
config.add_command(show_config)
config.add_command(write_pages)
service.add_command(install)
main.add_command(reload)
main.add_command(status)
main.add_command(metrics)
main.add_command(upgrade)
main.add_command(top)
main.add_command(logs)
tunnel.add_command(list_tunnels)
tunnel.add_command(show_tunnel)
tunnel.add_command(kick)
tunnel.add_command(drain)
token.add_command(create)
token.add_command(change)
token.add_command(limit)
token.add_command(list_tokens)
token.add_command(revoke)
token.add_command(rotate)
token.add_command(show)
host.add_command(add_hosts)
host.add_command(list_hosts)
host.add_command(remove_hosts)
maintenance.add_command(close_hosts)
maintenance.add_command(open_hosts)
ban.add_command(add)
ban.add_command(list_bans)
ban.add_command(rm)
store.add_command(move)
cluster.add_command(init_cluster)
cluster.add_command(join)
cluster.add_command(cluster_status)
cluster.add_command(remove_edge)
remake.add_command(certificate)
remake.add_command(database)
access.add_command(list_access)
access.add_command(check_access)
user.add_command(create_user)
user.add_command(list_users)
user.add_command(show_user)
user.add_command(change_user)
user.add_command(invite)
user.add_command(sign_out)
user.add_command(remove_user)
service_token.add_command(create_service_token)
service_token.add_command(list_service_tokens)
service_token.add_command(revoke_service_token)
link.add_command(create_link)
link.add_command(list_links)
link.add_command(revoke_link)
session.add_command(list_sessions)
session.add_command(end_sessions)
