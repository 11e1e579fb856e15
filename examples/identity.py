"""A service that keeps its own certificate fresh, and talks mutual TLS with another one.

Start the service, make two join tokens, and run it beside the data directory or with the tokens in the environment:

    tradewarden serve
    python examples/identity.py

It takes the address from TRADEWARDEN_URL (default http://127.0.0.1:8002) and TRADEWARDEN_MTLS_URL (default
https://127.0.0.1:8443), and makes the join tokens with 'tradewarden ca join-token'.
"""

import asyncio
import os
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path

from tradewarden import ServiceIdentity

URL = os.environ.get("TRADEWARDEN_URL", "http://127.0.0.1:8002")
MTLS_URL = os.environ.get("TRADEWARDEN_MTLS_URL", "https://127.0.0.1:8443")


def identity(folder: Path, name: str) -> ServiceIdentity:
    """Return a service's identity; its first start takes the join token, later ones what is in the directory."""
    command = [str(Path(sys.executable).with_name("tradewarden")), "--url", URL, "ca", "join-token", name]
    token = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()  # noqa: S603
    return ServiceIdentity(folder / name, URL, name, mtls_url=MTLS_URL, join_token=token)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Greet whoever proved who they are."""
    certificate = writer.get_extra_info("peercert")
    names = [value for kind, value in certificate["subjectAltName"] if kind == "URI"]
    await reader.readline()
    writer.write(f"hello {names[0]}\n".encode())
    await writer.drain()
    writer.close()


async def call(port: int, context: ssl.SSLContext) -> str:
    """Say something to the other service."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    writer.write(b"good morning\n")
    greeting = await reader.readline()
    writer.close()
    return greeting.decode().strip()


async def main() -> None:
    """Two services, one calls the other."""
    with tempfile.TemporaryDirectory() as folder:
        async with identity(Path(folder), "orders") as orders, identity(Path(folder), "trader") as trader:
            days = (orders.renews_at() - orders.pair.starts) / 86_400
            print(f"{orders.pair.spiffe_id}, renewed after {days:.0f} days")
            server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=orders.server_context(peer="trader"))
            port = server.sockets[0].getsockname()[1]
            print(await call(port, trader.client_context(peer="orders")))
            try:
                await call(port, trader.client_context(peer="payments"))
            except ssl.SSLCertVerificationError as error:
                print(error)
            server.close()


if __name__ == "__main__":
    asyncio.run(main())
