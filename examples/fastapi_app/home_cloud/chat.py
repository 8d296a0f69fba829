"""`/api/chat`: one room, nick names, and a history for those who come later."""

import asyncio
import time
from collections import deque
from typing import Annotated, Final

import anyio
from fastapi import APIRouter, Depends, Query, WebSocket, WebSocketDisconnect, status
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .events import Journal
from .origin import require_same_origin

HISTORY_LIMIT: Final = 50  # messages a newcomer sees
QUEUE_LIMIT: Final = 100  # messages that may wait for one slow visitor; above the history
NICK_LIMIT: Final = 32  # characters
TEXT_LIMIT: Final = 2000  # characters
CLOSE_TIMEOUT: Final = 1.0  # seconds granted to a close that the visitor may not read

router = APIRouter()


class Message(BaseModel):
    """What a visitor says."""

    model_config = ConfigDict(str_strip_whitespace=True)

    nick: str = Field(min_length=1, max_length=NICK_LIMIT)
    text: str = Field(min_length=1, max_length=TEXT_LIMIT)


class SentMessage(Message):
    """What everyone in the room gets."""

    time: float  # seconds since 1970


class Room:
    """Who is there and what was said last."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._history: deque[str] = deque(maxlen=HISTORY_LIMIT)
        self._members: set[_Member] = set()

    async def attend(self, websocket: WebSocket, *, nick: str) -> None:
        """Keep an accepted visitor in the room until either side leaves."""
        member = _Member(websocket)
        for text in self._history:
            member.offer(text)
        self._members.add(member)
        self._journal.add("joined", nick=nick)
        try:
            await member.run(self)
        finally:
            self._members.discard(member)
            self._journal.add("left", nick=nick)

    def say(self, message: Message) -> None:
        """Send a message to everyone, the speaker too."""
        sent = SentMessage(nick=message.nick, text=message.text, time=time.time())
        text = sent.model_dump_json()
        self._history.append(text)
        for member in self._members:
            member.offer(text)
        self._journal.add("message", nick=sent.nick, text=sent.text)

    def close(self) -> None:
        """Send everyone home: the app stops, and they may come back."""
        for member in self._members:
            member.dismiss(status.WS_1012_SERVICE_RESTART, "the app restarts")


class _Member:
    """One visitor: a reader, a writer, and a bounded queue between the room and the writer."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._queue: asyncio.Queue[str] = asyncio.Queue(QUEUE_LIMIT)
        self._tasks = anyio.CancelScope()
        self._farewell: tuple[int, str] | None = None

    def offer(self, text: str) -> None:
        """Queue a text; a visitor too slow to read is dismissed, so that nobody waits for it."""
        try:
            self._queue.put_nowait(text)
        except asyncio.QueueFull:
            self.dismiss(status.WS_1013_TRY_AGAIN_LATER, "too slow to follow the chat")

    def dismiss(self, code: int, reason: str) -> None:
        """End the visit with a close code and its reason."""
        self._farewell = (code, reason)
        self._tasks.cancel()

    async def run(self, room: Room) -> None:
        """Carry messages both ways until the visitor leaves or is dismissed."""
        with self._tasks:
            async with anyio.create_task_group() as group:
                group.start_soon(self._write)
                await self._read(room)
                group.cancel_scope.cancel()
        if self._farewell is not None:
            with anyio.move_on_after(CLOSE_TIMEOUT):
                await self._websocket.close(*self._farewell)

    async def _read(self, room: Room) -> None:
        while True:
            event = await self._websocket.receive()
            if event["type"] == "websocket.disconnect":
                return
            try:
                room.say(Message.model_validate_json(event.get("text") or ""))
            except ValidationError as error:
                self.offer(_Refusal(error=_explain(error)).model_dump_json())

    async def _write(self) -> None:
        try:
            while True:
                await self._websocket.send_text(await self._queue.get())
        except WebSocketDisconnect:
            return  # the reader hears of it too, and ends the visit


class _Refusal(BaseModel):
    """What a visitor gets whose message cannot be sent."""

    error: str


def _explain(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "message"
    return f"{field}: {first['msg']}"


@router.websocket("/api/chat", dependencies=[Depends(require_same_origin)])
async def join_chat(
    websocket: WebSocket, nick: Annotated[str, Query(max_length=NICK_LIMIT)] = "someone"
) -> None:
    """Join the room: the history first, then messages {"nick", "text", "time"} as they come."""
    room: Room = websocket.state.room
    await websocket.accept()
    await room.attend(websocket, nick=nick)
