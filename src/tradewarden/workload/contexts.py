"""TLS contexts that stay in use while what they hold is replaced: TLS 1.3, our CA alone, no session tickets.

A live context carries the settings, and a context behind it the key, the certificate, the roots and the revocation
lists. Each connection takes the one behind at its first step of the handshake, so a change reaches every handshake that
begins after it, roots that are no longer trusted and newer revocation lists are gone from it (a store of OpenSSL only
grows), and connections that are open go on.
"""

from __future__ import annotations

import ssl
import threading
import weakref
from typing import TYPE_CHECKING, Any, Final, Self

from tradewarden.crypto.memory_file import memory_file
from tradewarden.errors import ConfigurationError, IntegrityError
from tradewarden.workload.peer import Peer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tradewarden.workload.pair import Pair

_STRICT: Final = ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_TRUSTED_FIRST
"""RFC 5280 to the letter."""
_NO_LIST: Final = frozenset({3, 12})
"""OpenSSL's codes for a certificate of ours whose CA's list is not held, or has lapsed (x509_vfy.h)."""
_STRONG: Final = "DEFAULT:@SECLEVEL=3"
"""At least 128 bits (NIST SP 800-57 part 1): OpenSSL's groups without ffdhe2048, no RSA key under 3072 bits.

Our CA has and certifies none that is weaker, so no peer of it is shut out.
"""
_AS_GIVEN: Final = "DEFAULT:@SECLEVEL=2"
"""At least 112 bits: what the service's listener takes when its certificate is given to it."""
_ANYONE: Final = Peer()


class _Handshake:
    """What both kinds of connection do: take what holds now before the handshake, look at the peer after it."""

    context: ssl.SSLContext
    _live: LiveContext | None = None
    _peer_seen = False

    def do_handshake(self, *arguments: Any) -> None:  # noqa: ANN401 - as the class that it is mixed into
        if self._peer_seen:
            super().do_handshake(*arguments)  # type: ignore[misc]
            return
        if self._live is None:
            assert isinstance(self.context, LiveContext)  # noqa: S101 - nothing else makes such connections
            self._live = self.context
            self.context = self._live.behind
        try:
            super().do_handshake(*arguments)  # type: ignore[misc]
        except ssl.SSLCertVerificationError as error:
            if error.verify_code in _NO_LIST:
                self._live.lacking.set()
            raise
        self._live.peer.check(self)  # type: ignore[arg-type]
        self._peer_seen = True

    def read(self, *arguments: Any) -> Any:  # noqa: ANN401 - as the class that it is mixed into
        self._require_peer()
        return super().read(*arguments)  # type: ignore[misc]

    def write(self, data: Any) -> int:  # noqa: ANN401 - as the class that it is mixed into
        self._require_peer()
        return super().write(data)  # type: ignore[misc,no-any-return]

    def _require_peer(self) -> None:
        """Do the handshake that OpenSSL would otherwise do by itself, without the check."""
        if not self._peer_seen:
            self.do_handshake()


class _Object(_Handshake, ssl.SSLObject):
    """A TLS connection over memory: asyncio, uvloop, anyio."""


class _Socket(_Handshake, ssl.SSLSocket):
    """A TLS connection over a socket."""

    def send(self, data: Any, flags: int = 0) -> int:  # noqa: ANN401 - as its parent
        if self._sslobj is not None:  # type: ignore[attr-defined]
            self._require_peer()
        return super().send(data, flags)


class LiveContext(ssl.SSLContext):
    """A context whose key, certificate, roots and revocation lists are replaced while it is in use."""

    sslobject_class = _Object
    sslsocket_class = _Socket
    peer: Peer
    check_revocation: bool
    lacking: threading.Event
    """Is set when a peer was refused because its CA's revocation list is not here."""
    behind: ssl.SSLContext
    _alpn: tuple[str, ...]

    @classmethod
    def client(cls, peer: Peer, *, check_revocation: bool) -> Self:
        """Return one for calls: with our certificate, to servers of our CA; by name of the host, or of the peer."""
        made = cls._made(ssl.PROTOCOL_TLS_CLIENT, peer, check_revocation=check_revocation)
        made.check_hostname = not peer.names
        return made

    @classmethod
    def server(cls, peer: Peer, *, check_revocation: bool, require_client: bool) -> Self:
        """Return one for a listener."""
        made = cls._made(ssl.PROTOCOL_TLS_SERVER, peer, check_revocation=check_revocation)
        made.verify_mode = ssl.CERT_REQUIRED if require_client else ssl.CERT_NONE
        return made

    @classmethod
    def _made(cls, protocol: int, peer: Peer, *, check_revocation: bool) -> Self:
        made = cls(protocol)
        made.peer, made.check_revocation, made._alpn = peer, check_revocation, ()
        made.lacking = threading.Event()
        made.minimum_version = ssl.TLSVersion.TLSv1_3
        made.set_ciphers(_STRONG)
        made.verify_flags |= _STRICT | (ssl.VERIFY_CRL_CHECK_CHAIN if check_revocation else 0)
        if protocol == ssl.PROTOCOL_TLS_SERVER:
            made.num_tickets = 0  # a resumed session is not checked again: neither its revocation nor its pins
        return made

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        """Offer or take these protocols, now and after every change."""
        self._alpn = tuple(alpn_protocols)
        super().set_alpn_protocols(self._alpn)
        self.behind.set_alpn_protocols(self._alpn)

    def adopt(self, pair: Pair, crl_pem: bytes) -> None:
        """Use this from the next handshake on; raises `IntegrityError` and changes nothing when it cannot be used."""
        made = behind(self.protocol, pair, crl_pem if self.check_revocation else b"")
        if self.protocol == ssl.PROTOCOL_TLS_SERVER:
            made.verify_mode = self.verify_mode  # what getpeercert asks, of the context behind
        if self._alpn:
            made.set_alpn_protocols(self._alpn)
        self.behind = made


class Contexts:
    """Every context that was handed out and is still in use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handed_out: weakref.WeakSet[LiveContext] = weakref.WeakSet()
        self._held: tuple[Pair, bytes] | None = None
        self.lacking = threading.Event()
        """Is set when one of them refused a peer for want of a revocation list."""

    def adopt(self, pair: Pair, crl_pem: bytes) -> None:
        """Bring all of them to this pair; raises `IntegrityError` when it cannot be used, and then none is changed."""
        behind(ssl.PROTOCOL_TLS_CLIENT, pair, crl_pem)
        with self._lock:
            self._held = (pair, crl_pem)
            for each in list(self._handed_out):
                each.adopt(pair, crl_pem)

    def hand_out(self, context: LiveContext) -> LiveContext:
        """Give a new context what holds now, and keep it up to date from here on."""
        with self._lock:
            if self._held is None:
                raise ConfigurationError("There is no certificate yet; start the identity first")
            context.lacking = self.lacking
            context.adopt(*self._held)
            self._handed_out.add(context)
        return context


def mutual(pair: Pair, service: Peer = _ANYONE) -> ssl.SSLContext:
    """Return a context for calls of the service with this pair: it has the host's name, and what is asked besides."""
    made = LiveContext.client(service, check_revocation=False)
    made.check_hostname = True
    made.adopt(pair, b"")
    return made


def trusting(roots_pem: bytes, service: Peer = _ANYONE) -> ssl.SSLContext:
    """Return one without a certificate of its own that trusts these roots alone."""
    made = LiveContext.client(service, check_revocation=False)
    made.check_hostname = True
    made.set_ciphers(_AS_GIVEN)
    made.behind = _bare(ssl.PROTOCOL_TLS_CLIENT)
    made.behind.set_ciphers(_AS_GIVEN)
    made.behind.load_verify_locations(cadata=roots_pem.decode("ascii"))
    return made


def _bare(protocol: int) -> ssl.SSLContext:
    made = ssl.SSLContext(protocol)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.set_ciphers(_STRONG)
    made.verify_flags |= _STRICT
    return made


def behind(protocol: int, pair: Pair, crl_pem: bytes) -> ssl.SSLContext:
    """Return a plain context that holds the pair, its roots and revocation lists."""
    made = _bare(protocol)
    try:
        with memory_file(pair.chain_pem) as chain, memory_file(pair.key_pem) as key:
            made.load_cert_chain(chain, key, password=_no_password)
        with memory_file(pair.roots_pem + crl_pem) as trusted:
            made.load_verify_locations(trusted)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        raise IntegrityError(f"TLS does not take the key, the certificate, the roots or the CRL: {reason}") from None
    return made


def _no_password() -> str:
    raise ValueError("the key is encrypted with a password")
