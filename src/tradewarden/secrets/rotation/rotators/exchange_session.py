"""The HTTP session that ccxt is given: it goes where it may and nowhere else, and ends in time. Imports requests.

Always true here: each single request is held against the list of what may be called; a redirect is not followed (it
would take key and signature along); nothing goes in the clear to another host; certificates are verified; no proxy, no
`.netrc` and no other setting of the environment has a say.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from tradewarden.ip import is_this_machine
from tradewarden.secrets.rotation.rotators.exchange_refusal import NotAllowedError, TooMuchError

if TYPE_CHECKING:
    from tradewarden.secrets.rotation.rotators.outbound import Outbound

REQUEST_SECONDS: Final = 8.0
MAX_BYTES: Final = 8 * 1024 * 1024
_PIECE: Final = 64 * 1024
_PORTS: Final = {"http": 80, "https": 443}


class _Guarded(HTTPAdapter):
    """Sends requests that may be sent, until a moment of the monotonic clock."""

    def __init__(self, outbound: Outbound, until: float) -> None:
        super().__init__(max_retries=0)
        self._outbound = outbound
        self._until = until

    def send(self, request: Any, *given: object, **options: object) -> Any:  # noqa: ANN401  (requests has no types)
        """Send one, and read its answer whole."""
        del given, options
        self._require_allowed(str(request.url))
        answer = super().send(request, stream=True, timeout=self._left(), verify=True, cert=None, proxies={})
        try:
            if answer.is_redirect:
                raise NotAllowedError("it sends us elsewhere by a redirect, which is not followed")
            answer._content = self._read(answer)  # noqa: SLF001  (what requests itself sets after reading)
        except urllib3.exceptions.TimeoutError as error:
            raise requests.exceptions.Timeout from error
        except urllib3.exceptions.HTTPError as error:
            raise requests.exceptions.ConnectionError from error
        finally:
            answer.close()
        return answer

    def _require_allowed(self, url: str) -> None:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
        if not self._outbound.allows(host, port):
            raise NotAllowedError(f"rotations may not connect to {host[:80]}:{port}; see TRADEWARDEN_ROTATION_HOSTS")
        if parts.scheme != "https" and not is_this_machine(host):
            raise NotAllowedError(f"{host[:80]} would be called in the clear; use https")

    def _read(self, answer: Any) -> bytes:  # noqa: ANN401  (as above)
        read = bytearray()
        while piece := answer.raw.read1(_PIECE, decode_content=True):
            read += piece
            self._left()
            if len(read) > MAX_BYTES:
                raise TooMuchError
        return bytes(read)

    def _left(self) -> float:
        left = self._until - time.monotonic()
        if left <= 0:
            raise requests.exceptions.Timeout
        return min(left, REQUEST_SECONDS)


def guarded_session(outbound: Outbound, until: float) -> Any:  # noqa: ANN401  (as above)
    """Return a session for ccxt. It is used by one thread, and closed by it."""
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", _Guarded(outbound, until))
    session.mount("http://", _Guarded(outbound, until))
    return session
