"""Hostnames: one spelling for each, everywhere.

Tokens, settings and visitors' Host fields go through the same function, so that what a token may
serve and what a visitor asks for are compared as equal bytes (T28). A name is ASCII, lower-case,
without a final dot and without a port. Non-ASCII names are written in their ``xn--`` form.

It leaves to the fronts what to reply, and to the directory which token has a name.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from .errors import HostnameError

__all__ = ["host_from_header", "is_address", "is_valid_host", "normalise_hostname", "wildcard_of"]

#: Characters of a name and of a label, from RFC 1035 section 2.3.4.
MAX_HOSTNAME_LENGTH: Final = 253
MAX_LABEL_LENGTH: Final = 63

_LABELS: Final = re.compile(r"[a-z0-9._-]*")
# What browsers and getaddrinfo take for an IPv4 address: a last label that is a number
# (127.1, 2130706433, 0x7f000001). https://url.spec.whatwg.org/#ends-in-a-number-checker
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")

# RFC 3986 section 3.2.2: IPvFuture (group 1), IPv6, or a reg-name; and what stands behind it.
_RFC_HOST: Final = re.compile(
    rb"(?:(\[[vV][0-9A-Fa-f]+\.[A-Za-z0-9\-._~!$&'()*+,;=:]+\])|\[[0-9A-Fa-f:.]+\]"
    rb"|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})+)((?::[0-9]*)?)"
).fullmatch

#: Entries. A visitor chooses the key, so it is bounded; an entry holds some 300 bytes.
_CACHE_SIZE: Final = 4096
_cache: dict[bytes, str] = {}


def normalise_hostname(text: str, *, wildcard: bool = False) -> str:
    """Give a hostname its one spelling.

    ``Shop.Example.org.:8443`` becomes ``shop.example.org``.

    Args:
        text: A name, perhaps with a port, as a person or a visitor wrote it.
        wildcard: Allow ``*.`` in front. Only tokens have wildcards.

    Raises:
        HostnameError: It is no name: empty, too long, an IP address, other characters.
    """
    name, why = _read(text, wildcard=wildcard)
    if why is not None:
        raise HostnameError(text, why)
    return name


def host_from_header(raw: bytes) -> str | None:
    """The hostname in a Host field, on the hot path (0.1 us when seen before).

    Args:
        raw: The field's value as it came, without white space around it.

    Returns:
        The normal name, or None where there is none: malformed, or an address (``is_address``
        tells the two apart).
    """
    name = _cache.get(raw)
    if name is not None:
        return name
    try:
        text = raw.decode("ascii")
    except UnicodeDecodeError:
        return None
    name, why = _read(text, wildcard=False)
    if why is not None:
        return None  # not kept: bad names are rare, and cheap to refuse again
    if len(_cache) >= _CACHE_SIZE:
        _cache.clear()  # a flood of made-up names costs a refill, 2 us a name
    _cache[raw] = name
    return name


def is_address(raw: bytes) -> bool:
    """Is the value of a Host field a well-formed IP address, perhaps with a port?

    ``host_from_header`` gives None for these: no token serves them, but the request is not
    malformed either (T27: 404 rather than 400).
    """
    try:
        text = raw.decode("ascii")
    except UnicodeDecodeError:
        return False
    host, port = text, ""
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        if not bracket or "%" in host:
            return False
        version = 6
    else:
        host, colon, port = text.partition(":")
        port = colon + port
        version = 4
    if not _is_port(port):
        return False
    try:
        return ipaddress.ip_address(host).version == version
    except ValueError:
        return False


def is_valid_host(raw: bytes) -> bool:
    """Is the value of a Host field valid by RFC 3986 section 3.2.2, whatever can be registered?

    Asked for what is no name: nobody serves it, and it is not malformed either (404, not 400).
    """
    match = _RFC_HOST(raw)
    if match is None or not _is_port(match[2].decode("ascii")):
        return False
    if raw[:1] == b"[":
        return match[1] is not None or is_address(raw)
    host = raw.partition(b":")[0].removesuffix(b".")  # DNS has rules too: no name breaks them
    labels = host.split(b".")
    return (
        len(host) <= MAX_HOSTNAME_LENGTH
        and labels[0] != b"*"
        and all(0 < len(label) <= MAX_LABEL_LENGTH for label in labels)
    )


def wildcard_of(name: str) -> str | None:
    """The wildcard that covers a normal name: ``*.example.org`` for ``shop.example.org``.

    One label deep, as in certificates. None for a name of one label.
    """
    _, dot, rest = name.partition(".")
    return f"*.{rest}" if dot else None


def _is_port(text: str) -> bool:
    """Is this empty, or a colon and a port? An empty port is valid (RFC 3986 section 3.2.3)."""
    if not text:
        return True
    digits = text[1:]
    if text[0] != ":" or not (digits.isascii() and (digits or "0").isdigit()):
        return False
    digits = digits.lstrip("0")  # any number of zeros is valid in front
    return len(digits) <= 5 and int(digits or "0") <= 65535


def _read(text: str, *, wildcard: bool) -> tuple[str, str | None]:
    """The normal name and None, or the text and the rule it breaks."""
    if not text:
        return text, "is empty"
    if not text.isascii():
        return text, "has characters outside ASCII (write them in their xn-- form)"
    if text[0] == "[":
        return text, "is an IP address"
    host, colon, port = text.partition(":")
    if not _is_port(colon + port):
        return text, "has something else than a port behind the colon"
    name = host.lower().removesuffix(".")
    labels = name
    if wildcard and name.startswith("*."):
        labels = name[2:]
    elif "*" in name:
        if wildcard:
            return text, "has a * elsewhere than as its whole first label"
        return text, "has a *, which only a token's hostname may have"
    return name, _broken_rule(labels, length=len(name))


def _broken_rule(name: str, *, length: int) -> str | None:
    """The rule that a lower-case name without port breaks."""
    if length > MAX_HOSTNAME_LENGTH:
        return f"is longer than {MAX_HOSTNAME_LENGTH} characters"
    if not _LABELS.fullmatch(name):
        return "has characters other than letters, digits, hyphens, underscores and dots"
    labels = name.split(".")
    for label in labels:
        if not label:
            return "has an empty label (two dots in a row, or a dot in front)"
        if len(label) > MAX_LABEL_LENGTH:
            return f"has a label longer than {MAX_LABEL_LENGTH} characters"
        if label[0] == "-" or label[-1] == "-":
            return "has a label that begins or ends with a hyphen"
    if _NUMBER.fullmatch(labels[-1]):
        return "is an IP address"
    return None
