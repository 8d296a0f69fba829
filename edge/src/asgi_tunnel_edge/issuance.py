"""Puts automatic HTTPS together: which certificates an edge wants, and how their names are proved.

Made by ``server`` when ``tls.mode`` is "acme". It hands what the issuer (``certificates.acme``) has
got to the collection that the listener shows, answers DNS for the proofs where the owner has
delegated a zone, and gives ``server`` what has to be served on the ports for HTTP and TLS.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from typing import TYPE_CHECKING, Final

from .bus.events import Events
from .certificates.acme import (
    ACME_TLS_ONLY,
    AcmeSettings,
    AcmeState,
    HttpTokens,
    Issuer,
    IssuerHooks,
    TlsAlpnCertificates,
)
from .endpoints.challenges import CHALLENGE_PATH, Challenges
from .endpoints.endpoint import PrefixEndpoint
from .endpoints.local_app import LocalApp
from .errors import CertificateError, SolverError, StorageError
from .hostname import wildcard_of
from .proofs import SharedProofs
from .settings.config import parse_listen
from .storage.certificate_copy import CertificateCopy
from .supervision import SocketSource

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

    from .certificates.acme import IssuanceFailure, Solver
    from .certificates.acme.records import AcmeStorage
    from .certificates.collection import CertificateCollection
    from .certificates.dns.server import DNSServer
    from .listeners.client_hello import ClientHello
    from .settings.config import EdgeConfig
    from .tokens import Snapshot

__all__ = ["Issuance", "acme_settings", "is_wildcard_missing", "wanted_certificates"]

_log = logging.getLogger("asgi_tunnel_edge.certificates")

FALLBACK: Final = 2 * 86400.0
"""Seconds before a wildcard that cannot be renewed ends, from which on each name gets its own: what
a CA's limits put off for a day still comes in time."""


class Issuance:
    """See the module.

    Args:
        config: The edge's settings.
        certificates: Gets what was issued.
        held: Sockets that a parent holds; None: there is none.
        events: To and from the other processes and edges; None: there are none.
        orders: Whether this process orders; False: it shows what another one has ordered.

    Attributes:
        endpoint: Serves the proofs of http-01, on the port for plain HTTP.
    """

    def __init__(
        self,
        config: EdgeConfig,
        certificates: CertificateCollection,
        held: SocketSource | None = None,
        *,
        events: Events | None = None,
        orders: bool = True,
    ) -> None:
        self._config = config
        self._orders = orders
        self._held = SocketSource() if held is None else held
        self._certificates = certificates
        self._wanted: list[tuple[str, ...]] = []
        self._snapshot: Snapshot | None = None
        self._renewals = 0
        self._is_stopped = False
        self._is_wildcard_missing = False
        self._failures: dict[tuple[str, ...], str] = {}
        self._tokens = HttpTokens()
        self._proofs = TlsAlpnCertificates()
        self._shared = SharedProofs(Events() if events is None else events)
        self._page = LocalApp(Challenges(self._tokens.lookup))
        self._by_dns: Solver | None = None
        self._solvers: list[Solver] = []  # the preferred kind first
        self._dns: DNSServer | None = None
        self._zones: list[Solver] = []  # what it answers from
        self._issuer: Issuer | None = None
        self._task: asyncio.Task[None] | None = None
        self._copy: CertificateCopy | None = None  # None: the store is a file beside it
        self._shown: dict[tuple[str, ...], tuple[bytes, bytes]] = {}  # what the copy holds
        self._copying: asyncio.Task[None] | None = None
        self.endpoint = PrefixEndpoint(CHALLENGE_PATH, self._page.route)

    @property
    def failures(self) -> dict[tuple[str, ...], str]:
        """Why there is no new certificate, by the names that one is wanted for."""
        wanted = self._wanted
        return {names: why for names, why in self._failures.items() if names in wanted}

    async def start(self) -> None:
        """Begin to order what is missing; certificates that are kept are shown when it returns.

        Raises:
            StorageError: The store cannot be read, and there is no copy.
        """
        from .storage.acme import AcmeStore  # SQLAlchemy, which other edges need not load

        config = self._config
        storage = AcmeStore(config.database, config.acme_key_path)
        if config.store is not None:
            path, key_path = config.certificate_copy_path, config.acme_key_path
            self._copy = CertificateCopy(path, key_path, config.acme.directory)
        kept = await self._read(storage)
        state = AcmeState() if kept is None else kept
        self._failures = {names: one.sentence for names, one in state.failures.items()}
        is_missing = is_wildcard_missing(config, state)
        if config.acme.dns != "none" and self._orders:
            try:
                self._by_dns = _BelowDomain(await self._dns_solver(), config.domain)
            except (CertificateError, SolverError) as error:
                # Certificates that are kept, and names that are proved in another way, go on.
                _log.error("no wildcard certificate can be ordered: %s", error)
                self._by_dns = _Unavailable(str(error))
                is_missing = is_missing or _wildcard(config) not in state.certificates
        await self._page.start()
        self._shared.start([self._tokens, self._proofs, *self._zones])
        self._set_missing(is_missing)
        self._issuer = Issuer(
            acme_settings(config),
            storage,
            self._solvers,
            IssuerHooks(wanted=lambda: self._wanted, installed=self._install, failed=self._report),
            orders=self._orders,
        )
        if kept is not None:
            await self._issuer.load()
        self._task = asyncio.create_task(self._issuer.run(), name="certificates")

    async def _read(self, storage: AcmeStorage) -> AcmeState | None:
        """Read what is kept; None: a server does not answer, and what a copy has is shown."""
        try:
            return await asyncio.to_thread(storage.load, self._config.acme.directory)
        except StorageError as error:
            found = {} if self._copy is None else await asyncio.to_thread(self._copy.load)
            if not found:
                raise
            _log.warning("started with a copy of the certificates, without the database: %s", error)
            for names, (chain, key) in found.items():
                self._install(names, chain, key)
            return None

    def retire(self) -> None:
        """Order no more; an order in progress goes on at the next start. May be called twice.

        Before the ports close: a CA that looks for a proof at closed ones ends the order for good.
        """
        if self._task is not None and not self._task.cancelling():
            self._task.cancel()

    async def stop(self) -> None:
        """Order no more, and wait until proofs are taken away. May be called twice."""
        self.retire()
        if self._task is not None:
            await asyncio.wait({self._task})
            self._task = None
        await self._shared.stop()
        if self._copying is not None:
            await asyncio.wait({self._copying})
        if self._dns is not None:
            await self._dns.stop()
            self._dns = None
        if not self._is_stopped:
            self._is_stopped = True
            await self._page.stop()

    def follow(self, snapshot: Snapshot) -> None:
        """Other hostnames are registered, or somebody asks for a renewal."""
        self._snapshot = snapshot
        wanted = wanted_certificates(
            self._config, snapshot, has_wildcard=not self._is_wildcard_missing
        )
        if wanted != self._wanted or snapshot.renewals != self._renewals:
            self._wanted, self._renewals = wanted, snapshot.renewals
            if self._issuer is not None:
                self._issuer.wake()

    def proof(self, hello: ClientHello) -> ssl.SSLContext | None:
        """What to show to a CA that looks for the proof of a name (RFC 8737); None: it is none."""
        if hello.protocols != ACME_TLS_ONLY or hello.server_name is None:
            return None
        return self._proofs.context(hello.server_name)

    def _install(self, names: tuple[str, ...], chain: bytes, key: bytes) -> None:
        try:
            self._certificates.install(chain, key)
        except CertificateError as error:
            _log.error("%s", error)
            return
        _log.info("the certificate for %s is shown", ", ".join(names))
        if self._copy is not None and self._orders:
            self._shown[names] = (chain, key)
            if self._copying is None or self._copying.done():
                self._copying = asyncio.create_task(self._keep_copy(self._copy))
        if self._task is not None:  # a new one; those that are kept are handed on before
            self._failures.pop(names, None)
        if names == _wildcard(self._config) and self._is_wildcard_missing and self._task:
            # A new one. Those that are kept are handed on before the task begins.
            self._set_missing(False)

    async def _keep_copy(self, copy: CertificateCopy) -> None:
        """Write the copy, until it holds what is shown. Cancelling it leaves an older one."""
        written: dict[tuple[str, ...], tuple[bytes, bytes]] = {}
        while written != self._shown:
            await asyncio.sleep(0)  # all that one look hands on is written at once
            written = {names: one for names, one in self._shown.items() if names in self._wanted}
            self._shown = dict(written)
            try:
                await asyncio.to_thread(copy.save, written)
            except (OSError, StorageError) as error:
                _log.warning("the copy of certificates cannot be written: %s", error)
                return

    def _report(self, failure: IssuanceFailure) -> None:
        is_ending = failure.not_after is None or failure.not_after < time.time() + FALLBACK
        if failure.names == _wildcard(self._config) and is_ending:
            # Each name alone, until the owner has made the records that the wildcard needs.
            self._set_missing(True)
        self._failures[failure.names] = failure.sentence
        _log.error("no new certificate for %s: %s", ", ".join(failure.names), failure.sentence)

    def _set_missing(self, is_missing: bool) -> None:
        """Note whether the names below the domain have to do without the wildcard."""
        self._is_wildcard_missing = is_missing
        self._solvers[:] = [self._shared.told(self._proofs), self._shared.told(self._tokens)]
        if self._by_dns is not None:
            # Where the wildcard fails, a proof by DNS fails for a single name, too.
            self._solvers.insert(len(self._solvers) if is_missing else 0, self._by_dns)
        if self._snapshot is not None:
            self.follow(self._snapshot)

    async def _dns_solver(self) -> Solver:
        acme = self._config.acme
        if acme.dns == "zone":
            return await self._zone_solver()
        from .certificates.dns.lookup import Lookup
        from .certificates.dns.propagation import CheckedSolver

        lookup = Lookup()
        if acme.dns == "hook":
            from .certificates.dns.hook import HookSolver

            return CheckedSolver(HookSolver(acme.hook), lookup)
        if acme.dns == "persistent":
            from .certificates.dns.persistent import PersistentRecordSolver

            return PersistentRecordSolver(lookup)
        from .certificates.dns.update import UpdateServer, UpdateSolver, read_key

        server = UpdateServer(
            host=acme.update_server or "", zone=acme.update_zone or self._config.domain
        )
        key = read_key(self._config.data_dir / (acme.update_key or ""))
        return CheckedSolver(UpdateSolver(server, key, lookup=lookup), lookup)

    async def _zone_solver(self) -> Solver:
        from .certificates.dns.delegated import DelegatedZoneSolver
        from .certificates.dns.server import DNSServer
        from .certificates.dns.zone import Zone

        config = self._config
        zone = Zone(config.acme_zone, config.acme.zone_servers or (config.domain,))
        listen = parse_listen(config.acme.dns_listen, setting="acme.dns_listen")
        self._dns = DNSServer(zone)
        held = self._held.take("dns", str(listen))
        port = await self._dns.start(listen.host, listen.port, opened=held)
        if not held:
            self._held.opened("dns", str(listen), self._dns.sockets)
        _log.info("answering DNS for %s on port %d", config.acme_zone, port)
        solver = DelegatedZoneSolver(zone)
        self._zones.append(solver)
        return self._shared.told(solver)


def acme_settings(config: EdgeConfig) -> AcmeSettings:
    """Which CA an edge's settings name."""
    acme = config.acme
    return AcmeSettings(
        directory_url=acme.directory,
        contact=() if acme.email is None else (acme.email,),
        profile=acme.profile,
        root=config.acme_root_path,
    )


class _BelowDomain:
    """A solver of DNS challenges, for the names whose zone the owner has said something about.

    Args:
        solver: Makes the record.
        domain: Of the edge; custom hostnames have zones of their own.
    """

    def __init__(self, solver: Solver, domain: str) -> None:
        self._solver = solver
        self._domain = domain
        self.kind = solver.kind

    async def present(self, name: str, value: str) -> None:
        """See :class:`.certificates.acme.Solver`."""
        if name != self._domain and not name.endswith(f".{self._domain}"):
            raise SolverError(f"{name} is not below {self._domain}, whose DNS the edge can change")
        await self._solver.present(name, value)

    async def clear(self, name: str, value: str) -> None:
        """See :class:`.certificates.acme.Solver`."""
        await self._solver.clear(name, value)


class _Unavailable:
    """Stands for a solver of DNS challenges that cannot be used, so that failures say why.

    Args:
        sentence: Why, and what to do.
    """

    kind = "dns-01"

    def __init__(self, sentence: str) -> None:
        self._sentence = sentence

    async def present(self, name: str, value: str) -> None:
        """See :class:`.certificates.acme.Solver`; it never can."""
        raise SolverError(self._sentence)

    async def clear(self, name: str, value: str) -> None:
        """See :class:`.certificates.acme.Solver`; nothing was shown."""


def is_wildcard_missing(config: EdgeConfig, state: AcmeState) -> bool:
    """Whether single names have to be ordered: the wildcard fails, and there is none for long."""
    names = _wildcard(config)
    record = state.certificates.get(names)
    is_ending = record is None or record.not_after < time.time() + FALLBACK
    return is_ending and names in state.failures


def wanted_certificates(
    config: EdgeConfig, snapshot: Snapshot, *, has_wildcard: bool = True
) -> list[tuple[str, ...]]:
    """Return the names of each certificate that an edge should have, each in its one form.

    Only registered names, and the dashboard's: nobody makes an edge order by asking for one. One
    for the domain and all below it where a wildcard can be proved; one certificate a name would
    publish each of them in the logs of certificate transparency, and CAs bound them a week.

    Args:
        config: The edge's settings.
        snapshot: Its tokens.
        has_wildcard: False when the wildcard could not be got: all names are wanted alone, too.
    """
    domain, has_wildcards = config.domain, config.acme.dns != "none"
    wanted: list[tuple[str, ...]] = [_wildcard(config)] if has_wildcards else []
    covered = {domain, f"*.{domain}"} if has_wildcards and has_wildcard else set()
    if not covered:
        wanted.append((domain,))
        covered.add(domain)
    names = [name for name in snapshot.owners if name not in _end_to_end(snapshot)]
    if config.dashboard.hostname is not None:
        names.append(config.dashboard.hostname)
    for name in sorted(names, key=lambda one: not one.startswith("*.")):
        if name in covered or wildcard_of(name) in covered:
            continue
        if name.startswith("*.") and not has_wildcards:
            continue
        covered.add(name)
        wanted.append((name,))
    wanted += [(str(ipaddress.ip_address(address)),) for address in config.acme.addresses]
    return wanted


def _wildcard(config: EdgeConfig) -> tuple[str, ...]:
    """The names of the one certificate for the domain and all below it."""
    return (f"*.{config.domain}", config.domain)


def _end_to_end(snapshot: Snapshot) -> set[str]:
    """Hostnames whose certificate the app has."""
    return _flatten(getattr(record, "end_to_end", ()) for record in snapshot.tokens.values())


def _flatten(lists: Iterable[Iterable[str]]) -> set[str]:
    return {name for names in lists for name in names}
