"""The tables. The migrations make them; a test compares the two."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Integer, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

__all__ = ["Audit", "Ban", "Base", "Hostname", "Meta", "ScannerBanRow", "Token"]


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
    token: Mapped[Token] = relationship(back_populates="hostnames")


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


class Audit(Base):
    """One change and when it was made."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    at: Mapped[int] = mapped_column(BigInteger)
    action: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(255))
    detail: Mapped[str] = mapped_column(String)


class Meta(Base):
    """Numbers about the store itself; ``generation`` grows with each change."""

    __tablename__ = "meta"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)
