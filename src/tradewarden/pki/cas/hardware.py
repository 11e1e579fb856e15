"""CA keys in a PKCS#11 token: made there, not extractable, and found again by label and certificate.

A token may hold keys of several installations, and keys of a first start that was cut off: of those with the right
label, the one that signs for the certificate's public key is ours.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec

from tradewarden.crypto.pkcs11 import Token
from tradewarden.crypto.token_keys import EcKey, Place, RsaKey, has_private_key, make_ec, make_rsa, token_key
from tradewarden.errors import ConfigurationError, UnavailableError
from tradewarden.pki.certificate.algorithm import Algorithm, strong

if TYPE_CHECKING:
    from cryptography import x509

    from tradewarden.crypto.pkcs11 import Access
    from tradewarden.settings.pkcs11 import TokenUri


class TokenKeys:
    """The keys of our CAs in one token (`tradewarden.pki.cas.keys.CaKeys`). May block: not for the event loop."""

    def __init__(self, uri: TokenUri, access: Access) -> None:
        self._token = Token(uri, access)

    def make(self, name: str, algorithm: Algorithm) -> EcKey | RsaKey:
        """Make a key in the token; raises `ConfigurationError` when it cannot, `UnavailableError` when it is away."""
        label = _label(name)
        match algorithm:
            case Algorithm.P256:
                return make_ec(self._token, label, ec.SECP256R1())
            case Algorithm.P384:
                return make_ec(self._token, label, ec.SECP384R1())
            case Algorithm.RSA3072:
                return make_rsa(self._token, label)
            case Algorithm.ED25519:
                raise ConfigurationError(
                    "TRADEWARDEN_CA_ALGORITHM: Ed25519 keys are not made in a token; use P-256, P-384 or RSA-3072"
                )

    def load(self, name: str, certificate: x509.Certificate) -> EcKey | RsaKey:
        """Return the key of `certificate`; raises `ConfigurationError` naming the object that is missing or foreign.

        While the token is away the key is returned all the same, and is held against the certificate when it is back.
        """
        return _loaded(Place(self._token, _label(name)), certificate)

    def has(self, name: str) -> bool:
        """Tell whether the token is here and holds a private key under that name."""
        return _has(Place(self._token, _label(name)))

    def where(self, name: str) -> str:
        """Name the object and its token."""
        return str(Place(self._token, _label(name)))

    def require_present(self) -> None:
        """Raise `UnavailableError` when the token is away."""
        self._token.require_present()


def brought_token_key(uri: TokenUri, access: Access, certificate: x509.Certificate) -> EcKey | RsaKey:
    """Return the key of a CA that is brought along and lives in a token (`CA_KEY_PATH=pkcs11:…`).

    Raises `ConfigurationError` naming the object when it is missing, or not the key of `certificate`.
    """
    return _loaded(Place(Token(uri, access), uri.object, uri.id), certificate)


def token_has(uri: TokenUri, access: Access) -> bool:
    """Tell whether that token is here and holds such a key."""
    return _has(Place(Token(uri, access), uri.object, uri.id))


def _has(place: Place) -> bool:
    try:
        return has_private_key(place)
    except UnavailableError:
        return False


def _loaded(place: Place, certificate: x509.Certificate) -> EcKey | RsaKey:
    key = token_key(place, strong(certificate.public_key()))
    # The service starts without the token, too: what needs the key says so then, and readiness.
    with suppress(UnavailableError):
        key.require()
    return key


def _label(name: str) -> str:
    return name.removesuffix(".pem")
