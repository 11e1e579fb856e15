"""Why no answer came from a service, in words that say what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tradewarden.outbound import tls_failure, tls_reason

if TYPE_CHECKING:
    import ssl

_NO_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST"})
_CERTIFICATE_WANTED: Final = frozenset({"TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_HANDSHAKE_FAILURE"})


def why_silent(url: str, error: Exception) -> str:
    """Return what to tell a person about a transport error of httpx on the way to `url`."""
    import httpx

    failure = tls_failure(error)
    if failure is not None:
        return _no_trust(url, failure)
    if isinstance(error, httpx.ConnectError):
        return f"no service answers at {url}; start it with 'tradewarden serve' or set --url"
    if isinstance(error, httpx.TimeoutException):
        return f"The service at {url} did not answer in time; read before you repeat a change"
    text = f"The service at {url} broke off ({type(error).__name__})"
    if isinstance(error, httpx.RemoteProtocolError) and url.startswith("http:"):
        return f"{text}; if that port speaks TLS, write https://"
    return text


def _no_trust(url: str, failure: ssl.SSLError) -> str:
    if failure.reason in _NO_TLS:
        return f"What answers at {url} does not speak TLS; write http://, or the port that does"
    if failure.reason in _CERTIFICATE_WANTED:
        return (
            f"The service at {url} asks for a client certificate, and this command shows none: that is its port for "
            "mTLS (TRADEWARDEN_MTLS_PORT); name the other one (SERVICE_PORT)"
        )
    return f"The service at {url} does not prove itself: {tls_reason(failure)}; name the CA it trusts with --ca-file"
