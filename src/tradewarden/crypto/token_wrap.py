"""A few bytes encrypted inside a token, by an AES-256 key that never leaves it (CKM_AES_GCM; NIST SP 800-38D)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Protocol, cast

from tradewarden.crypto.aead import NONCE_BYTES
from tradewarden.crypto.token_keys import Place
from tradewarden.errors import ConfigurationError, DecryptionError

if TYPE_CHECKING:
    import pkcs11

    from tradewarden.crypto.pkcs11 import Token

_BITS: Final = 256
_TAG_BYTES: Final = 16
_ID_BYTES: Final = 20


class _Cipher(Protocol):
    """A secret key object of the library, as far as it is used here."""

    def encrypt(self, data: bytes, **how: object) -> bytes:
        """Encrypt."""
        ...

    def decrypt(self, data: bytes, **how: object) -> bytes:
        """Decrypt."""
        ...


def seal_in_token(token: Token, label: str, identity: bytes, data: bytes, nonce: bytes, use: bytes) -> bytes:
    """Return `nonce | ciphertext | tag`, bound to `use`; the key is made when the token has none of that label.

    Raises `UnavailableError` when the token is away, `ConfigurationError` when it cannot do it.
    """
    place = Place(token, label, identity)

    def work(session: pkcs11.Session) -> bytes:
        import pkcs11

        try:
            keys = _keys(session, place) or [_make(session, place)]
            return nonce + keys[0].encrypt(data, **_gcm(nonce, use))
        except (pkcs11.MechanismInvalid, pkcs11.MechanismParamInvalid, pkcs11.FunctionNotSupported) as error:
            raise ConfigurationError(f"The {token.name} cannot encrypt by AES-GCM; use another token") from error

    return token.use(work, str(place), write=True)


def open_in_token(token: Token, label: str, identity: bytes, sealed: bytes, use: bytes) -> bytes:
    """Return what `seal_in_token` was given; raises `DecryptionError` when no key of that label sealed it.

    Raises `ConfigurationError` when there is no such key, `UnavailableError` when the token is away.
    """
    place = Place(token, label, identity)
    nonce, ciphertext = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
    if len(ciphertext) < _TAG_BYTES:
        raise DecryptionError("too short for a sealed key")

    def work(session: pkcs11.Session) -> bytes:

        keys = _keys(session, place)
        if not keys:
            raise ConfigurationError(f"There is no AES key as {place}; put it back")
        for key in keys:
            try:
                return bytes(key.decrypt(ciphertext, **_gcm(nonce, use)))
            except _wrong():
                session.token.slot.get_token()  # the same errors come from a token that is away: this fails then
        raise DecryptionError(f"no key as {place} opens it")

    return token.use(work, str(place))


def _wrong() -> tuple[type[Exception], ...]:
    """Return the errors by which modules say that the tag is wrong; PKCS#11 has no single one."""
    import pkcs11

    return (pkcs11.EncryptedDataInvalid, pkcs11.EncryptedDataLenRange, pkcs11.FunctionFailed, pkcs11.GeneralError)


def _keys(session: pkcs11.Session, place: Place) -> list[_Cipher]:
    import pkcs11

    search = place.search(CLASS=pkcs11.ObjectClass.SECRET_KEY, KEY_TYPE=pkcs11.KeyType.AES)
    found = list(session.get_objects(search))
    if not found:
        session.token.slot.get_token()  # a module may find nothing just because the token is away: this fails then
    return cast("list[_Cipher]", found)


def _make(session: pkcs11.Session, place: Place) -> _Cipher:
    import pkcs11

    template = {
        pkcs11.Attribute.SENSITIVE: True,
        pkcs11.Attribute.EXTRACTABLE: False,
        pkcs11.Attribute.PRIVATE: True,
    }
    made = session.generate_key(
        pkcs11.KeyType.AES,
        _BITS,
        label=place.label,
        id=place.id or os.urandom(_ID_BYTES),
        store=True,
        capabilities=pkcs11.MechanismFlag.ENCRYPT | pkcs11.MechanismFlag.DECRYPT,
        template=template,
    )
    return cast("_Cipher", made)


def _gcm(nonce: bytes, use: bytes) -> dict[str, object]:
    import pkcs11

    return {
        "mechanism": pkcs11.Mechanism.AES_GCM,
        "mechanism_param": pkcs11.GCMParams(nonce, use, _TAG_BYTES * 8),
    }
