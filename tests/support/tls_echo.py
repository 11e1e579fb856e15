"""A TLS server that answers a line with a line, and its client."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class EndedError(Exception):
    """The other end closed without an answer."""


@asynccontextmanager
async def listening(context: ssl.SSLContext, heard: list[bytes]) -> AsyncIterator[int]:
    """A server that answers `pong` with the peer's serial number to a line, and keeps what it heard."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                heard.append(line)
                certificate = writer.get_extra_info("peercert") or {}
                writer.write(f"pong {certificate.get('serialNumber', '-')}\n".encode())
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def ping(context: ssl.SSLContext, port: int) -> tuple[str, str]:
    """Talk to the server; return what it said, and the serial number that it showed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
    try:
        return await ping_again(reader, writer)
    finally:
        writer.close()


async def ping_again(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, str]:
    """Talk over an open connection."""
    writer.write(b"ping\n")
    await writer.drain()
    answer = await reader.readline()
    if not answer:
        raise EndedError
    return answer.decode().strip(), writer.get_extra_info("ssl_object").getpeercert()["serialNumber"]
