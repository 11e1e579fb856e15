"""A FastAPI service that knows its users by their API tokens, and its database by the platform's secrets.

uvicorn --app-dir examples/secrets fastapi_service:app
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, cast

import asyncpg  # type: ignore[import-untyped]
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import JSONResponse

from tradewarden import AsyncPlatformSecrets
from tradewarden.errors import InvalidInputError, SecretNotFoundError, TradewardenError


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the secrets once for the whole service; nothing is read yet."""
    async with AsyncPlatformSecrets.from_environment() as secrets:
        app.state.secrets = secrets
        yield


log = logging.getLogger(__name__)
app = FastAPI(lifespan=lifespan)


def the_secrets(request: Request) -> AsyncPlatformSecrets:
    """Return the service's secrets."""
    return cast("AsyncPlatformSecrets", request.app.state.secrets)


Secrets = Annotated[AsyncPlatformSecrets, Depends(the_secrets)]


async def the_user(
    secrets: Secrets, x_user: Annotated[str, Header()], authorization: Annotated[str, Header()] = ""
) -> str:
    """Return who calls; 401 for a name or a token that is not known, without saying which."""
    try:
        token = await secrets.api_token(x_user)
    except (SecretNotFoundError, InvalidInputError):
        raise HTTPException(401) from None
    if not token.matches(authorization.removeprefix("Bearer ")):
        raise HTTPException(401)
    return token.user


@app.exception_handler(TradewardenError)
async def not_now(_: Request, error: Exception) -> JSONResponse:
    """Answer 503 when the service's own secrets cannot be read: neither 404 nor 401 would be true."""
    log.error("%s", error)
    return JSONResponse({"detail": "Try again later"}, 503)


@app.get("/positions")
async def positions(user: Annotated[str, Depends(the_user)], secrets: Secrets) -> dict[str, object]:
    """Ask the database, with the login that is current now."""
    login = await secrets.database()
    connection = await asyncpg.connect(**login.asyncpg())
    try:
        return {"user": user, "asked_as": await connection.fetchval("select current_user::text")}
    finally:
        await connection.close()


@app.get("/health")
async def health(secrets: Secrets) -> dict[str, object]:
    """Say what is known of the providers, without asking them."""
    found = secrets.health()
    return {"healthy": found.healthy, "providers": [each.name for each in found.providers]}
