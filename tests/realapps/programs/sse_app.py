"""sse-starlette."""

from __future__ import annotations

from typing import Any

from tests.realapps.visit import Program, Visit


def create() -> Any:
    """Return the app."""
    import asyncio

    from sse_starlette import EventSourceResponse, ServerSentEvent
    from starlette.applications import Starlette
    from starlette.responses import HTMLResponse, PlainTextResponse
    from starlette.routing import Route

    gone: list[str] = []

    async def events(request: Any) -> Any:
        start = int(request.headers.get("last-event-id", "0"))

        async def produce() -> Any:
            try:
                for number in range(start, start + 5):
                    yield ServerSentEvent(f"é {number}", event="count", id=str(number))
                if "for-ever" in request.query_params:
                    await asyncio.sleep(3600)
            finally:
                gone.append(request.url.path)

        return EventSourceResponse(produce(), ping=1)

    async def page(request: Any) -> Any:
        return HTMLResponse(
            "<p id=seen></p><script>"
            "const source = new EventSource('/events?for-ever');"
            "source.addEventListener('count', event => seen.textContent += event.data + ',');"
            "</script>"
        )

    async def ended(request: Any) -> Any:
        return PlainTextResponse(str(len(gone)))

    return Starlette(routes=[Route("/events", events), Route("/", page), Route("/ended", ended)])


def job(visit: Visit) -> None:
    """Read a stream to its end, resume one, and leave one in the middle."""
    import time

    visit.curl("stream", "/events", "-N")
    visit.curl("resumed", "/events", "-N", "-H", "Last-Event-ID: 7")
    with visit.httpx() as client:
        with client.stream("GET", "/events?for-ever") as response:
            lines = []
            for line in response.iter_lines():
                lines.append(line)
                if line.startswith(": ping"):
                    break
        visit.note("left after a ping", events=[line for line in lines if "data" in line])
        deadline = time.monotonic() + 20
        while client.get("/ended").text != "3" and time.monotonic() < deadline:
            time.sleep(0.1)
        visit.note("the app saw each end", count=client.get("/ended").text)


def job_in_browser(visit: Visit) -> None:
    """Let a page read the stream with EventSource."""
    with visit.browser() as page:
        page.goto(visit.base)
        page.wait_for_function("seen.textContent.includes('4')")
        visit.note("page", text=page.inner_text("#seen"))


PROGRAMS = [
    Program(
        name="sse-starlette",
        module="sse_app",
        distribution="sse-starlette",
        does="a stream read to its end, resumed, and left in the middle",
        visitors="curl, httpx",
        job=job,
        quick=True,
    ),
    Program(
        name="sse-starlette in a browser",
        module="sse_app",
        distribution="sse-starlette",
        does="EventSource",
        visitors="Chromium",
        job=job_in_browser,
        needs=("chromium",),
    ),
]
