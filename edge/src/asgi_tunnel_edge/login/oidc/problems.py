"""Why a login with a provider led to nothing: one sentence for the person, one for the log."""

from __future__ import annotations

__all__ = ["ProviderError", "unreachable"]


class ProviderError(Exception):
    """A provider did not do its part, or did it wrongly.

    Attributes:
        text: For the person: what happened and what to do. ``{label}`` stands for the provider.
        detail: For the log: the same for an operator. No token, code or secret is in it.
        status: Of the response.
    """

    def __init__(self, text: str, detail: str, *, status: int = 403) -> None:
        super().__init__(detail)
        self.text = text
        self.detail = detail
        self.status = status


def unreachable(detail: str) -> ProviderError:
    """Return what is said of a provider that gives no response that can be used."""
    text = "{label} cannot be reached right now. Try again in a minute, or log in another way."
    return ProviderError(text, detail, status=503)
