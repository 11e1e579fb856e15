"""Looks whether a challenge is met: http-01 (RFC 8555 section 8.3, RFC 8738) and dns-01 (section 8.4).

Nothing that a host answers is believed beyond the one comparison; no more of it is read or repeated than that takes.
"""

from __future__ import annotations

import hmac
import ssl
from hashlib import sha256
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin, urlsplit

import httpcore

from tradewarden.acme.order import DNS, HTTP
from tradewarden.acme.problem import AcmeError, Kind
from tradewarden.crypto.base64url import base64url

if TYPE_CHECKING:
    from tradewarden.acme.order import Challenge
    from tradewarden.acme.problem import Identifier
    from tradewarden.acme.reach import Reach
    from tradewarden.acme.resolver import Resolver

_MAX_BODY: Final = 4096
_MAX_REDIRECTS: Final = 5
_STANDARD: Final = {"http": 80, "https": 443}
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_TIMES: Final = {"connect": 5.0, "read": 5.0, "write": 5.0, "pool": 5.0}


class Looks:
    """Looks at challenges; `port` is where http-01 is answered."""

    def __init__(self, reach: Reach, resolver: Resolver, port: int) -> None:
        self._reach = reach
        self._resolver = resolver
        self._port = port

    async def at(self, challenge: Challenge, identifier: Identifier, thumbprint: str) -> None:
        """Return when a challenge is met; raises `AcmeError` saying why it is not."""
        authorization = f"{challenge.token}.{thumbprint}"
        if challenge.type == HTTP:
            await self._http(identifier.value, challenge.token, authorization)
        elif challenge.type == DNS:
            await self._dns(identifier.value, authorization)

    async def _dns(self, name: str, authorization: str) -> None:
        wanted = base64url(sha256(authorization.encode()).digest()).encode()
        found = await self._resolver.texts(f"_acme-challenge.{name}.")
        if not found:
            raise AcmeError(Kind.DNS, f"_acme-challenge.{name} has no TXT record")
        if not sum(hmac.compare_digest(each, wanted) for each in found):
            raise AcmeError(Kind.INCORRECT_RESPONSE, f"No TXT record of _acme-challenge.{name} is the one awaited")

    async def _http(self, host: str, token: str, authorization: str) -> None:
        place = f"[{host}]" if ":" in host else host
        port = "" if self._port == _STANDARD["http"] else f":{self._port}"
        url = f"http://{place}{port}/.well-known/acme-challenge/{token}"
        found = (await self._fetch(url)).rstrip()
        if not hmac.compare_digest(found, authorization.encode()):
            raise AcmeError(Kind.INCORRECT_RESPONSE, f"{host} does not answer with the key authorization at {url}")

    async def _fetch(self, url: str) -> bytes:
        """Return what is there, a few redirects later at most."""
        async with httpcore.AsyncConnectionPool(
            ssl_context=_unverified(), network_backend=self._reach, max_connections=_MAX_REDIRECTS + 1
        ) as pool:
            for _ in range(_MAX_REDIRECTS + 1):
                status, location, body = await _get(pool, url)
                if status not in _REDIRECTS:
                    break
                url = self._followed(url, location)
            else:
                raise AcmeError(Kind.CONNECTION, f"More than {_MAX_REDIRECTS} redirects")
        if status != 200:  # noqa: PLR2004
            raise AcmeError(Kind.UNAUTHORIZED, f"{_shown(url)} answers {status}")
        return body

    def _followed(self, url: str, location: bytes) -> str:
        """Return where a redirect leads; only http and https at their usual ports are followed."""
        try:
            target = urljoin(url, location.decode("ascii"))
            parts = urlsplit(target)
            port = parts.port or _STANDARD.get(parts.scheme, 0)
        except (ValueError, UnicodeDecodeError) as error:
            raise AcmeError(Kind.CONNECTION, f"{_shown(url)} redirects to what is no address") from error
        known = parts.scheme in _STANDARD and bool(parts.hostname) and parts.username is None
        if not known or port not in (*_STANDARD.values(), self._port):
            raise AcmeError(Kind.CONNECTION, f"{_shown(url)} redirects to another scheme or port")
        return target


async def _get(pool: httpcore.AsyncConnectionPool, url: str) -> tuple[int, bytes, bytes]:
    """Return status, Location and the beginning of the body."""
    headers = (("Host", urlsplit(url).netloc), ("User-Agent", "tradewarden-acme"), ("Connection", "close"))
    try:
        async with pool.stream("GET", url, headers=headers, extensions={"timeout": _TIMES}) as answer:
            named = {name.lower(): value for name, value in answer.headers}
            body = b""
            if answer.status not in _REDIRECTS:
                async for chunk in answer.aiter_stream():
                    body += chunk
                    if len(body) > _MAX_BODY:
                        raise AcmeError(Kind.INCORRECT_RESPONSE, f"{_shown(url)} answers more than {_MAX_BODY} bytes")
            return answer.status, named.get(b"location", b""), body
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
        raise AcmeError(Kind.CONNECTION, f"{_shown(url)} breaks off ({type(error).__name__})") from error
    except (httpcore.UnsupportedProtocol, ValueError, UnicodeError) as error:
        raise AcmeError(Kind.CONNECTION, "The redirect is not followed") from error


def _unverified() -> ssl.SSLContext:
    """Return a context that takes any certificate: it is about to be replaced (RFC 8555 section 8.3)."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _shown(url: str) -> str:
    """Return an address without what could be secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}"[:200]
