"""Which keys sign here, with which parameters, and which keys of others are strong enough.

At least 128 bits of strength (NIST SP 800-57 part 1, table 2), SHA-2 only, and for RSA only PSS: PKCS#1 v1.5
signatures are never made here.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple, Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from tradewarden.crypto.token_keys import TokenKey
from tradewarden.errors import InvalidInputError

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey
Sha2 = hashes.SHA256 | hashes.SHA384 | hashes.SHA512

RSA_BITS: Final = 3072
MAX_RSA_BITS: Final = 8192
_EXPONENT: Final = 65537
_CURVES: Final = (ec.SECP256R1, ec.SECP384R1)

# AlgorithmIdentifiers in DER: RFC 5758 section 3.2, RFC 8410 section 3, RFC 4055 section 3.1.
_ECDSA_SHA256: Final = bytes.fromhex("300a06082a8648ce3d040302")
_ECDSA_SHA384: Final = bytes.fromhex("300a06082a8648ce3d040303")
_ED25519: Final = bytes.fromhex("300506032b6570")
_PSS_SHA256: Final = bytes.fromhex(
    "304106092a864886f70d01010a3034"
    "a00f300d06096086480165030402010500"  # the hash: SHA-256
    "a11c301a06092a864886f70d010108300d06096086480165030402010500"  # the mask: MGF1 over SHA-256
    "a203020120"  # 32 bytes of salt
)


class Algorithm(StrEnum):
    """What a CA's key is made as; chosen by setting, the default first."""

    P256 = "P-256"
    P384 = "P-384"
    ED25519 = "Ed25519"
    RSA3072 = "RSA-3072"


class _Signs(Protocol):
    def sign(self, data: bytes, /, *parameters: object) -> bytes: ...


class _Verifies(Protocol):
    def verify(self, signature: bytes, data: bytes, /, *parameters: object) -> None: ...


class Signing(NamedTuple):
    """How a key signs: the hash (None: the scheme has its own), the padding (RSA only), and whether it takes long.

    `identifier` is the AlgorithmIdentifier (DER) that such a signature stands under, `parameters` what the library's
    keys of this kind take behind the data.
    """

    hash: Sha2 | None
    identifier: bytes
    parameters: tuple[object, ...] = ()
    padding: padding.PSS | None = None
    slow: bool = False

    def sign(self, key: PrivateKey, data: bytes) -> bytes:
        """Sign `data` this way; raises `TypeError` for a key of another kind."""
        signs: _Signs = key  # type: ignore[assignment]  # which parameters a key takes follows from its kind
        return signs.sign(data, *self.parameters)

    def verify(self, key: PublicKey, signature: bytes, data: bytes) -> None:
        """Verify a signature that was made this way and no other; raises `InvalidSignature`, for another kind too."""
        verifies: _Verifies = key  # type: ignore[assignment]
        try:
            verifies.verify(signature, data, *self.parameters)
        except TypeError as error:
            raise InvalidSignature from error


def generate(algorithm: Algorithm) -> PrivateKey:
    """Make a new private key. RSA takes about a second: not on the event loop."""
    match algorithm:
        case Algorithm.P256:
            return ec.generate_private_key(ec.SECP256R1())
        case Algorithm.P384:
            return ec.generate_private_key(ec.SECP384R1())
        case Algorithm.ED25519:
            return ed25519.Ed25519PrivateKey.generate()
        case Algorithm.RSA3072:
            return rsa.generate_private_key(_EXPONENT, RSA_BITS)


def signing(key: PrivateKey) -> Signing:
    """Return how `key` signs certificates and CRLs (FIPS 186-5; RSA: PSS of RFC 8017 section 8.1, RFC 4055)."""
    if isinstance(key, rsa.RSAPrivateKey):
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
        return Signing(hashes.SHA256(), _PSS_SHA256, (pss, hashes.SHA256()), pss, slow=True)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        away = isinstance(key, TokenKey)  # a token may be across a network
        if key.curve.key_size == 256:  # noqa: PLR2004
            return Signing(hashes.SHA256(), _ECDSA_SHA256, (ec.ECDSA(hashes.SHA256()),), slow=away)
        return Signing(hashes.SHA384(), _ECDSA_SHA384, (ec.ECDSA(hashes.SHA384()),), slow=away)
    return Signing(None, _ED25519)


def strong(key: object) -> PublicKey:
    """Return a public key that we certify or trust; raises `InvalidInputError` saying what is weak about it."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        if not isinstance(key.curve, _CURVES):
            raise InvalidInputError(f"its curve {key.curve.name} is not accepted; use P-256 or P-384")
        return key
    if isinstance(key, rsa.RSAPublicKey):
        if not RSA_BITS <= key.key_size <= MAX_RSA_BITS:
            raise InvalidInputError(
                f"its RSA key has {key.key_size} bits; from {RSA_BITS} to {MAX_RSA_BITS} are accepted"
            )
        if key.public_numbers().e != _EXPONENT:
            raise InvalidInputError(f"its RSA exponent is not {_EXPONENT}")
        return key
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    raise InvalidInputError("its kind of key is not accepted; use P-256, P-384, Ed25519 or RSA from 3072 bits")


def approved_hash(signed: x509.Certificate | x509.CertificateSigningRequest) -> None:
    """Refuse a signature over SHA-1, MD5 and the like; raises `InvalidInputError`."""
    used = signed.signature_hash_algorithm
    if used is not None and not isinstance(used, Sha2):
        raise InvalidInputError(f"it is signed over {used.name}; SHA-256, SHA-384 or SHA-512 is needed")
