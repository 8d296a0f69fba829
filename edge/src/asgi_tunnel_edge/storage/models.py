"""The tables. The migrations make them; a test compares the two."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, ForeignKey, Integer, LargeBinary, String, false
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from .acting import actor

__all__ = [
    "AccessInvitation",
    "AccessLink",
    "AccessPasskey",
    "AccessServiceToken",
    "AccessSession",
    "AccessUser",
    "AcmeAccount",
    "AcmeAttempt",
    "AcmeCertificate",
    "AcmeFailure",
    "AcmeLease",
    "AcmeOrder",
    "Audit",
    "Ban",
    "Base",
    "ClusterNode",
    "ClusterSecret",
    "Hostname",
    "Maintenance",
    "Meta",
    "OAuthGrant",
    "ScannerBanRow",
    "Token",
]


class Base(DeclarativeBase):
    """The root of the models. Times are whole seconds since 1970, UTC."""


class Token(Base):
    """One token. Rows stay after a revocation: the edge then says why it refuses."""

    __tablename__ = "tokens"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), index=True)
    secret_sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int | None] = mapped_column(BigInteger)
    revoked_at: Mapped[int | None] = mapped_column(BigInteger)
    # The secret before the last rotation, and until when it is taken.
    old_secret_sha256: Mapped[str | None] = mapped_column(String(64))
    old_until: Mapped[int | None] = mapped_column(BigInteger)
    # Written by a running edge, for all tokens together, once a minute.
    last_used_at: Mapped[int | None] = mapped_column(BigInteger)
    # A user of this edge, who sees it in the dashboard; empty: operators alone.
    owner: Mapped[str] = mapped_column(String(63), server_default="", index=True)
    # Quotas; NULL: as for every other token. The names are those of ``quotas.TokenQuotas``.
    max_tunnels: Mapped[int | None] = mapped_column(BigInteger)
    max_pending: Mapped[int | None] = mapped_column(BigInteger)
    max_memory: Mapped[int | None] = mapped_column(BigInteger)
    max_visitors: Mapped[int | None] = mapped_column(BigInteger)
    max_frames: Mapped[int | None] = mapped_column(BigInteger)
    hostnames: Mapped[list[Hostname]] = relationship(
        back_populates="token", cascade="all, delete-orphan", lazy="selectin"
    )


class Hostname(Base):
    """One hostname and the token that has it: a primary key, so that no two tokens can."""

    __tablename__ = "hostnames"

    hostname: Mapped[str] = mapped_column(String(255), primary_key=True)
    token_id: Mapped[str] = mapped_column(ForeignKey("tokens.id", ondelete="CASCADE"), index=True)
    end_to_end: Mapped[bool] = mapped_column(Boolean, server_default=false())
    token: Mapped[Token] = relationship(back_populates="hostnames")


class Maintenance(Base):
    """A hostname that is closed for visitors; its row goes with the hostname's."""

    __tablename__ = "maintenance"

    hostname: Mapped[str] = mapped_column(
        ForeignKey("hostnames.hostname", ondelete="CASCADE"), primary_key=True
    )
    since: Mapped[int] = mapped_column(BigInteger)
    message: Mapped[str] = mapped_column(String(300))
    until: Mapped[int | None] = mapped_column(BigInteger)
    allow: Mapped[str] = mapped_column(String)  # networks, with a space between two


class Ban(Base):
    """One banned address or network. Rows of bans that are over go with the next change."""

    __tablename__ = "bans"

    address: Mapped[str] = mapped_column(String(64), primary_key=True)
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int | None] = mapped_column(BigInteger)
    reason: Mapped[str] = mapped_column(String(200))


class ScannerBanRow(Base):
    """An address that the scanner guard has banned from the hostnames of one owner, for a while."""

    __tablename__ = "scanner_bans"

    address: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64), primary_key=True)
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[str] = mapped_column(String(200))


class AcmeAccount(Base):
    """The account with one CA, known by the URL of its directory. ``key`` is encrypted."""

    __tablename__ = "acme_accounts"

    directory: Mapped[str] = mapped_column(String(2048), primary_key=True)
    url: Mapped[str | None] = mapped_column(String(2048))
    key: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[int] = mapped_column(BigInteger)


class AcmeExternalAccount(Base):
    """What a CA gave to its customer, to make an account with (RFC 8555 section 7.3.4)."""

    __tablename__ = "acme_external_accounts"

    directory: Mapped[str] = mapped_column(String(2048), primary_key=True)
    key_id: Mapped[str] = mapped_column(String(1024))
    key: Mapped[bytes] = mapped_column(LargeBinary)  # encrypted


class AcmeCertificate(Base):
    """The newest certificate for some names, which are sorted, with a space between two."""

    __tablename__ = "acme_certificates"

    directory: Mapped[str] = mapped_column(String(2048), primary_key=True)
    names: Mapped[str] = mapped_column(String, primary_key=True)
    chain: Mapped[bytes] = mapped_column(LargeBinary)
    key: Mapped[bytes] = mapped_column(LargeBinary)  # encrypted
    not_before: Mapped[int] = mapped_column(BigInteger)
    not_after: Mapped[int] = mapped_column(BigInteger)
    ari_id: Mapped[str | None] = mapped_column(String(255))
    profile: Mapped[str | None] = mapped_column(String(255))
    serial: Mapped[str] = mapped_column(String(64))
    issuer: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[int] = mapped_column(BigInteger)
    renew_at: Mapped[int] = mapped_column(BigInteger)
    ari_at: Mapped[int] = mapped_column(BigInteger)


class AcmeOrder(Base):
    """An order in progress."""

    __tablename__ = "acme_orders"

    directory: Mapped[str] = mapped_column(String(2048), primary_key=True)
    names: Mapped[str] = mapped_column(String, primary_key=True)
    url: Mapped[str] = mapped_column(String(2048))
    key: Mapped[bytes] = mapped_column(LargeBinary)  # encrypted
    profile: Mapped[str | None] = mapped_column(String(255))
    created_at: Mapped[int] = mapped_column(BigInteger)


class AcmeFailure(Base):
    """Failures for some names since the last success."""

    __tablename__ = "acme_failures"

    directory: Mapped[str] = mapped_column(String(2048), primary_key=True)
    names: Mapped[str] = mapped_column(String, primary_key=True)
    kind: Mapped[str] = mapped_column(String(64))
    count: Mapped[int] = mapped_column(Integer)
    failed_at: Mapped[int] = mapped_column(BigInteger)
    retry_at: Mapped[int] = mapped_column(BigInteger)
    reported_at: Mapped[int] = mapped_column(BigInteger)
    sentence: Mapped[str] = mapped_column(String)


class AcmeAttempt(Base):
    """An order that was begun, or one that failed: what caps count."""

    __tablename__ = "acme_attempts"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    directory: Mapped[str] = mapped_column(String(2048))
    at: Mapped[int] = mapped_column(BigInteger, index=True)
    failed: Mapped[bool] = mapped_column(Boolean)


class AcmeLease(Base):
    """Who orders from a CA now: one process at a time."""

    __tablename__ = "acme_leases"

    directory: Mapped[str] = mapped_column(String(2048), primary_key=True)
    holder: Mapped[str] = mapped_column(String(64))
    expires_at: Mapped[int] = mapped_column(BigInteger)


class AccessUser(Base):
    """Somebody who may log in at doors of this edge."""

    __tablename__ = "access_users"

    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    email: Mapped[str] = mapped_column(String(254))
    groups: Mapped[str] = mapped_column(String)  # with a space between two
    password: Mapped[str | None] = mapped_column(String(255))  # hashed; NULL: no password
    created_at: Mapped[int] = mapped_column(BigInteger)
    disabled_at: Mapped[int | None] = mapped_column(BigInteger)
    epoch: Mapped[int] = mapped_column(BigInteger().with_variant(Integer(), "sqlite"))


class AccessPasskey(Base):
    """One passkey of a user: what WebAuthn calls a credential. Its row goes with the user's."""

    __tablename__ = "access_passkeys"

    id: Mapped[str] = mapped_column(String(1400), primary_key=True)  # base64url
    user: Mapped[str] = mapped_column(
        ForeignKey("access_users.name", ondelete="CASCADE"), index=True
    )
    hostname: Mapped[str] = mapped_column(String(255))  # the relying party's id
    public_key: Mapped[bytes] = mapped_column(LargeBinary)  # COSE
    sign_count: Mapped[int] = mapped_column(BigInteger)
    label: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[int] = mapped_column(BigInteger)
    last_used_at: Mapped[int | None] = mapped_column(BigInteger)


class AccessInvitation(Base):
    """A link with which a user sets a password or makes a passkey, once."""

    __tablename__ = "access_invitations"

    secret_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    user: Mapped[str] = mapped_column(
        ForeignKey("access_users.name", ondelete="CASCADE"), index=True
    )
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)
    used_at: Mapped[int | None] = mapped_column(BigInteger)


class AccessSession(Base):
    """One login. Rows of sessions that are over go with the next login."""

    __tablename__ = "access_sessions"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    subject: Mapped[str] = mapped_column(String(512), index=True)
    name: Mapped[str] = mapped_column(String(255))
    hostname: Mapped[str] = mapped_column(String(255))
    method: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger, index=True)
    address: Mapped[str] = mapped_column(String(64))
    agent: Mapped[str] = mapped_column(String(200))
    revoked_at: Mapped[int | None] = mapped_column(BigInteger)


class AccessServiceToken(Base):
    """One service token. Rows stay after a revocation."""

    __tablename__ = "access_service_tokens"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(63))
    secret_sha256: Mapped[str] = mapped_column(String(64))
    policies: Mapped[str] = mapped_column(String)  # with a space between two
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int | None] = mapped_column(BigInteger)
    revoked_at: Mapped[int | None] = mapped_column(BigInteger)


class AccessLink(Base):
    """One share link. Rows stay for a while after its end."""

    __tablename__ = "access_links"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    secret_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    hostname: Mapped[str] = mapped_column(String(255))
    path: Mapped[str] = mapped_column(String(2048))
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int | None] = mapped_column(BigInteger)
    revoked_at: Mapped[int | None] = mapped_column(BigInteger)
    max_uses: Mapped[int | None] = mapped_column(Integer)
    uses: Mapped[int] = mapped_column(Integer)
    note: Mapped[str] = mapped_column(String(100))


class OAuthGrant(Base):
    """What a program may do in the name of a visitor, at one resource."""

    __tablename__ = "oauth_grants"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)  # of its login, too
    client_id: Mapped[str] = mapped_column(String(1024))
    client_name: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(512), index=True)
    hostname: Mapped[str] = mapped_column(String(255))
    path: Mapped[str] = mapped_column(String(255))
    claims: Mapped[bytes] = mapped_column(LargeBinary)  # signed
    redirect: Mapped[str] = mapped_column(String(512))
    challenge: Mapped[str] = mapped_column(String(64))
    code_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    code_expires_at: Mapped[int] = mapped_column(BigInteger)
    code_used_at: Mapped[int | None] = mapped_column(BigInteger)
    refresh_sha256: Mapped[str | None] = mapped_column(String(64))  # NULL: the code was not used
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger, index=True)


class Audit(Base):
    """One change, when it was made, and by whom; the oldest rows go by themselves."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    at: Mapped[int] = mapped_column(BigInteger)
    by: Mapped[str] = mapped_column(String(255), default=actor, server_default="")
    action: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(255))
    detail: Mapped[str] = mapped_column(String)


class ClusterSecret(Base):
    """What all edges of a cluster need, each under its name; encrypted by who keeps it."""

    __tablename__ = "cluster_secrets"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[int] = mapped_column(BigInteger)


class ClusterNode(Base):
    """One edge that has joined, by its name in the certificate."""

    __tablename__ = "cluster_nodes"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    peer_address: Mapped[str] = mapped_column(String(255))
    certificate: Mapped[bytes] = mapped_column(LargeBinary)  # PEM; its key never leaves the edge
    joined_at: Mapped[int] = mapped_column(BigInteger)


class Meta(Base):
    """Numbers about the store itself; ``generation`` grows with each change."""

    __tablename__ = "meta"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)
