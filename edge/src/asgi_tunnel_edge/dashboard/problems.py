"""What is wrong with an edge now, in sentences for its operators: the top of the first page."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .context import DashboardContext

__all__ = ["Problem", "problems_of"]


class Problem(NamedTuple):
    """One of them."""

    sentence: str
    is_bad: bool  #: visitors notice it now; otherwise they will
    path: str = ""  #: of the page that says more


def problems_of(context: DashboardContext) -> list[Problem]:
    """Return what is wrong, the worst first."""
    found: list[Problem] = []
    edge = context.edge().context
    if edge.is_overloaded:
        found.append(Problem("No memory is left for new requests; they get 503.", is_bad=True))
    if context.watcher.is_failing:
        text = "The database cannot be read; new and revoked tokens have no effect."
        found.append(Problem(text, is_bad=True))
    certificates = context.certificates
    if certificates is not None:
        for names, why in certificates.failures.items():
            text = f"No new certificate for {', '.join(names)}: {why}."
            found.append(Problem(text, is_bad=False, path="/certificates"))
        for name, why in certificates.expiring().items():
            text = f"The certificate for {name} {why}."
            found.append(Problem(text, is_bad=False, path="/certificates"))
    return found
