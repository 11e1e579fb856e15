"""Private keys that stay in a token and sign there: `cryptography`'s key classes over PKCS#11.

Always true here: a key signs in a session only after it signed a challenge in it that its public key verifies. So a
token that was swapped for another one, or an object that was replaced, signs nothing.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, Protocol, Self, TypeVar, cast

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import NoDigestInfo, Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key

from tradewarden.errors import ConfigurationError, TradewardenError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pkcs11
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

    from tradewarden.crypto.pkcs11 import Token

T = TypeVar("T")
Data = bytes | bytearray | memoryview

_CHALLENGE_BYTES: Final = 32
_ID_BYTES: Final = 20
_RSA_BITS: Final = 3072
_HASHES: Final = {"sha256": "SHA256", "sha384": "SHA384", "sha512": "SHA512"}


class _Signing(Protocol):
    """A private key object of the library, as far as it is used here."""

    def sign(self, data: bytes, **how: object) -> bytes:
        """Sign a digest."""
        ...


class Place(NamedTuple):
    """Where a key is: its token, and the label and CKA_ID of the object (empty: any)."""

    token: Token
    label: str = ""
    id: bytes = b""

    def __str__(self) -> str:
        named = f"object '{self.label}'" if self.label else f"object with id {self.id.hex() or '(any)'}"
        return f"{named} in {self.token.name}"

    def search(self, **wanted: object) -> dict[Any, Any]:
        """Return the template that finds it, with more attributes by name."""
        import pkcs11

        found: dict[Any, Any] = {pkcs11.Attribute[name]: value for name, value in wanted.items()}
        if self.label:
            found[pkcs11.Attribute.LABEL] = self.label
        if self.id:
            found[pkcs11.Attribute.ID] = self.id
        return found


class _Held:
    """One private key, by its place and its public half; signs digests."""

    def __init__(self, place: Place, kind: str, verify: Callable[[_Signing], None]) -> None:
        self.place = place
        self._kind = kind
        self._verify = verify
        self._found: tuple[pkcs11.Session, _Signing] | None = None

    def sign(self, digest: bytes, mechanism: str, parameter: object = None) -> bytes:
        """Return the token's signature; raises `UnavailableError` naming token and object."""
        import pkcs11

        how = pkcs11.Mechanism[mechanism]
        try:
            return self._use(lambda key: key.sign(digest, mechanism=how, mechanism_param=parameter))
        except ConfigurationError as error:
            raise UnavailableError(f"{error.detail}; nothing was signed") from error

    def require(self) -> None:
        """Raise `ConfigurationError` when the key is not there, or not that of its public key."""
        self._use(lambda _: None)

    def _use(self, work: Callable[[_Signing], T]) -> T:
        def run(session: pkcs11.Session) -> T:
            if self._found is None or self._found[0] is not session:
                self._found = session, self._find(session)
            return work(self._found[1])

        return self.place.token.use(run, str(self.place))

    def _find(self, session: pkcs11.Session) -> _Signing:
        """Return the key that signs for our public key, of those that have the label."""
        import pkcs11

        search = self.place.search(CLASS=pkcs11.ObjectClass.PRIVATE_KEY, KEY_TYPE=pkcs11.KeyType[self._kind])
        candidates = cast("list[_Signing]", list(session.get_objects(search)))
        if not candidates:
            session.token.slot.get_token()  # a module may find nothing just because the token is away: this fails then
            raise ConfigurationError(f"There is no private {self._kind} key as {self.place}; put it back")
        for candidate in candidates:
            try:
                self._verify(candidate)
            except (InvalidSignature, ValueError):
                continue
            return candidate
        raise ConfigurationError(f"The {self.place} is not the private key of its certificate")


class TokenKey:
    """What a key in a token cannot do, whatever its kind."""

    _held: _Held

    @property
    def place(self) -> Place:
        """Where it is."""
        return self._held.place

    def require(self) -> None:
        """Raise `ConfigurationError` when it is not there or another key, `UnavailableError` when its token is away."""
        self._held.require()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.place})"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def private_bytes(self, *args: object, **kwargs: object) -> NoReturn:  # noqa: ARG002 - the shape of the library's
        """Raise: the key does not leave its token."""
        raise _stays(self.place)

    def private_numbers(self) -> NoReturn:
        """Raise: the key does not leave its token."""
        raise _stays(self.place)


class EcKey(TokenKey, ec.EllipticCurvePrivateKey):
    """A P-256 or P-384 key in a token (FIPS 186-5 section 6; CKM_ECDSA over a ready digest)."""

    def __init__(self, place: Place, public_key: ec.EllipticCurvePublicKey) -> None:
        self._public_key = public_key
        self._bytes = (public_key.curve.key_size + 7) // 8
        self._held = _Held(place, "EC", self._challenge)

    @property
    def curve(self) -> ec.EllipticCurve:
        """The curve."""
        return self._public_key.curve

    @property
    def key_size(self) -> int:
        """Bits of the curve."""
        return self.curve.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The public half."""
        return self._public_key

    def exchange(self, algorithm: object, peer_public_key: object) -> NoReturn:  # noqa: ARG002 - as the library's
        """Raise: the key signs and does nothing else."""
        raise UnsupportedAlgorithm(f"The {self.place} signs and does nothing else")

    def sign(self, data: Data, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """Return the signature in DER (RFC 3279 section 2.2.3); raises `UnavailableError` when the token is away."""
        if not isinstance(signature_algorithm, ec.ECDSA) or signature_algorithm.deterministic_signing:
            raise UnsupportedAlgorithm(f"The {self.place} signs by ECDSA with the token's own randomness only")
        # FIPS 186-5 section 6.4.1: of a longer digest the leftmost bits count; tokens differ in who cuts.
        digest = _digest(data, signature_algorithm.algorithm)[: self._bytes]
        return self._der(self._held.sign(digest, "ECDSA"))

    def _der(self, raw: bytes) -> bytes:
        """Return r and s, which PKCS#11 puts side by side, as DER."""
        half = len(raw) // 2
        return encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))

    def _challenge(self, candidate: _Signing) -> None:
        import pkcs11

        digest = os.urandom(_CHALLENGE_BYTES)
        raw = candidate.sign(digest, mechanism=pkcs11.Mechanism.ECDSA)
        self._public_key.verify(self._der(raw), digest, ec.ECDSA(Prehashed(hashes.SHA256())))


class RsaKey(TokenKey, rsa.RSAPrivateKey):
    """An RSA key in a token; signs by PSS alone (RFC 8017 section 8.1; CKM_RSA_PKCS_PSS over a ready digest)."""

    def __init__(self, place: Place, public_key: rsa.RSAPublicKey) -> None:
        self._public_key = public_key
        self._held = _Held(place, "RSA", self._challenge)

    @property
    def key_size(self) -> int:
        """Bits of the modulus."""
        return self._public_key.key_size

    def public_key(self) -> rsa.RSAPublicKey:
        """The public half."""
        return self._public_key

    def decrypt(self, ciphertext: object, padding: object) -> NoReturn:  # noqa: ARG002 - the shape of the library's
        """Raise: the key signs and does nothing else."""
        raise UnsupportedAlgorithm(f"The {self.place} signs and does nothing else")

    def sign(self, data: Data, padding: object, algorithm: Prehashed | hashes.HashAlgorithm | NoDigestInfo) -> bytes:
        """Return the signature; raises `UnavailableError` when the token is away."""
        if not isinstance(algorithm, hashes.HashAlgorithm):
            raise UnsupportedAlgorithm(f"The {self.place} signs whole messages only")
        _require_pss(padding, algorithm, self.place)
        return self._held.sign(_digest(data, algorithm), "RSA_PKCS_PSS", _pss(algorithm))

    def _challenge(self, candidate: _Signing) -> None:
        import pkcs11

        digest, over = os.urandom(_CHALLENGE_BYTES), hashes.SHA256()
        signed = candidate.sign(digest, mechanism=pkcs11.Mechanism.RSA_PKCS_PSS, mechanism_param=_pss(over))
        pss = padding.PSS(padding.MGF1(over), over.digest_size)
        self._public_key.verify(signed, digest, pss, Prehashed(over))


def token_key(place: Place, public_key: PublicKeyTypes) -> EcKey | RsaKey:
    """Return the key in a token whose public half this is; nothing is looked up yet."""
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        return EcKey(place, public_key)
    if isinstance(public_key, rsa.RSAPublicKey):
        return RsaKey(place, public_key)
    raise ConfigurationError(f"The {place} cannot be used: only EC and RSA keys sign in a token here")


def make_ec(token: Token, label: str, curve: ec.EllipticCurve) -> EcKey:
    """Make a key pair in the token: the private half sensitive, not extractable, for signing only."""
    from pkcs11.util.ec import encode_named_curve_parameters

    def work(session: pkcs11.Session) -> tuple[bytes, bytes]:
        import pkcs11

        parameters = {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters(curve.name)}
        domain = session.create_domain_parameters(pkcs11.KeyType.EC, parameters, local=True)
        own = os.urandom(_ID_BYTES)
        public, _ = domain.generate_keypair(mechanism=pkcs11.Mechanism.EC_KEY_PAIR_GEN, **_template(label, own))
        return own, encode_point(public)

    def encode_point(public: pkcs11.PublicKey) -> bytes:
        from pkcs11.util.ec import encode_ec_public_key

        return bytes(encode_ec_public_key(public))

    own, der = _made(token, label, work)
    public_key = load_der_public_key(der)
    if not isinstance(public_key, ec.EllipticCurvePublicKey):
        raise ConfigurationError(f"The {token.name} made no EC key")
    return _proven(EcKey(Place(token, label, own), public_key))


def make_rsa(token: Token, label: str) -> RsaKey:
    """Make an RSA key pair of 3072 bits in the token. It takes seconds."""
    from pkcs11.util.rsa import encode_rsa_public_key

    def work(session: pkcs11.Session) -> tuple[bytes, bytes]:
        import pkcs11

        own = os.urandom(_ID_BYTES)
        public, _ = session.generate_keypair(pkcs11.KeyType.RSA, _RSA_BITS, **_template(label, own))
        return own, bytes(encode_rsa_public_key(public))

    own, der = _made(token, label, work)
    public_key = load_der_public_key(der)
    if not isinstance(public_key, rsa.RSAPublicKey):
        raise ConfigurationError(f"The {token.name} made no RSA key")
    return _proven(RsaKey(Place(token, label, own), public_key))


def has_private_key(place: Place) -> bool:
    """Tell whether there is a private key at that place; raises `UnavailableError` when the token is away."""

    def look(session: pkcs11.Session) -> bool:
        import pkcs11

        for _ in session.get_objects(place.search(CLASS=pkcs11.ObjectClass.PRIVATE_KEY)):
            return True
        session.token.slot.get_token()
        return False

    return place.token.use(look, str(place))


_Key = TypeVar("_Key", EcKey, RsaKey)


def _proven(key: _Key) -> _Key:
    key.require()
    return key


def _made(token: Token, label: str, work: Callable[[pkcs11.Session], tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
    def checked(session: pkcs11.Session) -> tuple[bytes, bytes]:
        import pkcs11

        try:
            return work(session)
        except (pkcs11.MechanismInvalid, pkcs11.FunctionNotSupported, pkcs11.DomainParamsInvalid) as error:
            raise ConfigurationError(
                f"The {token.name} cannot make such a key ({type(error).__name__}); set TRADEWARDEN_CA_ALGORITHM to"
                " another kind"
            ) from error
        except (pkcs11.TokenWriteProtected, pkcs11.SessionReadOnly) as error:
            raise ConfigurationError(f"The {token.name} is write-protected; no key can be made in it") from error

    return token.use(checked, f"the new key '{label}'", write=True)


def _template(label: str, own: bytes) -> dict[str, Any]:
    import pkcs11

    private = {
        pkcs11.Attribute.SENSITIVE: True,
        pkcs11.Attribute.EXTRACTABLE: False,
        pkcs11.Attribute.PRIVATE: True,
    }
    return {
        "label": label,
        "id": own,
        "store": True,
        "capabilities": pkcs11.MechanismFlag.SIGN | pkcs11.MechanismFlag.VERIFY,
        "private_template": private,
    }


def _digest(data: Data, algorithm: Prehashed | hashes.HashAlgorithm) -> bytes:
    if isinstance(algorithm, Prehashed):
        return bytes(data)
    digest = hashes.Hash(algorithm)
    digest.update(data)
    return digest.finalize()


def _pss(over: hashes.HashAlgorithm) -> tuple[Any, Any, int]:
    import pkcs11

    name = _HASHES[over.name]
    return pkcs11.Mechanism[name], pkcs11.MGF[name], over.digest_size


def _require_pss(asked: object, over: hashes.HashAlgorithm, place: Place) -> None:
    salt = asked._salt_length if isinstance(asked, padding.PSS) else None  # noqa: SLF001 - the library has no other way
    if salt not in (padding.PSS.DIGEST_LENGTH, over.digest_size) or over.name not in _HASHES:
        raise UnsupportedAlgorithm(f"The {place} signs by PSS over SHA-2 with a salt as long as the digest only")


def _stays(place: Place) -> TradewardenError:
    return TradewardenError(f"The {place} stays there: a private key in a token cannot be read")
