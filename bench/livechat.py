"""Visitors of a live chat: sockets that stay open, each of which has said something."""

import asyncio
import base64
import json
import os
import struct
import time

from servers import Server


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
        visitor.writer.close()
    return memory


class Visitor:
    """One socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

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
        visitor.send({"type": "hello", "token": token})
        await visitor.hear("welcome")
        visitor.send({"type": "message", "client_id": "1", "text": f"Is it in stock? I am visitor {number}."})
        await visitor.hear("ack")
        return visitor

    async def ping(self) -> None:
        self.send({"type": "ping"})
        await self.hear("pong")

    def send(self, frame: dict) -> None:
        text = json.dumps(frame).encode()
        # RFC 6455: a final text frame. A client's frames are masked; a mask of zeros changes nothing.
        length = struct.pack("!B", 0x80 | len(text)) if len(text) < 126 else struct.pack("!BH", 0x80 | 126, len(text))
        self.writer.write(b"\x81" + length + bytes(4) + text)

    async def hear(self, kind: str) -> None:
        """Reads frames up to one of this type."""
        while True:
            head = await self.reader.readexactly(2)
            length = head[1] & 0x7F
            if length == 126:
                (length,) = struct.unpack("!H", await self.reader.readexactly(2))
            frame = await self.reader.readexactly(length)
            said = json.loads(frame) if head[0] == 0x81 else {}
            if said.get("type") == kind:
                return
            if said.get("type") == "error":
                raise RuntimeError(f"refused: {said}")


async def session(port: int, inbox: str, address: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"POST /livechat/{inbox}/sessions HTTP/1.1\r\nHost: localhost\r\n{address}Content-Type: application/json\r\n"
        "Content-Length: 2\r\nConnection: close\r\n\r\n{}".encode()
    )
    answer = await reader.read()
    writer.close()
    return json.loads(answer.partition(b"\r\n\r\n")[2])["data"]["token"]
