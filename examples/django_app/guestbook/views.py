"""The pages: a synchronous view with a form; asynchronous JSON, pictures and event stream."""

import asyncio
from pathlib import Path
from typing import Final

from django.conf import settings
from django.contrib import messages
from django.db.models import Count, Max, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import aget_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from guestbook.forms import EntryForm
from guestbook.live import stream_entries
from guestbook.models import Entry
from guestbook.pictures import read_chunks, read_type

_PAGE_SIZE: Final = 50  # entries
_ID_DIGITS: Final = 18  # SQLite's integers have 63 bits


@require_http_methods(["GET", "HEAD", "POST"])
def index(request: HttpRequest) -> HttpResponse:
    """Show the newest entries and the form; a valid POST stores one and comes back here."""
    form = EntryForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, "Thank you, your entry is in the book.")
        return redirect("guestbook:index")
    before = _parse_id(request.GET.get("before"))
    # Asked before the entries are: one saved in between is then sent twice (the page knows its id)
    # instead of never.
    numbers = Entry.objects.aggregate(total=Count("pk"), last_id=Max("pk"))
    entries = list(_select_page(before))
    context = {
        "form": form,
        "entries": entries,
        "total": numbers["total"],
        "last_id": numbers["last_id"] or 0,
        "is_newest": before is None,
        "older": entries[-1].pk if len(entries) == _PAGE_SIZE else None,
        "picture_max_size": settings.PICTURE_MAX_SIZE,
        "address": f"{request.scheme}://{request.get_host()}",
        "visitor": request.META.get("REMOTE_ADDR", ""),
    }
    status = 422 if form.errors else 200
    return render(request, "guestbook/index.html", context, status=status)


@require_safe
async def stats(request: HttpRequest) -> JsonResponse:
    """Count entries, people and pictures; asynchronous down to the query."""
    numbers = await Entry.objects.aaggregate(
        entries=Count("pk"),
        people=Count("name", distinct=True),
        pictures=Count("pk", filter=~Q(picture="")),
        latest=Max("created_at"),
    )
    return JsonResponse(numbers)


@never_cache
@require_safe
async def events(request: HttpRequest) -> StreamingHttpResponse:
    """Stream new entries: those after `Last-Event-ID`, else after `?after=`, else from now on."""
    after = _parse_id(request.headers.get("last-event-id"))
    if after is None:
        after = _parse_id(request.GET.get("after"))
    if after is None:
        after = (await Entry.objects.aaggregate(last=Max("pk")))["last"] or 0
    return StreamingHttpResponse(stream_entries(after), content_type="text/event-stream")


@require_safe
async def picture(request: HttpRequest, entry_id: int) -> StreamingHttpResponse:
    """Send the picture of an entry, as what its bytes are."""
    entry = await aget_object_or_404(Entry, pk=entry_id)
    if not entry.picture:
        raise Http404("this entry has no picture")
    path = Path(entry.picture.path)
    try:
        media_type = await asyncio.to_thread(read_type, path)
    except FileNotFoundError as error:
        raise Http404("the picture is gone") from error
    if media_type is None:
        raise Http404("not a picture")
    headers = {
        "Content-Length": str(entry.picture.size),
        "Cache-Control": "public, max-age=86400",
        # The file came from a stranger: opened by itself it may load and run nothing.
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    return StreamingHttpResponse(read_chunks(path), content_type=media_type, headers=headers)


@never_cache
@require_safe
def whoami(request: HttpRequest) -> JsonResponse:
    """Show what the app knows about the visitor: all from the ASGI scope, none from a proxy."""
    return JsonResponse(
        {
            "client": request.META.get("REMOTE_ADDR"),
            "scheme": request.scheme,
            "host": request.get_host(),
            "secure": request.is_secure(),
        }
    )


def _select_page(before: int | None) -> "QuerySet[Entry]":
    """Return the newest entries, or those older than the id `before`."""
    entries = Entry.objects.all()
    if before is not None:
        entries = entries.filter(pk__lt=before)
    return entries[:_PAGE_SIZE]


def _parse_id(text: str | None) -> int | None:
    """Read an id that a visitor sent, None unless it is a number that the database can hold."""
    if text is None or not text.isdecimal() or len(text) > _ID_DIGITS:
        return None
    return int(text)
