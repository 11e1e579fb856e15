"""Calls to a service of Tradewarden, and what its answers mean to a caller of a provider.

Always true here: nothing goes in the clear to another host; redirects, proxies and `.netrc` are not followed; what is
not Tradewarden's answer is never taken for *not found*; a change is sent once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from tradewarden.errors import (
    ConfigurationError,
    ConflictError,
    InvalidInputError,
    LimitExceededError,
    ProviderRefusedError,
    ProviderUnavailableError,
    SecretNotFoundError,
    UnavailableError,
)
from tradewarden.outbound import address, problem_in, read_answer, tls_failure, tls_reason
from tradewarden.secrets.providers.per_process import PerProcess

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    import httpx

    from tradewarden.errors import TradewardenError

T = TypeVar("T")
CONNECTIONS: Final = 8
CONNECT_SECONDS: Final = 5.0
STEP_SECONDS: Final = 15.0
ANSWER_SECONDS: Final = 30.0
POOL_SECONDS: Final = 5.0
MAX_BYTES: Final = 4 * 1024 * 1024
_IDLE_SECONDS: Final = 3.0
"""Below what servers keep idle connections for, so that they rarely close one that is just asked on."""
_NOT_FOUND: Final = 404
_REFUSED: Final = frozenset({401, 403})
_NOT_NOW: Final = frozenset({408, 425, 429})
_OF_INPUT: Final[Mapping[int, type[TradewardenError]]] = {
    400: InvalidInputError,
    409: ConflictError,
    413: LimitExceededError,
}


class ServiceCalls:
    """One service's address, what proves us there, and the connections of this process to it."""

    def __init__(
        self, url: str, token: Callable[[], str], context: ssl.SSLContext | None, connections: int = CONNECTIONS
    ) -> None:
        self.url = address(url)
        self._token = token
        self._context = context
        self._connections = connections
        self._http = PerProcess(self._made)

    def ask(self, method: str, path: str, name: str, kind: type[T], body: bytes | None = None) -> T:
        """Return the answer, read as `kind`; raises our errors alone. `name` is the secret's, for messages."""
        try:
            status, answer = self._sent(method, path, body)
        except ProviderUnavailableError:
            raise
        except UnavailableError as error:
            raise ProviderUnavailableError(error.detail) from error
        if status // 100 != 2:  # noqa: PLR2004
            raise self._problem(status, answer, name)
        try:
            return msgspec.json.decode(answer, type=kind)
        except msgspec.MsgspecError:
            raise self._foreign(status) from None  # the parser's words may quote the value

    def close(self) -> None:
        """Close the connections."""
        client = self._http.take()
        if client is not None:
            client.close()

    def _made(self) -> httpx.Client:
        import ssl

        import httpx

        context = self._context
        if context is None and self.url.startswith("https:"):
            context = ssl.create_default_context()
            context.minimum_version = ssl.TLSVersion.TLSv1_3
        return httpx.Client(
            headers={"User-Agent": "tradewarden"},
            timeout=httpx.Timeout(STEP_SECONDS, connect=CONNECT_SECONDS, pool=POOL_SECONDS),
            limits=httpx.Limits(
                max_connections=self._connections,
                max_keepalive_connections=self._connections,
                keepalive_expiry=_IDLE_SECONDS,
            ),
            verify=False if context is None else context,
            trust_env=False,
            follow_redirects=False,
        )

    def _sent(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        import httpx

        headers = {} if body is None else {"Content-Type": "application/json"}
        if token := self._bearer():
            headers["Authorization"] = f"Bearer {token}"
        client = self._http.get()
        for last in (method != "GET", True):
            try:
                with client.stream(method, self.url + path, content=body, headers=headers) as answer:
                    return answer.status_code, read_answer(answer, MAX_BYTES, ANSWER_SECONDS)
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError, httpx.DecodingError) as error:
                if last:
                    raise self._silent(error) from error
            except httpx.HTTPError as error:
                raise self._silent(error) from error
            except RuntimeError as error:  # the client was closed by another thread
                raise ProviderUnavailableError(f"the connection to {self.url} was closed here") from error
        raise AssertionError  # the second round returns or raises

    def _bearer(self) -> str:
        token = self._token()
        if not (token.isascii() and token.isprintable()) or " " in token:
            raise ConfigurationError(f"the token for {self.url} holds characters that no token has")
        return token

    def _silent(self, error: httpx.HTTPError) -> ProviderUnavailableError:
        failure = tls_failure(error)
        if failure is not None:
            return ProviderUnavailableError(f"no TLS connection to {self.url}: {tls_reason(failure)}")
        return ProviderUnavailableError(
            f"{self.url} does not answer ({type(error).__name__}); a change may have been made, read before you "
            "repeat it"
        )

    def _problem(self, status: int, answer: bytes, name: str) -> TradewardenError:
        problem = problem_in(answer)
        if problem is None or not problem.code:
            return self._foreign(status)
        if status == _NOT_FOUND:
            known = problem.code == SecretNotFoundError.code
            return SecretNotFoundError(name, reason=str(problem)) if known else self._foreign(status)
        text = f"{self.url} answers {status} for '{name}': {problem}"
        if status in _REFUSED:
            return ProviderRefusedError(f"{text}; look at the token, its end and its permissions")
        if status in _OF_INPUT:
            return _OF_INPUT[status](text)
        if status in _NOT_NOW or status // 100 == 5:  # noqa: PLR2004
            return ProviderUnavailableError(text)
        return self._foreign(status)

    def _foreign(self, status: int) -> ProviderUnavailableError:
        moved = "; redirects are not followed" if status // 100 == 3 else ""  # noqa: PLR2004
        return ProviderUnavailableError(
            f"{self.url} answered {status}, and not as Tradewarden does{moved}; look at the address"
        )
