"""A client for the calls that TradPal documents, over HTTP."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Self, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from services.security_service.service import JWTToken, ServiceCredentials
from tradewarden.cli.client import is_local
from tradewarden.errors import InvalidInputError, TradewardenError, UnavailableError
from tradewarden.http.problem import Problem
from tradewarden.tokens.commands import TokenValid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

T = TypeVar("T")
_SECONDS = 30.0


class SecurityServiceError(TradewardenError):
    """The service answered with a problem (RFC 9457); `problem` is what it said, `code` among it."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


class _Value(msgspec.Struct):
    data: dict[str, object]


class _Stored(msgspec.Struct):
    version: int


class SecurityServiceClient:
    """Calls one service, as `async with`; `token` is the bearer token of the calls that need one.

    A token never goes in the clear to another machine: there `base_url` is https, checked against `ca_file` (our
    `ca/ca_cert.pem`) or the system's authorities. Raises `SecurityServiceError` for a problem, `UnavailableError`
    when nobody answers.
    """

    def __init__(
        self,
        base_url: str = "http://localhost:8002",
        token: str | None = None,
        *,
        ca_file: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        if not base_url.startswith("https:") and not is_local(base_url):
            raise InvalidInputError(f"{base_url}: secrets are not sent in the clear to another host; use https")
        self.token = token
        self._http = httpx.AsyncClient(
            base_url=base_url,
            timeout=_SECONDS,
            trust_env=False,
            transport=transport,
            verify=ssl.create_default_context(cafile=ca_file) if base_url.startswith("https:") else False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def health(self) -> dict[str, object]:
        """`GET /health`."""
        return await self._call("GET", "/health", dict[str, object])

    async def issue_credentials(self, service_name: str) -> ServiceCredentials:
        """`POST /credentials/issue`; the token needs `credentials:issue`."""
        return await self._call("POST", "/credentials/issue", ServiceCredentials, {"service_name": service_name})

    async def generate_token(self, service_name: str, permissions: Sequence[str] | None = None) -> JWTToken:
        """`POST /tokens/generate`; without a token of ours it needs the development bootstrap."""
        wanted = {"service_name": service_name, "permissions": permissions}
        return await self._call("POST", "/tokens/generate", JWTToken, wanted)

    async def validate_token(self) -> TokenValid:
        """`POST /tokens/validate`, for the client's own token."""
        return await self._call("POST", "/tokens/validate", TokenValid)

    async def store_secret(self, path: str, data: Mapping[str, object]) -> int:
        """`POST /secrets/store`; returns the version that now stands."""
        return (await self._call("POST", "/secrets/store", _Stored, {"path": path, "data": data})).version

    async def retrieve_secret(self, path: str) -> dict[str, object]:
        """`GET /secrets/{path}`; returns the value."""
        return (await self._call("GET", f"/secrets/{quote(path)}", _Value)).data

    async def _call(self, method: str, path: str, kind: type[T], body: Mapping[str, object] | None = None) -> T:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            answer = await self._http.request(method, path, json=body, headers=headers)
        except httpx.TransportError as error:
            raise UnavailableError(f"{self._http.base_url} does not answer ({type(error).__name__})") from error
        try:
            if not answer.is_success:
                raise SecurityServiceError(msgspec.json.decode(answer.content, type=Problem))
            return msgspec.json.decode(answer.content, type=kind)
        except msgspec.MsgspecError as error:
            raise UnavailableError(f"{self._http.base_url} did not answer as this service does") from error
