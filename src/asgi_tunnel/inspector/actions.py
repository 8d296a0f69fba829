"""What the inspector's interface does with recorded exchanges: export, import, compare, replay.

:class:`.app.InspectorApp` asks for what it does not serve itself. Everything that comes in is
checked before anything is done.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from .app import read_json
from .curl import curl_command
from .diff import diff
from .edits import Edits
from .har import make_har
from .har_reader import read_har
from .query import MAX_NUMBER, read_query
from .recorded import Detail
from .replay import replay
from .reply import RefusedError, Reply, json_reply
from .testcase import make_test
from .view import View

__all__ = ["MAX_EXPORT", "MAX_EXPORTED", "Actions"]

MAX_EXPORT: Final = 8 * 1024 * 1024
"""Bytes of a HAR in one reply: the app waits while it is written, a tenth of a second."""

MAX_EXPORTED: Final = 500
"""Exchanges in one reply."""

_HAR_KIND: Final = "application/json"
_TEXT_KIND: Final = "text/plain; charset=utf-8"
_PYTHON_KIND: Final = "text/x-python; charset=utf-8"
_NONE: Final[frozenset[str]] = frozenset()


class Actions:
    """Serves requests of the interface; an :class:`.app.Act`.

    Args:
        app: Returns ``module:attribute`` of the app, for tests that import it.
    """

    def __init__(self, app: Callable[[], str]) -> None:
        self._app = app

    async def __call__(
        self, method: str, path: str, query: bytes, body: bytes, recorder: View, *, may_write: bool
    ) -> Reply | None:
        """Serve a request; None: there is nothing of that name.

        Raises:
            RefusedError: It cannot be served; the sentence says why.

        Cancelling it ends no call of the app, and an import is left where it is.
        """
        match method, path.split("/")[1:]:
            case "GET", ["har"]:
                return _export(recorder, query)
            case "POST", ["har"]:
                _check(query, may_write=may_write)
                return await _import(recorder, body)
            case "GET", ["diff"]:
                values = read_query(query, frozenset({"a", "b"}))
                pair = [_find(recorder, values.get(one, "")) for one in "ab"]
                return json_reply(diff(*pair))
            case "POST", ["exchanges", name, "replay"]:
                _check(query, may_write=may_write)
                edits = Edits.from_json(read_json(body) if body else {})
                return json_reply(await replay(_find(recorder, name), edits, recorder), status=201)
            case "GET", ["exchanges", name, ("curl" | "test" | "har") as what]:
                read_query(query, _NONE)
                return self._one(_find(recorder, name), what)
            case _:
                return None

    def _one(self, detail: Detail, what: str) -> Reply:
        if what == "har":
            return _har([detail])
        if what == "curl":
            return Reply(200, curl_command(detail).encode("utf-8", "replace"), _TEXT_KIND)
        source = make_test(detail, self._app()).source
        return Reply(200, source.encode("utf-8", "replace"), _PYTHON_KIND)


def _find(recorder: View, name: str) -> dict[str, Any]:
    found = recorder.detail(name)
    if found is None:
        raise RefusedError(
            404, "there is no exchange of this id, or it has given way to newer ones"
        )
    return found


def _check(query: bytes, *, may_write: bool) -> None:
    read_query(query, _NONE)
    if not may_write:
        raise RefusedError(403, "you may look, and not change anything")


def _export(recorder: View, query: bytes) -> Reply:
    """Return a HAR of the ids that are named, or of all."""
    names = read_query(query, frozenset({"ids"})).get("ids", "")
    if names:
        return _har([_find(recorder, one) for one in dict.fromkeys(names.split(","))])
    found: list[Detail] = []
    for one in recorder.newest(MAX_NUMBER):
        if len(found) == MAX_EXPORTED:
            raise RefusedError(
                413, f"there are more than {MAX_EXPORTED} exchanges; name some of them by ids"
            )
        found.append(_find(recorder, one["id"]))
    return _har(found)


def _har(details: Sequence[Detail]) -> Reply:
    size = 0
    for one in details:
        size += sum(_size(one[part]) for part in ("request", "response"))
        size += sum(int(message["kept"]) for message in one["exchange_messages"])
        if size > MAX_EXPORT:
            raise RefusedError(
                413,
                f"these exchanges hold more than {MAX_EXPORT} bytes; ask for fewer at a time by "
                "ids",
            )
    content = json.dumps(make_har(details), ensure_ascii=False).encode("utf-8", "replace")
    return Reply(200, content, _HAR_KIND)


def _size(part: Any) -> int:
    body = (part or {}).get("body") or {}
    return len(body.get("text") or body.get("base64") or "")


async def _import(recorder: View, body: bytes) -> Reply:
    """Keep the exchanges of a HAR, the last one as the newest."""
    ids = []
    # In a thread, as large files take a while; the app is served meanwhile.
    for one in await asyncio.to_thread(read_har, body):
        ids.append(recorder.add(one))
        await asyncio.sleep(0)  # each is searched for secrets
    return json_reply({"ids": ids}, status=201)
