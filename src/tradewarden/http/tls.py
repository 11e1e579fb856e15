"""TLS of the listener: 1.3 only, no session tickets, HTTP/1.1 by ALPN.

No tickets, because a resumed session is not checked against the revocation list (decision 22).
"""

from __future__ import annotations

import os
import ssl
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tradewarden.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

_TLS_1_3: Final = 0x0304
_SUITES: Final = {
    "TLS_AES_128_GCM_SHA256": 0x1301,
    "TLS_AES_256_GCM_SHA384": 0x1302,
    "TLS_CHACHA20_POLY1305_SHA256": 0x1303,
}
"""The suites of RFC 8446 B.4 by their numbers, as the ASGI TLS extension wants them."""


def server_context(certificate: bytes | Path, key: bytes | Path) -> ssl.SSLContext:
    """Return the server's context for a certificate chain (leaf first) and its key, each PEM bytes or a path.

    Raises `ConfigurationError` naming what cannot be loaded, never its content.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    context.set_alpn_protocols(["http/1.1"])
    try:
        with _readable(certificate) as chain, _readable(key) as secret:
            context.load_cert_chain(chain, secret, password=_no_password)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(
            f"TLS: {_name(certificate, 'the certificate')} with {_name(key, 'its key')} cannot be loaded: {reason}"
        ) from None
    return context


def tls_extension(connection: ssl.SSLObject) -> dict[str, Any]:
    """Return what `scope["extensions"]["tls"]` holds for a connection (ASGI TLS extension 0.2)."""
    certificate = connection.getpeercert(binary_form=True)
    cipher = connection.cipher()
    return {
        "server_cert": None,
        "client_cert_chain": [ssl.DER_cert_to_PEM_cert(certificate)] if certificate else [],
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": _TLS_1_3,
        "cipher_suite": _SUITES.get(cipher[0]) if cipher else None,
    }


@contextmanager
def _readable(pem: bytes | Path) -> Iterator[str]:
    """Give OpenSSL a path to read: the file's own, or one into memory that no file system ever sees."""
    if isinstance(pem, Path):
        yield str(pem)
        return
    descriptor = os.memfd_create("tls", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(pem)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _no_password() -> str:
    raise ValueError("the key is encrypted with a password")


def _name(pem: bytes | Path, otherwise: str) -> str:
    return str(pem) if isinstance(pem, Path) else otherwise
