"""What will be wrong with a certificate for those who check it: its times and its names.

It leaves to ``files`` whether a certificate and its key can be used at all. Called by ``server`` at
the start and once a day.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from cryptography import x509

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["expiry_of", "names_of", "validity_warnings"]

EXPIRES_SOON: Final = dt.timedelta(days=14)
"""Those who renew certificates by themselves do it a month before the end of 90 days. One that
lives shorter is named in the last third of its life."""

_SHOWN: Final = 3  # names in one line
_REMEMBERED: Final = 256  # certificates whose expiry is asked for again and again


def validity_warnings(pem: bytes, hostnames: Sequence[str], now: dt.datetime) -> list[str]:
    """Return a sentence for each thing that is wrong with the first certificate.

    Args:
        pem: One or more PEM certificates.
        hostnames: Normal hostnames and wildcards that it should be for; empty: not looked at.
        now: With a time zone.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        names = names_of(certificate)
    except (ValueError, x509.DuplicateExtension) as error:  # OpenSSL takes more than this library
        return [f"cannot be looked at for its times and names ({error})"]
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    found = []
    if now < begin:
        found.append(f"is not valid before {_time(begin)}; is this machine's clock right?")
    if now >= end:
        found.append(f"expired on {_time(end)}: visitors and apps refuse it; renew it")
    elif end - now <= min(EXPIRES_SOON, (end - begin) / 3):
        found.append(f"expires on {_time(end)}: renew it before that")
    missing = [name for name in hostnames if not _is_for(name, names)]
    if missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        has = ", ".join(sorted(names)[:_SHOWN]) or "no name"
        found.append(
            f"is not for {', '.join(missing[:_SHOWN])}{more}, which visitors or apps dial (it is "
            f"for {has}): they refuse it; get one for these names"
        )
    return found


def names_of(certificate: x509.Certificate) -> set[str]:
    """Return the hostnames, wildcards and addresses that a certificate is for.

    Raises:
        ValueError: Its list of names is malformed.
        x509.DuplicateExtension: It has two.
    """
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    names = {name.lower() for name in found.get_values_for_type(x509.DNSName)}
    return names | {str(one) for one in found.get_values_for_type(x509.IPAddress)}


@lru_cache(maxsize=_REMEMBERED)
def expiry_of(pem: bytes) -> tuple[tuple[str, ...], float] | None:
    """Return what the first certificate is for, and when it expires in seconds since 1970.

    Args:
        pem: One or more PEM certificates.

    Returns:
        Its names, sorted; None where it cannot be read.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        names = names_of(certificate)
    except (ValueError, x509.DuplicateExtension):
        return None
    return tuple(sorted(names)), certificate.not_valid_after_utc.timestamp()


def _is_for(hostname: str, names: set[str]) -> bool:
    """Whether a hostname is among names (RFC 9525 section 6.3): a wildcard is for one label."""
    if hostname in names:
        return True
    try:
        ipaddress.ip_address(hostname)
    except ValueError:
        _, dot, above = hostname.partition(".")
        return bool(dot) and f"*.{above}" in names
    return False


def _time(when: dt.datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
