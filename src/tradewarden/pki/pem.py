"""Certificates and private keys as PEM text (RFC 7468)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

if TYPE_CHECKING:
    from cryptography import x509

    from tradewarden.pki.algorithm import PrivateKey


def certificate_pem(certificate: x509.Certificate) -> str:
    """Return a certificate as one PEM block."""
    return certificate.public_bytes(Encoding.PEM).decode()


def private_key_pem(key: PrivateKey) -> str:
    """Return a private key as PKCS#8 PEM in plain: for its owner only, never to be kept."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
