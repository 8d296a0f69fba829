"""``metrics``: the numbers of one serving process, as its Prometheus reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .live import LiveEdge

__all__ = ["answer"]

MAX_CHARACTERS: Final = 400_000
"""Of a reply: in JSON, escaped, it fits into one message to the parent (1 MiB). A hundred hostnames
of usual length are 250,000."""

_OFF: Final = (
    'metrics are off: write listen = "127.0.0.1:9180" under [metrics] in edge.toml, and '
    "`asgi-tunnel-edge reload`"
)
_TOO_LONG: Final = (
    "there is more than the control socket carries; read it at the address of [metrics]"
)


async def answer(edge: LiveEdge, request: dict[str, Any]) -> dict[str, Any]:
    """Return ``text``; or ``metrics``, where the request's ``form`` is "json"."""
    exposition = edge.exposition
    if exposition is None:
        return {"ok": False, "error": _OFF}
    if request.get("form") != "json":
        text = (await exposition.text())[0].decode()
        if len(text) > MAX_CHARACTERS:
            return {"ok": False, "error": _TOO_LONG}
        return {"text": text}
    from ..metrics.exposition import as_json  # there is one, so it was imported before

    metrics = as_json(await exposition.read())
    if sum(len(str(one)) for one in metrics) > MAX_CHARACTERS:
        return {"ok": False, "error": _TOO_LONG}
    return {"metrics": metrics}
