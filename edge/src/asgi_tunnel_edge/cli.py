"""The command ``asgi-tunnel-edge``.

Exit codes: 0 done; 1 it failed this time (the database is locked, the disk is full); 2 it cannot
work like this (a wrong option, setting or certificate). Every failure is one sentence on stderr
that says what, why and what to do; nothing is left half-written.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from asgi_tunnel.errors import TunnelError

from . import __version__
from .commands.ban_add import add
from .commands.ban_list import list_bans
from .commands.ban_rm import rm
from .commands.cert_list import list_certificates
from .commands.cert_renew import renew
from .commands.host_add import add_hosts
from .commands.host_list import list_hosts
from .commands.host_rm import remove_hosts
from .commands.init import init
from .commands.remake import certificate, database
from .commands.run import run
from .commands.token_create import create
from .commands.token_limit import limit
from .commands.token_list import list_tokens
from .commands.token_revoke import revoke
from .errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


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
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        try:
            code = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()  # somebody wants to know what there is
            sys.exit(error.exit_code)
        except click.UsageError as error:
            _fail(_usage_sentence(error), 2)
        except click.ClickException as error:
            _fail(error.format_message(), error.exit_code)
        except click.Abort:
            _fail("interrupted", 130)
        except StorageError as error:
            _fail(str(error), 1)
        except TunnelError as error:
            _fail(str(error), 2)
        except OSError as error:
            what = "the operating system refused" if error.filename is None else error.filename
            _fail(f"{what}: {error.strerror}; check the disk and the permissions", 1)
        sys.exit(code if isinstance(code, int) else 0)


def _fail(sentence: str, code: int) -> NoReturn:
    click.echo(f"error: {sentence}", err=True)
    sys.exit(code)


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
def cert() -> None:
    """Show and renew the certificates that a CA issues for this edge."""


@main.group()
def token() -> None:
    """Make, show, limit and take back the tokens that apps connect with."""


@main.group()
def host() -> None:
    """Give hostnames to tokens, show whose they are, and take them back."""


@main.group()
def ban() -> None:
    """Shut addresses out, show who is, and let them in again."""


@main.group()
def remake() -> None:
    """Make anew what was lost: the edge's own certificate, the database."""


cert.add_command(list_certificates)
cert.add_command(renew)
main.add_command(init)
main.add_command(run)
token.add_command(create)
token.add_command(limit)
token.add_command(list_tokens)
token.add_command(revoke)
host.add_command(add_hosts)
host.add_command(list_hosts)
host.add_command(remove_hosts)
ban.add_command(add)
ban.add_command(list_bans)
ban.add_command(rm)
remake.add_command(certificate)
remake.add_command(database)
