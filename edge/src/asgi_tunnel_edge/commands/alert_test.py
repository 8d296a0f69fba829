"""``asgi-tunnel-edge alert test``: send an alert to the webhook, to see that it arrives."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import click

from asgi_tunnel_edge.alerts.message import Alert
from asgi_tunnel_edge.alerts.sender import AlertSender, Webhook
from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.monitor import URL_VARIABLE, webhook_of
from asgi_tunnel_edge.settings.config import CONFIG_FILE, EdgeConfig

from .options import data_option, json_option

__all__ = ["send_test"]


@click.command("test")
@data_option
@json_option
def send_test(*, data_dir: Path, as_json: bool) -> None:
    """Send an alert of the kind "test" to the webhook of [alerts], once.

    It uses the settings and variables of this command, not those of an edge that runs.
    """
    webhook = webhook_of(EdgeConfig.load(data_dir))
    if webhook is None:
        why = f"is missing, and so is the variable {URL_VARIABLE}"
        fix = 'write for example url = "https://hooks.example.net/edge"'
        raise EdgeConfigError("alerts.url", why, fix, file=CONFIG_FILE)
    status = asyncio.run(_send(webhook))
    if as_json:
        found = {"host": webhook.host, "status": status, "signed": bool(webhook.secret)}
        click.echo(json.dumps(found))
    else:
        how = "signed" if webhook.secret else "not signed: there is no secret"
        click.echo(f"the webhook at {webhook.host} took it ({status}); {how}")


async def _send(webhook: Webhook) -> int:
    alert = Alert(
        event="test",
        state="firing",
        subject="",
        since=time.time(),
        message="this is a test of the alerts",
    )
    return await AlertSender(webhook).send([alert])
