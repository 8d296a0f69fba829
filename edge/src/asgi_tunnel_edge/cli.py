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
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

import click

from asgi_tunnel.errors import TunnelError

from . import __version__
from .errors import AlertError, ChangeError, EdgeNotRunningError, StorageError, code_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["error_code", "main"]


class _Group(click.Group):
    """Imports a command when it is called: all of them take 0.8 s, and each process needs one.

    Args:
        later: Where each command is, ``module:function`` in :mod:`.commands`, by its name.
    """

    group_class = type  # of the groups below it: the same

    def __init__(self, *args: Any, later: Mapping[str, str], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._later = later

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command's name, as help shows them."""
        return sorted({*self.commands, *self._later})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command; None: there is none of this name."""
        if cmd_name not in self.commands:
            # For a mistyped name click looks through those it has for one that is near.
            for name in [cmd_name] if cmd_name in self._later else self._later:
                module, function = self._later[name].split(":")
                found = getattr(import_module(f"{__package__}.commands.{module}"), function)
                self.add_command(found, name)
        return super().get_command(ctx, cmd_name)


class _OneSentence(_Group):
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
    later={
        "init": "init:init",
        "run": "run:run",
        "doctor": "doctor:doctor",
        "backup": "backup:backup",
        "restore": "restore:restore",
        "reload": "reload:reload",
        "status": "status:status",
        "metrics": "metrics:metrics",
        "upgrade": "upgrade:upgrade",
        "top": "top:top",
        "logs": "logs:logs",
    },
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="asgi-tunnel-edge")
def main() -> None:
    """Run the public side of asgi-tunnel: apps behind NAT are served through this machine."""


@main.group(
    later={
        "test": "alert_test:send_test",
    }
)
def alert() -> None:
    """See whether alerts arrive at your webhook."""


@main.group(
    later={
        "list": "cert_list:list_certificates",
        "renew": "cert_renew:renew",
    }
)
def cert() -> None:
    """Show and renew the certificates that a CA issues for this edge."""


@main.group(
    later={
        "create": "token_create:create",
        "change": "token_change:change",
        "limit": "token_limit:limit",
        "list": "token_list:list_tokens",
        "revoke": "token_revoke:revoke",
        "rotate": "token_rotate:rotate",
        "show": "token_show:show",
    }
)
def token() -> None:
    """Make, show, limit and take back the tokens that apps connect with."""


@main.group(
    later={
        "add": "host_add:add_hosts",
        "list": "host_list:list_hosts",
        "rm": "host_rm:remove_hosts",
    }
)
def host() -> None:
    """Give hostnames to tokens, show whose they are, and take them back."""


@host.group(
    later={
        "on": "host_maintenance:close_hosts",
        "off": "host_maintenance:open_hosts",
    }
)
def maintenance() -> None:
    """Close hostnames for visitors for a while, and open them again."""


@main.group(
    later={
        "list": "access_list:list_access",
        "test": "access_test:check_access",
    }
)
def access() -> None:
    """Show who can see what, and try a door before you trust it."""


@main.group(
    later={
        "create": "user_create:create_user",
        "list": "user_list:list_users",
        "show": "user_show:show_user",
        "change": "user_change:change_user",
        "invite": "user_invite:invite",
        "sign-out": "user_sign_out:sign_out",
        "rm": "user_rm:remove_user",
    }
)
def user() -> None:
    """Make, show, change, invite and remove the people who may log in at doors."""


@main.group(
    later={
        "move": "store_move:move",
    }
)
def store() -> None:
    """Move what this edge keeps into another database."""


@main.group(
    later={
        "init": "cluster_init:init",
        "join": "cluster_join:join",
        "status": "cluster_status:cluster_status",
        "rm": "cluster_rm:remove_edge",
    }
)
def cluster() -> None:
    """Let several edges serve the same apps, and show whether they reach each other."""


@main.group(
    "service-token",
    later={
        "create": "service_token_create:create_service_token",
        "list": "service_token_list:list_service_tokens",
        "revoke": "service_token_revoke:revoke_service_token",
    },
)
def service_token() -> None:
    """Make, show and take back what programs pass doors with."""


@main.group(
    later={
        "create": "link_create:create_link",
        "list": "link_list:list_links",
        "revoke": "link_revoke:revoke_link",
    }
)
def link() -> None:
    """Share one path with whoever has a link; show what is shared, and take it back."""


@main.group(
    later={
        "list": "session_list:list_sessions",
        "end": "session_end:end_sessions",
    }
)
def session() -> None:
    """Show who is logged in, and sign people out."""


@main.group(
    later={
        "add": "ban_add:add",
        "list": "ban_list:list_bans",
        "rm": "ban_rm:rm",
    }
)
def ban() -> None:
    """Shut addresses out, show who is, and let them in again."""


@main.group(
    later={
        "list": "tunnel_list:list_tunnels",
        "show": "tunnel_show:show_tunnel",
        "kick": "tunnel_kick:kick",
        "drain": "tunnel_drain:drain",
    }
)
def tunnel() -> None:
    """Show the apps that are connected, end their connections, or let them connect anew."""


@main.group(
    later={
        "list": "inbox_list:list_requests",
        "show": "inbox_show:show_request",
        "retry": "inbox_retry:retry_requests",
        "drop": "inbox_drop:drop_requests",
    }
)
def inbox() -> None:
    """Show the requests that wait for apps which are away, and those that failed."""


@main.group(
    later={
        "check": "config_check:check",
        "show": "config_show:show_config",
        "pages": "config_pages:write_pages",
    }
)
def config() -> None:
    """Check the settings, and show those that hold."""


@main.group(
    later={
        "install": "service_install:install",
    }
)
def service() -> None:
    """Let the system run this edge."""


@main.group(
    later={
        "certificate": "remake:certificate",
        "database": "remake:database",
    }
)
def remake() -> None:
    """Make anew what was lost: the edge's own certificate, the database."""
