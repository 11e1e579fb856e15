"""One HTTP exchange with Vault, below hvac: everything that can happen on the way becomes an `Answer`.

Always true here: no exception of requests, urllib3 or the socket leaves `Transport.request`; redirects are not
followed; the environment's proxies, `.netrc` and CA bundles are not looked at; an answer has a largest size and a time
by which it is over. Imported only when a Vault is used: it needs the extra `vault`.
"""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING, Any, Final

import requests
import urllib3
from hvac.adapters import Adapter  # type: ignore[import-untyped]
from requests.adapters import HTTPAdapter

from tradewarden.secrets.providers.vault.answers import Answer, Silence
from tradewarden.secrets.providers.vault.tls import tls_context

if TYPE_CHECKING:
    from tradewarden.secrets.providers.vault.config import VaultConfig

MAX_BYTES: Final = 32 * 1024 * 1024
_CHUNK: Final = 64 * 1024
_LONGEST_WAIT: Final = 60.0


class _Pool(HTTPAdapter):
    """Connections of one TLS context, which alone says what is trusted."""

    def __init__(self, context: ssl.SSLContext, connections: int) -> None:
        self._context = context
        super().__init__(pool_connections=1, pool_maxsize=connections, max_retries=0, pool_block=True)

    def init_poolmanager(self, *args: Any, **more: Any) -> None:  # noqa: ANN401 - as its base class has it
        more["ssl_context"] = self._context
        super().init_poolmanager(*args, **more)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:  # noqa: ANN401 - as above
        del url, verify, cert  # the base class would add the bundle of certifi to what we trust
        conn.cert_reqs = "CERT_REQUIRED"


class Line:
    """The connections to one Vault, shared by all calls of one process."""

    def __init__(self, config: VaultConfig) -> None:
        self._config = config
        self.session = self._open()

    def renew(self) -> None:
        """Read certificates and roots again; calls under way end on the old connections."""
        self.session = self._open()

    def close(self) -> None:
        """Close what is not in use."""
        self.session.close()

    def _open(self) -> requests.Session:
        config = self._config
        session = requests.Session()
        session.trust_env = False
        session.mount(f"{config.place.partition(':')[0]}://", _Pool(tls_context(config), config.connections))
        return session


class Transport(Adapter):  # type: ignore[misc]
    """What hvac's calls go through: it adds the token and the namespace, and returns an `Answer` for everything."""

    def __init__(
        self, config: VaultConfig, line: Line, token: str = "", namespace: str | None = None, seconds: float = 0.0
    ) -> None:
        # The base class's __init__ would make a session of its own; its methods need only `request` and `token`.
        self.token = token
        self._config = config
        self._line = line
        self._namespace = config.namespace if namespace is None else namespace
        self._seconds = seconds or config.total_seconds

    def get_login_token(self, response: Answer) -> str:
        """Say that logins are not ours to remember: who calls `login` reads its answer."""
        raise NotImplementedError(response.status)

    def request(
        self,
        method: str,
        url: str,
        headers: dict[str, str] | None = None,
        raise_exception: bool = True,  # noqa: FBT001, FBT002 - hvac's signature
        **body: Any,  # noqa: ANN401 - hvac's signature
    ) -> Answer:
        """Make one exchange."""
        del raise_exception
        config = self._config
        until = time.monotonic() + self._seconds
        wait = (min(config.connect_seconds, self._seconds), min(config.read_seconds, self._seconds))
        try:
            with self._line.session.request(
                method.upper(),
                f"{config.url.rstrip('/')}/{url.lstrip('/')}",
                headers=self._headers(headers),
                timeout=wait,
                allow_redirects=False,
                stream=True,
                params=body.get("params"),
                json=body.get("json"),
                data=body.get("data"),
            ) as response:
                return _answer(response, until)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            return Answer(0, silence=_silence(error), why=_why(error))

    def send(self, method: str, url: str, body: bytes) -> Answer:
        """Make one exchange with a body that is JSON already: hvac would have it as objects, and change its numbers."""
        return self.request(method, url, {"Content-Type": "application/json"}, data=body)

    def _headers(self, more: dict[str, str] | None) -> dict[str, str]:
        headers = {"X-Vault-Request": "true", "Accept-Encoding": "identity", "User-Agent": "tradewarden"}
        if self.token:
            headers["X-Vault-Token"] = self.token
        if self._namespace:
            headers["X-Vault-Namespace"] = self._namespace
        return headers | (more or {})


def _answer(response: requests.Response, until: float) -> Answer:
    parts: list[bytes] = []
    size = 0
    while part := response.raw.read1(_CHUNK):  # what is there: iter_content would wait for all of a chunk
        parts.append(part)
        size += len(part)
        if size > MAX_BYTES:
            return Answer(0, silence=Silence.TOO_LARGE, why=f"more than {MAX_BYTES} bytes")
        if time.monotonic() > until:
            return Answer(0, silence=Silence.TIMEOUT, why="the answer trickled in for too long")
    headers = response.headers
    return Answer(
        response.status_code, b"".join(parts), headers.get("location", ""), _pause(headers.get("retry-after", ""))
    )


def _pause(text: str) -> float:
    """Return `Retry-After` in seconds; its other form, a date, is not worth reading here."""
    return min(float(text), _LONGEST_WAIT) if text.isascii() and text.isdigit() else 0.0


def _silence(error: Exception) -> Silence:
    if isinstance(error, requests.exceptions.SSLError | urllib3.exceptions.SSLError):
        return Silence.TLS
    if isinstance(error, requests.exceptions.Timeout | urllib3.exceptions.TimeoutError | TimeoutError):
        return Silence.TIMEOUT
    if isinstance(error, requests.exceptions.ConnectionError) and _is_new(error):
        return Silence.REFUSED
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidHeader | ValueError):
        return Silence.UNUSABLE
    return Silence.RESET


def _is_new(error: BaseException) -> bool:
    """Tell whether no connection came about at all (urllib3 says so somewhere down the chain)."""
    seen: set[int] = set()
    inner: object = error
    while isinstance(inner, BaseException) and id(inner) not in seen:
        seen.add(id(inner))
        if isinstance(inner, urllib3.exceptions.NewConnectionError | urllib3.exceptions.NameResolutionError):
            return True
        inner = getattr(inner, "reason", None) or (inner.args[0] if inner.args else None)
    return False


def _why(error: Exception) -> str:
    """Return the kinds of what went wrong. Texts are left out: some quote headers, and the token is one."""
    kinds = [type(error).__name__]
    inner: object = error
    for _ in range(4):
        inner = getattr(inner, "reason", None) or (getattr(inner, "args", ()) or (None,))[0]
        if not isinstance(inner, BaseException):
            break
        kinds.append(type(inner).__name__)
        if isinstance(inner, ssl.SSLCertVerificationError):
            kinds.append(inner.verify_message)
    return ", ".join(kinds)
