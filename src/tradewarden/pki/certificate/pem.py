"""Certificates and private keys as PEM text (RFC 7468)."""

from __future__ import annotations

from ssl import DER_cert_to_PEM_cert
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

if TYPE_CHECKING:
    from tradewarden.pki.certificate.algorithm import PrivateKey


def certificate_pem(der: bytes) -> str:
    """Return a certificate as one PEM block."""
    return DER_cert_to_PEM_cert(der)


def private_key_pem(key: PrivateKey) -> str:
    """Return a private key as PKCS#8 PEM in plain: for its owner only, never to be kept."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
