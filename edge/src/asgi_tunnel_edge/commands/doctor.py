"""``asgi-tunnel-edge doctor``: what is wrong around an edge, or soon will be.

It changes nothing, and nothing depends on it: ``run`` starts whatever it says. What it looks at is
in ``doctor_folder``, ``doctor_access``, ``doctor_dashboard``, ``doctor_machine`` and
``doctor_providers``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asgi_tunnel.findings import Finding, as_document, exit_code, render, skipped
from asgi_tunnel_edge.settings.survey import find_mistakes

from .options import data_option, json_option

if TYPE_CHECKING:
    from asgi_tunnel_edge.settings.config import EdgeConfig

__all__ = ["doctor"]


@click.command()
@click.option("--offline", is_flag=True, help="Ask no other machine: no DNS, no clock.")
@data_option
@json_option
def doctor(*, offline: bool, data_dir: Path, as_json: bool) -> int:
    """Look at everything around this edge, and say what is wrong and what to do.

    The edge may run or not. The exit code is 1 where there is a problem; a warning is none.
    """
    # Here, so that the other commands do not wait for what these import.
    from .doctor_folder import check_configuration
    from .doctor_machine import check_versions

    config, mistakes = find_mistakes(data_dir)
    found = [check_versions(), *check_configuration(data_dir, mistakes)]
    if config is not None:
        found += _examine(config, offline=offline)
    click.echo(json.dumps(as_document(found)) if as_json else render(found))
    return exit_code(found)


def _examine(config: EdgeConfig, *, offline: bool) -> list[Finding]:
    import asyncio

    from .doctor_access import check_doors
    from .doctor_dashboard import check_dashboard
    from .doctor_folder import check_certificate, check_database, check_disk, check_secrets
    from .doctor_machine import check_clock, check_descriptors, check_dns, check_ports

    found = [
        check_database(config),
        *check_secrets(config),
        *check_certificate(config),
        *check_doors(config),
        *check_dashboard(config),
        check_disk(config),
        check_descriptors(config),
        *asyncio.run(check_ports(config)),
    ]
    if config.is_cluster:
        from .doctor_cluster import check_bus, check_cluster

        found += check_cluster(config, offline=offline)
        found.append(asyncio.run(check_bus(config, offline=offline)))
    if config.oidc:
        from .doctor_providers import check_providers

        found += asyncio.run(check_providers(config, offline=offline))
    if offline:
        why = "not looked at: --offline"
        return [*found, skipped("dns", why), skipped("clock", why)]
    return [*found, *asyncio.run(check_dns(config)), check_clock(config)]
