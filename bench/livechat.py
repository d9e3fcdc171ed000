"""Visitors of a live chat: sockets that stay open, each of which has said something."""

import asyncio
import base64
import json
import os
import struct
import time

from servers import Server

# Kinds of frames: https://www.rfc-editor.org/rfc/rfc6455#section-5.2
TEXT, PING, PONG = 1, 9, 10


def hold(server: Server, inbox: str, count: int) -> list[float]:
    """Opens sockets, has each say something, and waits a little. Returns the server's memory meanwhile, in MB."""
    return asyncio.run(visit(server, inbox, count))


async def visit(server: Server, inbox: str, count: int) -> list[float]:
    memory = []
    visitors = []
    heard = time.monotonic()
    # A few at once: the point is how many are open.
    for start in range(0, count, 50):
        some = range(start, min(start + 50, count))
        visitors += await asyncio.gather(*(Visitor.come(server.port, inbox, number) for number in some))
        memory.append(server.memory())
        # On a slow machine the first ones would be silent for so long that they are closed.
        if time.monotonic() - heard > 20:
            await asyncio.gather(*(visitor.ping() for visitor in visitors))
            heard = time.monotonic()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        await asyncio.sleep(0.5)
        memory.append(server.memory())
    # All of them still answer.
    await asyncio.gather(*(visitor.ping() for visitor in visitors))
    memory.append(server.memory())
    for visitor in visitors:
        await visitor.leave()
    return memory


class Visitor:
    """One socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.heard: asyncio.Queue[dict | None] = asyncio.Queue()
        self.listening = asyncio.create_task(self.listen())

    @classmethod
    async def come(cls, port: int, inbox: str, number: int) -> "Visitor":
        # As through a proxy on this machine: each visitor has an address of its own.
        address = f"X-Forwarded-For: 10.0.{number // 250}.{number % 250 + 1}\r\n"
        token = await session(port, inbox, address)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        key = base64.b64encode(os.urandom(16)).decode()
        writer.write(
            f"GET /livechat/{inbox}/socket HTTP/1.1\r\nHost: localhost\r\n{address}Connection: Upgrade\r\n"
            f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 101 " not in head.splitlines()[0]:
            raise RuntimeError(f"no socket: {head!r}")
        visitor = cls(reader, writer)
        visitor.say({"type": "hello", "token": token})
        await visitor.hear("welcome")
        visitor.say({"type": "message", "client_id": "1", "text": f"Is it in stock? I am visitor {number}."})
        await visitor.hear("ack")
        return visitor

    async def ping(self) -> None:
        self.say({"type": "ping"})
        await self.hear("pong")

    def say(self, frame: dict) -> None:
        self.send(TEXT, json.dumps(frame).encode())

    def send(self, kind: int, content: bytes) -> None:
        # RFC 6455: a final frame. A client's frames are masked; a mask of zeros changes nothing.
        size = len(content)
        length = struct.pack("!B", 0x80 | size) if size < 126 else struct.pack("!BH", 0x80 | 126, size)
        self.writer.write(bytes([0x80 | kind]) + length + bytes(4) + content)

    async def hear(self, kind: str) -> None:
        """Waits for a frame of this type."""
        while (said := await self.heard.get()) is not None:
            if said["type"] == "error":
                raise RuntimeError(f"refused: {said}")
            if said["type"] == kind:
                return
        raise RuntimeError(f"the server closed a socket before a frame {kind}")

    async def listen(self) -> None:
        """Takes what the server sends, and answers its pings as a browser does."""
        try:
            while True:
                kind, length = await self.reader.readexactly(2)
                if length == 126:
                    (length,) = struct.unpack("!H", await self.reader.readexactly(2))
                content = await self.reader.readexactly(length)
                if kind & 0x0F == PING:
                    self.send(PONG, content)
                elif kind & 0x0F == TEXT:
                    self.heard.put_nowait(json.loads(content))
        except (asyncio.IncompleteReadError, ConnectionError):
            self.heard.put_nowait(None)

    async def leave(self) -> None:
        self.listening.cancel()
        self.writer.close()


async def session(port: int, inbox: str, address: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"POST /livechat/{inbox}/sessions HTTP/1.1\r\nHost: localhost\r\n{address}Content-Type: application/json\r\n"
        "Content-Length: 2\r\nConnection: close\r\n\r\n{}".encode()
    )
    answer = await reader.read()
    writer.close()
    return json.loads(answer.partition(b"\r\n\r\n")[2])["data"]["token"]
