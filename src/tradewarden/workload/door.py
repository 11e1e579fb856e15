"""The service's HTTP interface, as far as an identity needs it.

Always true here: the join token goes only to a server that has proven to be under the root that the token names;
nothing goes in the clear to another host; proxies, `.netrc` and redirects are not followed; answers have a largest
size.
"""

from __future__ import annotations

import ssl
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from tradewarden.errors import AuthenticationError, UnavailableError
from tradewarden.outbound import address, problem_in, read_answer, tls_failure, tls_reason
from tradewarden.workload.errors import CertificateRefusedError, RefusedError, RootUnknownError
from tradewarden.workload.pair import certificates, fingerprint, pem_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

_SECONDS: Final = 15.0
_CONNECT_SECONDS: Final = 5.0
_MAX_BYTES: Final = 1024 * 1024
_MAX_CRL_BYTES: Final = 64 * 1024 * 1024
_MAX_SECONDS: Final = 60.0
_JSON: Final = MappingProxyType({"Content-Type": "application/json"})
_OCSP: Final = MappingProxyType({"Content-Type": "application/ocsp-request"})
_NONE: Final[Mapping[str, str]] = MappingProxyType({})
_NOT_MODIFIED: Final = 304
_PASSING: Final = frozenset({408, 425, 429})
"""Refusals that say: not now."""
_NO_ROOT: Final = frozenset({2, 18, 19, 20, 21})
"""OpenSSL's X509_V_ERR codes of a chain that leads to no trusted root."""
_REFUSALS: Final = ("ALERT_CERTIFICATE_REVOKED", "ALERT_UNKNOWN_CA")
"""How OpenSSL's names of the alerts end by which a listener refuses a client's certificate (RFC 8446 section 6.2)."""


class Issued(msgspec.Struct, frozen=True):
    """What is read of the answer that carries a new certificate (PEM)."""

    certificate_chain: str
    ca_certificate: str
    cross_certificates: str = ""


class Fetched(NamedTuple):
    """A content and its entity tag (RFC 9110 section 8.8.3); not `fresh`: it is what is held, and empty here."""

    content: bytes
    tag: str
    fresh: bool


class Door:
    """One address of the service, and what its TLS certificate is checked against."""

    def __init__(self, url: str, trust: ssl.SSLContext) -> None:
        self.url = address(url)
        self._trust = trust

    @property
    def authenticated(self) -> bool:
        """Whether an answer from there is known to be the service's."""
        return self.url.startswith("https:")

    def enroll(self, token: str, csr: str, service: str) -> Issued:
        """Spend a join token for a certificate; one that is not for `service`, when that is known, is not spent."""
        return self._issued("/credentials/enroll", {"join_token": token, "csr": csr, "service_name": service or None})

    def renew(self, body: Mapping[str, object]) -> Issued:
        """Ask for the next certificate."""
        return self._issued("/credentials/renew", body)

    def roots(self) -> bytes:
        """Return the trust bundle (PEM)."""
        return self._call("GET", "/ca/certificate").content

    def crosses(self) -> bytes:
        """Return the certificates of the service's roots by one another (PEM); empty unless it has several."""
        return self._call("GET", "/ca/cross-certificates").content

    def crls(self, tag: str) -> Fetched:
        """Return the revocation lists (PEM) of all CAs that can be met; `tag` is that of the ones held."""
        return self._call("GET", "/ca/crls", headers={"If-None-Match": tag} if tag else _NONE, most=_MAX_CRL_BYTES)

    def ocsp(self, request: bytes) -> bytes:
        """Return the answer to an OCSPRequest (DER)."""
        return self._call("POST", "/ca/ocsp", request, _OCSP).content

    def _issued(self, path: str, body: Mapping[str, object]) -> Issued:
        given = msgspec.json.encode({name: value for name, value in body.items() if value is not None})
        try:
            return msgspec.json.decode(self._call("POST", path, given, _JSON).content, type=Issued)
        except msgspec.MsgspecError:
            raise UnavailableError(f"{self.url} did not answer as Tradewarden does; look at the address") from None

    def _call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] = _NONE,
        most: int = _MAX_BYTES,
    ) -> Fetched:
        import httpx

        limits = httpx.Timeout(_SECONDS, connect=_CONNECT_SECONDS)
        try:
            with (
                httpx.Client(verify=self._trust, timeout=limits, trust_env=False) as client,
                client.stream(method, self.url + path, content=body, headers=headers) as answer,
            ):
                return self._settled(answer, read_answer(answer, most, _MAX_SECONDS))
        except httpx.TransportError as error:
            raise _unreached(self.url, error) from error

    def _settled(self, answer: httpx.Response, content: bytes) -> Fetched:
        if answer.is_success or answer.status_code == _NOT_MODIFIED:
            return Fetched(content, answer.headers.get("etag", ""), fresh=answer.is_success)
        text = f"{self.url} answers {answer.status_code}: {problem_in(content) or 'not as Tradewarden does'}"
        if not answer.is_client_error or answer.status_code in _PASSING:
            raise UnavailableError(text)
        raise RefusedError(text, answer.status_code)


def first_contact(url: str, pin: str) -> bytes:
    """Return the root (PEM) that a join token's pin names, fetched from the service, which is not trusted yet.

    Raises `AuthenticationError` when it is not there: then this is another service, or somebody in between.
    """
    anyone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anyone.check_hostname = False
    anyone.verify_mode = ssl.CERT_NONE
    offered = certificates(Door(url, anyone).roots(), f"The answer of {url}/ca/certificate")
    pinned = [each for each in offered if fingerprint(each).startswith(pin)]
    if not pinned:
        raise AuthenticationError(
            f"{url} is not the service that the join token was made by: its root CA's fingerprint does not begin with "
            f"{pin}. The token was not sent; check the address, and who answers there. Or the root CA was replaced "
            "since the token was made: then make another token"
        )
    return pem_of(pinned)


def _unreached(url: str, error: Exception) -> UnavailableError:
    """Return why there was no answer."""
    failure = tls_failure(error)
    if failure is None:
        return UnavailableError(f"no answer from {url} ({type(error).__name__})")
    told = f"no TLS connection to {url}: {tls_reason(failure)}"
    if str(getattr(failure, "reason", "")).endswith(_REFUSALS):
        return CertificateRefusedError(told)
    known = getattr(failure, "verify_code", 0) not in _NO_ROOT
    return (UnavailableError if known else RootUnknownError)(told)
