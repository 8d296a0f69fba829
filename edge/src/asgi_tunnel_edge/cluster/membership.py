"""How an edge becomes one of a cluster: the first one makes it, each other one joins.

An edge that joins has to get the key with which the edges' secrets are encrypted in the store. It
is in the store, too, encrypted with a secret that ``cluster init`` prints once: who has only the
database, or only the secret, has nothing. Used by the commands ``cluster init`` and ``join``.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import time
from typing import TYPE_CHECKING, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Struct

from ..certificates.internal import InternalCertificate, next_certificate
from ..errors import EdgeConfigError
from ..files import PRIVATE_DIRECTORY, write_atomically
from ..settings.config import CONFIG_FILE
from ..storage import Store
from ..storage.cluster import ClusterStore, NodeRecord
from ..storage.encryption import SecretBox
from .authority import Authority
from .folder import identity_path, save_identity

if TYPE_CHECKING:
    from pathlib import Path

    from ..settings.config import EdgeConfig

__all__ = ["init_cluster", "join_cluster"]

SECRET_SIZE: Final = 20
"""Bytes of the secret for joining, at random: 32 letters and digits to type."""

_AUTHORITY: Final = "authority"
_PARCEL: Final = "join"
_NONCE: Final = 12  # bytes


class _Parcel(Struct, frozen=True, kw_only=True):
    """What an edge gets when it joins."""

    store_key: bytes
    files: dict[str, bytes]  # the certificate that apps pin, if it is the edge's own


def init_cluster(config: EdgeConfig, *, new_authority: bool = False) -> str:
    """Make the cluster, or renew the secret for joining it.

    Args:
        config: Of this edge, which is its first one.
        new_authority: Make the authority anew, too: all edges have to join again.

    Returns:
        The secret, for a person to type.

    Raises:
        EdgeConfigError: The settings say nothing of a cluster, or name another edge; or the
            store has a cluster that this edge is not in.
        StorageError: The store cannot be used.
        OSError: A file cannot be written.
    """
    _check(config)
    Store(config.database).migrate()
    store, box = ClusterStore(config.database), SecretBox(config.acme_key_path)
    if not box.path.exists() and store.secret(_AUTHORITY) is not None:
        # A key of its own would be in the way when the edge joins.
        fix = f"let edge {config.node} join it: `asgi-tunnel-edge cluster join`"
        raise EdgeConfigError("store", "has a cluster already, of other edges", fix)
    _check_place(config, store)
    box.path.parent.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    box.create()
    fresh = box.seal(msgspec.json.encode(Authority.create()), purpose=_AUTHORITY)
    kept = store.keep_secret(_AUTHORITY, fresh, replace=new_authority)
    _become_member(config, store, _opened(box, kept))
    parcel = _Parcel(
        store_key=box.path.read_bytes(),
        files={name: path.read_bytes() for name, path in _files(config).items() if path.exists()},
    )
    secret = secrets.token_bytes(SECRET_SIZE)
    store.keep_secret(_PARCEL, _seal(secret, msgspec.json.encode(parcel)), replace=True)
    text = base64.b32encode(secret).decode()
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))


def join_cluster(config: EdgeConfig, secret: str) -> None:
    """Let this edge join the cluster whose store its settings name; may be repeated.

    Args:
        config: Of this edge.
        secret: What ``cluster init`` has printed.

    Raises:
        EdgeConfigError: The secret is another one, the folder belongs to another edge, or the
            settings have the name or the address of one.
        StorageError: The store cannot be used.
        OSError: A file cannot be written.
    """
    _check(config)
    Store(config.database).migrate()
    store, box = ClusterStore(config.database), SecretBox(config.acme_key_path)
    sealed, kept = store.secret(_PARCEL), store.secret(_AUTHORITY)
    if sealed is None or kept is None:
        fix = "run `asgi-tunnel-edge cluster init` on the first edge"
        raise EdgeConfigError("store", "has no cluster yet", fix)
    parcel = msgspec.json.decode(_open(secret, sealed), type=_Parcel)
    if box.path.exists() and box.path.read_bytes().strip() != parcel.store_key.strip():
        why = f"has a key of its own, {box.path}, and with it secrets that the cluster cannot read"
        raise EdgeConfigError("--data", why, "take a folder with nothing but its edge.toml")
    _check_place(config, store)
    box.path.parent.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    write_atomically(box.path, parcel.store_key)
    paths = _files(config)
    for name, content in parcel.files.items():
        if name in paths:
            write_atomically(paths[name], content)
    _become_member(config, store, _opened(box, kept))


def _check(config: EdgeConfig) -> None:
    if not config.is_cluster:
        fix = 'set bus = "postgresql://..." or "nats://...", node and peer_listen in edge.toml'
        raise EdgeConfigError("bus", "is not set: an edge without a bus is alone", fix)


def _check_place(config: EdgeConfig, store: ClusterStore) -> None:
    """Refuse the name and the address of another edge: whose edge.toml was copied, most likely."""
    address = _address(config)
    for one in store.nodes():
        if one.name == config.node and one.peer_address == address:
            continue  # a machine that is made anew, or a command that is repeated
        if one.name == config.node and not identity_path(config.data_dir).exists():
            why = f"is {one.name}, and that edge has joined, at {one.peer_address}"
            fix = f"choose another name, or first `asgi-tunnel-edge cluster rm {one.name}` there"
            raise EdgeConfigError("node", why, fix, file=CONFIG_FILE)
        if one.name != config.node and one.peer_address == address:
            setting = "peer_listen" if config.peer_address is None else "peer_address"
            why = f"is {address}, where edge {one.name} is"
            fix = f"write this edge's own, or first `asgi-tunnel-edge cluster rm {one.name}` there"
            raise EdgeConfigError(setting, why, fix, file=CONFIG_FILE)


def _address(config: EdgeConfig) -> str:
    return config.peer_address or config.peer_listen or ""


def _become_member(config: EdgeConfig, store: ClusterStore, authority: Authority) -> None:
    assert config.node is not None
    identity = authority.issue(config.node)
    save_identity(config.data_dir, identity)
    store.add_node(
        NodeRecord(
            name=config.node,
            peer_address=_address(config),
            certificate=identity.certificate,
            joined_at=int(time.time()),
        )
    )


def _files(config: EdgeConfig) -> dict[str, Path]:
    """The edge's own certificate, which is the same on all edges: tokens pin it."""
    if config.tls.mode != "internal":
        return {}
    shown = InternalCertificate(certificate=config.certificate_path, key=config.key_path)
    coming = next_certificate(shown)
    return {
        "certificate": shown.certificate,
        "key": shown.key,
        "next-certificate": coming.certificate,
        "next-key": coming.key,
    }


def _opened(box: SecretBox, sealed: bytes) -> Authority:
    return msgspec.json.decode(box.open(sealed, purpose=_AUTHORITY), type=Authority)


def _cipher(secret: bytes) -> AESGCM:
    derive = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"asgi-tunnel cluster join")
    return AESGCM(derive.derive(secret))


def _seal(secret: bytes, content: bytes) -> bytes:
    nonce = os.urandom(_NONCE)
    return nonce + _cipher(secret).encrypt(nonce, content, _PARCEL.encode())


def _open(secret: str, sealed: bytes) -> bytes:
    try:
        key = base64.b32decode(secret.replace("-", "").replace(" ", "").strip().upper())
        return _cipher(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], _PARCEL.encode())
    except (binascii.Error, InvalidTag, ValueError) as error:
        why = "is not the one that `cluster init` has printed last"
        fix = (
            "give it again, or run `asgi-tunnel-edge cluster init` on the first edge for a new one"
        )
        raise EdgeConfigError("the secret for joining", why, fix) from error
