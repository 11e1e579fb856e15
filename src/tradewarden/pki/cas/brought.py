"""A CA that is brought along (`CA_CERT_PATH`, `CA_KEY_PATH`): checked, and refused by name.

It is our root from the first start on. Its key signs our issuing CA once and may be taken away then; a CA whose path
length allows no CA below it issues itself, so its key is taken into the data directory (encrypted).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from tradewarden.errors import ConfigurationError, InvalidInputError
from tradewarden.pki.cas.files import MAX_FILE_BYTES, parse_certificate, parse_key
from tradewarden.pki.cas.hardware import brought_token_key, token_has
from tradewarden.pki.certificate.algorithm import approved_hash, strong
from tradewarden.settings.pkcs11 import TokenUri

if TYPE_CHECKING:
    from pathlib import Path

    from tradewarden.crypto.pkcs11 import Access
    from tradewarden.pki.certificate.algorithm import PrivateKey


def brought_certificate(path: Path) -> x509.Certificate:
    """Return the certificate at `path`, whatever it may be; raises `ConfigurationError` naming a broken file."""
    name = f"CA_CERT_PATH ({path})"
    return parse_certificate(_read(path, name), name)


def acceptable_root(path: Path, now: float) -> x509.Certificate:
    """Return the CA certificate at `path` when it may become our root; raises `ConfigurationError` naming it."""
    certificate = brought_certificate(path)
    try:
        _acceptable(certificate, now)
    except InvalidInputError as error:
        raise ConfigurationError(f"CA_CERT_PATH ({path}) is refused: {error.detail}") from error
    return certificate


def brought_key(place: Path | TokenUri, certificate: x509.Certificate, access: Access) -> PrivateKey:
    """Return the private key in a file or token when it is that of `certificate`.

    Raises `ConfigurationError` naming what is wrong with it.
    """
    if isinstance(place, TokenUri):
        return brought_token_key(place, access, certificate)
    name = f"CA_KEY_PATH ({place})"
    return parse_key(_read(place, name), name, certificate, None)


def brought_key_is_here(place: Path | TokenUri | None, access: Access) -> bool:
    """Tell whether there is something at the place that CA_KEY_PATH names."""
    if isinstance(place, TokenUri):
        return token_has(place, access)
    return place is not None and place.is_file()


def may_have_issuing(certificate: x509.Certificate) -> bool:
    """Tell whether a CA below this one is allowed (RFC 5280 section 4.2.1.9)."""
    length = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length
    return length is None or length > 0


def _acceptable(certificate: x509.Certificate, now: float) -> None:
    # 1. Time.
    if certificate.not_valid_after_utc.timestamp() <= now:
        raise InvalidInputError(f"it expired on {certificate.not_valid_after_utc:%Y-%m-%d}")
    if certificate.not_valid_before_utc.timestamp() > now:
        raise InvalidInputError(f"it is not valid before {certificate.not_valid_before_utc:%Y-%m-%d}")
    # 2. A CA that may sign certificates and CRLs (RFC 5280 sections 4.2.1.3 and 4.2.1.9).
    usage = _usage(certificate)
    if not usage.key_cert_sign:
        raise InvalidInputError("its key usage lacks keyCertSign")
    if not usage.crl_sign and not may_have_issuing(certificate):
        raise InvalidInputError("its key usage lacks cRLSign, and its path length allows no issuing CA below it")
    # 3. Strength.
    strong(certificate.public_key())
    approved_hash(certificate)
    # 4. Its own signature, when it is a root.
    if certificate.issuer == certificate.subject:
        try:
            certificate.verify_directly_issued_by(certificate)
        except (InvalidSignature, ValueError, TypeError) as error:
            raise InvalidInputError("its signature does not verify") from error


def _usage(certificate: x509.Certificate) -> x509.KeyUsage:
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound as error:
        raise InvalidInputError("it is no CA: basicConstraints or keyUsage is missing") from error
    if not constraints.ca:
        raise InvalidInputError("it is no CA: its basicConstraints say CA:FALSE")
    return usage


def _read(path: Path, name: str) -> bytes:
    """Read a file of the user's: unlike ours it may be a link and readable by others (a mounted secret)."""
    try:
        if path.exists() and not path.is_file():
            raise ConfigurationError(f"{name} is not a file")
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{name} cannot be read ({error.strerror})") from error
    if len(content) > MAX_FILE_BYTES:
        raise ConfigurationError(f"{name} is larger than the {MAX_FILE_BYTES} bytes it may have")
    return content
