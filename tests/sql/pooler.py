"""A pooler as small as one can be: clients share server connections, for a transaction or for their session."""

import asyncio
import os
import socket
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal

import psycopg
from psycopg.conninfo import make_conninfo

FAKE_PID = 1_234_567_890
GREETING = (
    b"R\0\0\0\x08\0\0\0\0"
    + b"".join(
        b"S" + (len(pair) + 4).to_bytes(4, "big") + pair
        for pair in (b"server_version\x0017.0\0", b"client_encoding\0UTF8\0", b"standard_conforming_strings\0on\0")
    )
    + b"K\0\0\0\x0c" + FAKE_PID.to_bytes(4, "big") + b"\0\0\0\1"
    + b"Z\0\0\0\x05I"
)  # fmt: skip
"""Welcome; a process id of the pooler's own making."""


class Pooler:
    """Hands out `servers` connections, the one used last first, or the one used longest ago."""

    def __init__(self, mode: Literal["transaction", "session"], order: Literal["last", "oldest"]) -> None:
        self.mode = mode
        self.order = order
        self.idle: deque[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = deque()
        self.changed = asyncio.Condition()
        self.clients: set[asyncio.Task[Any]] = set()

    async def take(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Wait for a server."""
        async with self.changed:
            await self.changed.wait_for(lambda: self.idle)
            return self.idle.pop() if self.order == "last" else self.idle.popleft()

    async def give_back(self, server: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        """For the next client."""
        async with self.changed:
            self.idle.append(server)
            self.changed.notify()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, from its start-up packet to its end."""
        task = asyncio.current_task()
        assert task is not None
        self.clients.add(task)
        while int.from_bytes((await packet(reader))[:4], "big") in (80877103, 80877104):  # TLS, GSSAPI
            writer.write(b"N")
        writer.write(GREETING)
        server = None
        try:
            while True:
                message = await typed(reader)
                if message[:1] == b"X":
                    break
                server = server or await self.take()
                server[1].write(message)
                if message[:1] not in b"QS":
                    continue
                while (answer := await typed(server[0]))[:1] != b"Z":
                    writer.write(answer)
                writer.write(answer)
                if self.mode == "transaction" and answer[-1:] == b"I":
                    await self.give_back(server)
                    server = None
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            if server is not None:
                await self.give_back(server)
            await closed(writer)


async def closed(writer: asyncio.StreamWriter) -> None:
    """Close it, and wait until it is."""
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def packet(reader: asyncio.StreamReader) -> bytes:
    """What follows a length."""
    return await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big") - 4)


async def typed(reader: asyncio.StreamReader) -> bytes:
    """A message with its type and length."""
    head = await reader.readexactly(5)
    return head + await reader.readexactly(int.from_bytes(head[1:], "big") - 4)


@asynccontextmanager
async def pooling(
    conninfo: str, mode: Literal["transaction", "session"], order: Literal["last", "oldest"] = "last", servers: int = 2
) -> AsyncIterator[tuple[str, list[int]]]:
    """The way through it, and the process ids of its servers. They log in as psycopg does, which then lets go."""
    pooler = Pooler(mode, order)
    plain = make_conninfo(conninfo, sslmode="disable")
    logins = [await psycopg.AsyncConnection.connect(plain, autocommit=True) for _ in range(servers)]
    for login in logins:
        pooler.idle.append(await asyncio.open_connection(sock=socket.socket(fileno=os.dup(login.pgconn.socket))))
    server = await asyncio.start_server(pooler.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield make_conninfo(plain, port=port, host="127.0.0.1"), [login.info.backend_pid for login in logins]
    finally:
        server.close()
        await asyncio.gather(*pooler.clients)
        for _, writer in pooler.idle:
            await closed(writer)
        for login in logins:
            await login.close()
