"""TLS of the listeners: 1.3 only, 128 bits of strength, no session tickets, HTTP/1.1 by ALPN.

No tickets, because a resumed session is not checked against the revocation list (decision 22). The strength comes from
OpenSSL's security level, because Python 3.11 has no call for a list of groups.
"""

from __future__ import annotations

import ssl
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tradewarden.crypto.memory_file import memory_file
from tradewarden.errors import ConfigurationError
from tradewarden.http.handshake import ARRIVAL, Handshake, keep_certificate
from tradewarden.pki.certificate.pem import crl_pem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tradewarden.pki.peer import PeerCertificate

_TLS_1_3: Final = 0x0304
_SUITES: Final = {
    "TLS_AES_128_GCM_SHA256": 0x1301,
    "TLS_AES_256_GCM_SHA384": 0x1302,
    "TLS_CHACHA20_POLY1305_SHA256": 0x1303,
}
"""The suites of RFC 8446 B.4 by their numbers, as the ASGI TLS extension wants them."""
_STRONG: Final = "DEFAULT:@SECLEVEL=3"
"""At least 128 bits (NIST SP 800-57 part 1): OpenSSL's groups without ffdhe2048, no RSA key under 3072 bits."""
_AS_GIVEN: Final = "DEFAULT:@SECLEVEL=2"
_WEAKER: Final = frozenset({"EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK"})
"""What OpenSSL calls a certificate, or one above it, of less than 128 bits."""
_NO_CHECK_TIME: Final = 0x200000
"""OpenSSL's `X509_V_FLAG_NO_CHECK_TIME` (x509_vfy.h), which the ssl module has no name for."""
_MESSAGES: Final = getattr(super(ssl.SSLContext, ssl.SSLContext), "_msg_callback", None)
"""Where CPython lets one see handshake messages. Without it a refused client is recorded without its certificate."""


class Trust(NamedTuple):
    """Whose clients are let in: CA certificates and CRLs, each DER. Without any CRL OpenSSL checks none.

    `timeless`: OpenSSL looks at no times, because it knows the machine's clock only and that one is wrong; `Peers` goes
    by the clock that counts.
    """

    authorities: Sequence[bytes]
    crls: Sequence[bytes] = ()
    timeless: bool = False


class ServerContext(ssl.SSLContext):
    """An `ssl.SSLContext` whose handshakes are ours; `identify` knows a client by its certificate (DER)."""

    identify: Callable[[bytes], PeerCertificate] | None = None

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002 - the library's signature
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> Handshake:
        """Begin one connection."""
        made = super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
        assert isinstance(made, Handshake)  # noqa: S101 - `sslobject_class` says so
        made.arrival = ARRIVAL.get()
        made.outgoing = outgoing
        made.identify = self.identify
        return made


class LiveContext:
    """A listener's TLS whose certificate, trust and CRLs can be replaced while it serves.

    A connection begins in `first`, which holds nothing, and goes on in the newest context from its ClientHello on.
    """

    def __init__(self, identify: Callable[[bytes], PeerCertificate] | None = None) -> None:
        self.first = _bare()
        self.first.identify = identify
        self.first.sni_callback = self._choose
        if identify is not None:
            _require_certificate(self.first)
        self._newest: ServerContext | None = None

    def swap(self, newest: ServerContext) -> None:
        """Let every handshake from now on use `newest`; connections that stand go on."""
        # OpenSSL takes these from the context in which a connection begins, not from the one it goes on in.
        self.first.verify_flags = newest.verify_flags
        self._newest = newest

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _first: ssl.SSLContext) -> int | None:
        if self._newest is None:
            return int(ssl.ALERT_DESCRIPTION_INTERNAL_ERROR)
        connection.context = self._newest
        return None


def server_context(certificate: bytes | Path, key: bytes | Path, trust: Trust | None = None) -> ServerContext:
    """Return the server's context for a certificate chain (leaf first) and its key, each PEM bytes or a path.

    With `trust` a client certificate is required, for the purpose clientAuth. Without it the certificate may be
    somebody else's, and one of 112 bits (RSA with 2048) is taken too. Raises `ConfigurationError` naming what cannot be
    loaded, never its content.
    """
    context = _bare()
    try:
        _show(context, certificate, key, as_given=trust is None)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(
            f"TLS: {_name(certificate, 'the certificate')} with {_name(key, 'its key')} cannot be loaded: {reason}"
        ) from None
    if trust is not None:
        _trust(context, trust)
    return context


def _show(context: ServerContext, certificate: bytes | Path, key: bytes | Path, *, as_given: bool) -> None:
    try:
        _load(context, certificate, key)
    except ssl.SSLError as error:
        if error.reason not in _WEAKER or not as_given:
            raise
        # The context in which each connection begins keeps its level, and with it what is taken of a client's keys.
        context.set_ciphers(_AS_GIVEN)
        _load(context, certificate, key)


def _load(context: ServerContext, certificate: bytes | Path, key: bytes | Path) -> None:
    with _readable(certificate) as chain, _readable(key) as secret:
        context.load_cert_chain(chain, secret, password=_no_password)


def _bare() -> ServerContext:
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslobject_class = Handshake
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_ciphers(_STRONG)
    context.num_tickets = 0
    context.set_alpn_protocols(["http/1.1"])
    return context


def _require_certificate(context: ServerContext) -> None:
    context.verify_mode = ssl.CERT_REQUIRED
    if _MESSAGES is not None:
        _MESSAGES.__set__(context, keep_certificate)


def _trust(context: ServerContext, trust: Trust) -> None:
    _require_certificate(context)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a root that was brought along need not be self-signed
    if trust.timeless:
        context.verify_flags |= _NO_CHECK_TIME
    context.load_verify_locations(cadata=b"".join(trust.authorities))
    if trust.crls:
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        with _readable(b"".join(map(crl_pem, trust.crls))) as path:
            context.load_verify_locations(path)


def tls_extension(connection: ssl.SSLObject) -> dict[str, Any]:
    """Return what `scope["extensions"]["tls"]` holds for a connection (ASGI TLS extension 0.2)."""
    cipher = connection.cipher()
    chain = connection.chain if isinstance(connection, Handshake) else ()
    peer = connection.peer if isinstance(connection, Handshake) else None
    return {
        "server_cert": None,
        "client_cert_chain": [ssl.DER_cert_to_PEM_cert(each) for each in chain],
        "client_cert_name": peer.subject if peer is not None else None,
        "client_cert_error": None,
        "tls_version": _TLS_1_3,
        "cipher_suite": _SUITES.get(cipher[0]) if cipher else None,
    }


def _readable(pem: bytes | Path) -> AbstractContextManager[str]:
    """Give OpenSSL a path to read: the file's own, or one into memory."""
    return nullcontext(str(pem)) if isinstance(pem, Path) else memory_file(pem)


def _no_password() -> str:
    raise ValueError("the key is encrypted with a password")


def _name(pem: bytes | Path, otherwise: str) -> str:
    return str(pem) if isinstance(pem, Path) else otherwise
