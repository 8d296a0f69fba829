"""A parent process that does nothing but pass on what workers say; see ``ParentWorld``.

Standard input is a channel: it brings the other ends of workers' channels, and says who has ended.
"""

from __future__ import annotations

import socket
import sys
import time

from asgi_tunnel_edge.channel import Channel, Message
from asgi_tunnel_edge.parent.hub import Hub
from asgi_tunnel_edge.parent.loop import Loop
from asgi_tunnel_edge.parent.worker import State, Worker


class Program:
    """Waits for work until its channel is closed."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._loop = Loop()
        self._hub = Hub(self._loop)
        self._workers: dict[int, Worker] = {}
        self._is_over = False

    def run(self) -> None:
        """See the module."""
        self._loop.watch(self._channel.fileno(), self._on_channel)
        while not self._is_over:
            self._loop.turn()

    def _on_channel(self) -> None:
        messages = self._channel.receive()
        self._is_over = messages is None
        for message in messages or ():
            self._on_message(message)

    def _on_message(self, message: Message) -> None:
        number = int(message["number"])
        if message["type"] == "worker":
            self._workers[number] = Worker.resumed(
                self._loop,
                {
                    "generation": 1,
                    "place": 0,
                    "pid": number,
                    "started": time.monotonic(),
                    "state": State.SERVING.name,
                    "ready": {},
                    "next": 0,
                    "channel": self._channel.take_descriptors(1)[0],
                },
                on_message=self._hub.on_message,
                on_end=lambda worker, _: self._hub.on_end(worker),
            )
        elif message["type"] == "ended":
            self._workers.pop(number).ended(-9)
        elif message["type"] == "renewed":  # as by `asgi-tunnel-edge upgrade`
            record = self._hub.record
            self._hub = Hub(self._loop)
            for worker in self._workers.values():
                worker._on_message = self._hub.on_message
                worker._on_end = lambda worker, _: self._hub.on_end(worker)
            self._hub.resume(record, self._workers.values())


if __name__ == "__main__":
    Program(Channel(socket.socket(fileno=sys.stdin.fileno()))).run()
