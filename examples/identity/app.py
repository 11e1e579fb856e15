"""A FastAPI service that is called by mutual TLS, and knows its callers by their certificates."""

import asyncio
import os
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tradewarden import ServiceIdentity

READERS = {"spiffe://tradewarden.internal/order-router"}


class KnownCaller(HttpToolsProtocol):
    """Tells the application whom TLS has verified: the one SPIFFE ID in the client's certificate."""

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - as its parent
        """Begin a connection; its handshake is over."""
        super().connection_made(transport)
        names = transport.get_extra_info("peercert")["subjectAltName"]
        (caller,) = (value for kind, value in names if kind == "URI")
        self.app_state = {**self.app_state, "caller": caller}


app = FastAPI()


@app.get("/orders")
async def orders(request: Request) -> dict[str, str]:
    """Answer those that may read."""
    if request.state.caller not in READERS:
        raise HTTPException(403)
    return {"hello": request.state.caller}


async def main() -> None:
    """Serve with the certificate that is kept fresh in IDENTITY."""
    async with ServiceIdentity(
        os.environ["IDENTITY"], mtls_url=os.environ["TRADEWARDEN_MTLS_URL"], check_revocation=True
    ) as identity:
        config = uvicorn.Config(
            app, port=9444, http=KnownCaller, ws="none", ssl_context_factory=lambda *_: identity.server_context()
        )
        await uvicorn.Server(config).serve()


if __name__ == "__main__":
    asyncio.run(main())
