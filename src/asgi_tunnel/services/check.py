"""Looks for what is wrong with a table before a visitor does, and says what to do about it."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final, NamedTuple

from ..asgi.adapt import takes_arguments
from ..errors import ConfigError
from ..loading import check_app, load_object
from ..mcp import make_app
from .proxy.address import look_up, read_host
from .proxy.errors import ResponseError
from .proxy.pool import reason
from .proxy.response import ResponseReader
from .service import AppTarget, ProxyTarget, Service
from .table import Table

PROBE_TIMEOUT: Final = 3.0
"""Seconds for a service to say anything: a person waits for the result."""

_TLS_RECORD: Final = b"\x15\x03"  # an alert of TLS


class Finding(NamedTuple):
    """What was found out about a service."""

    name: str
    problem: str  # a sentence with what to do; empty: nothing is wrong


async def check_services(services: tuple[Service, ...]) -> list[Finding]:
    """Look at each service: whether it is reached, listens, and speaks what ``to`` says.

    Apps are imported; their startup does not run.
    """
    shadowed = {one.name: by.name for one, by in Table(services).shadowed()}
    problems = await asyncio.gather(*(_check(one) for one in services))
    found: list[Finding] = []
    for service, problem in zip(services, problems, strict=True):
        by = shadowed.get(service.name)
        if by is not None:
            problem = f"no request reaches it: {by} stands above it; move it up"  # noqa: PLW2901
        found.append(Finding(service.name, problem))
    return found


async def _check(service: Service) -> str:
    target = service.target
    if isinstance(target, AppTarget):
        return _check_app(target)
    if isinstance(target, ProxyTarget):
        try:
            return await _check_proxy(service, target)
        except ConfigError as error:
            return str(error)
    return ""


def _check_app(target: AppTarget) -> str:
    if target.app is not None:
        return ""
    try:
        app = make_app(load_object(target.where, factory=target.factory))
        if target.interface != "wsgi" and not takes_arguments(app, 2):
            check_app(app, target.where, factory=target.factory)
    except ConfigError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - the app's own code, while it is imported
        return f"{target.where} cannot be imported: {type(error).__name__}: {error}; correct it"
    return ""


async def _check_proxy(service: Service, target: ProxyTarget) -> str:
    where = target.socket or target.authority
    try:
        connection = await _open(service, target, uses_tls=target.scheme == "https")
    except ssl.SSLCertVerificationError as error:
        return (
            f"the certificate of {where} is not accepted: {error.verify_message}; name its CA with "
            "verify, or write verify = false"
        )
    except ssl.SSLError:
        return f"{where} does not speak https; write http:// in to"
    except TimeoutError:
        return f"{where} did not answer in {PROBE_TIMEOUT:g} s; is there a firewall?"
    except OSError as error:
        return f"nobody listens at {where}: {reason(error)}; start it, or correct the port"
    reader, writer = connection
    host = target.send_host or target.authority
    data = b""
    try:
        writer.write(b"HEAD / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % host.encode())
        async with asyncio.timeout(PROBE_TIMEOUT):
            data = await reader.read(65536)
    except TimeoutError:
        return f"{where} took the connection and said nothing in {PROBE_TIMEOUT:g} s; is it HTTP?"
    except OSError:
        pass
    finally:
        writer.close()
    is_odd = not data or data.startswith(_TLS_RECORD) or b" 400 " in data[:16]
    if target.scheme != "https" and is_odd and await _speaks_tls(service, target):
        return f"{where} speaks https; write https:// in to"
    try:
        ResponseReader("HEAD").feed(data or b"-")
    except ResponseError as error:
        return f"{where} does not speak HTTP/1.1: {error}; is it another service's port?"
    return ""


async def _speaks_tls(service: Service, target: ProxyTarget) -> bool:
    if target.scheme == "unix":
        return False
    try:
        _, writer = await _open(service, target, uses_tls=True, verifies=False)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def _open(
    service: Service, target: ProxyTarget, *, uses_tls: bool, verifies: bool = True
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect as the proxy would.

    Raises:
        ConfigError: The name leads where no service is.
        OSError: There is no connection.
    """
    async with asyncio.timeout(PROBE_TIMEOUT):
        if target.scheme == "unix":
            return await asyncio.open_unix_connection(target.socket)
        if read_host(target.host, "to") is None:
            setting = f"service {service.name}: to"
            addresses = await look_up(
                target.host, target.port, setting, allow_public=target.allow_public
            )
        else:
            addresses = [target.host]
        if not uses_tls:
            return await asyncio.open_connection(addresses[0], target.port)
        verify = target.verify if verifies else False
        context = ssl.create_default_context(
            cafile=verify if isinstance(verify, str) and not verify.startswith("sha256:") else None
        )
        if verify is False or (isinstance(verify, str) and verify.startswith("sha256:")):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return await asyncio.open_connection(
            addresses[0],
            target.port,
            ssl=context,
            server_hostname=target.server_name or target.host,
        )
