"""Whether people can log in with the providers of ``[oidc]``. Called by ``doctor``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from asgi_tunnel.findings import Finding, ok, problem, problem_of, skipped
from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.login.oidc.problems import ProviderError
from asgi_tunnel_edge.login.oidc.provider import Provider
from asgi_tunnel_edge.settings.config import CONFIG_FILE
from asgi_tunnel_edge.settings.oidc import read_client_secret

if TYPE_CHECKING:
    from asgi_tunnel_edge.settings.config import EdgeConfig

__all__ = ["check_providers"]

_CHECK = "providers"
_WHY = "nobody can log in with it"


async def check_providers(config: EdgeConfig, *, offline: bool) -> list[Finding]:
    """Whether each provider can be reached, calls itself as settings do, and has keys.

    Args:
        config: Of the edge.
        offline: Look at the files with secrets only.
    """
    return list(await asyncio.gather(*(_check(config, one, offline) for one in config.oidc)))


async def _check(config: EdgeConfig, name: str, offline: bool) -> Finding:
    settings = config.oidc[name]
    try:
        secret = read_client_secret(settings, name, config.data_dir, file=CONFIG_FILE)
    except EdgeConfigError as error:
        return problem_of(_CHECK, str(error), why="the edge does not start with a door")
    if offline:
        return skipped(_CHECK, f"{name} is not asked: --offline")
    provider = Provider(name, settings, secret)
    try:
        async with provider.step(""):
            count = len(await provider.keys())
    except ProviderError as error:
        fix = "compare `issuer` with what the provider calls itself, and look at the network"
        return problem(_CHECK, f"{name}: {error.detail}", why=_WHY, fix=fix)
    finally:
        await provider.aclose()
    if not count:
        what = f"{name} publishes no key with which a token may be signed"
        fix = "let it sign with RS256, ES256 or EdDSA; in Authentik, choose a signing key"
        return problem(_CHECK, what, why=_WHY, fix=fix)
    return ok(_CHECK, f"{name} is reached; keys that are taken: {count}")
