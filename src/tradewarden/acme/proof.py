"""Who signed a call: an account, a key with an external account binding, or the key of a certificate.

The steps follow RFC 8555 section 6.2 and 7.3.4. The nonce is spent last, so that nobody who proves nothing writes
anything.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, TypeVar

import msgspec
from cryptography import x509

from tradewarden.acme import jws
from tradewarden.acme.commands import NewAccount, RevokeCert
from tradewarden.acme.jwk import account_key, kept_key, key_of
from tradewarden.acme.problem import AcmeProofError, Kind
from tradewarden.crypto.base64url import unbase64url

if TYPE_CHECKING:
    from tradewarden.acme.bindings import Bindings
    from tradewarden.acme.jwk import AccountKey
    from tradewarden.acme.jws import Header, Signed
    from tradewarden.acme.nonces import Nonces
    from tradewarden.acme.places import Places
    from tradewarden.acme.ports import RegistrationAuthority
    from tradewarden.acme.standing import Standing
    from tradewarden.acme.store import KeyRow


T = TypeVar("T")
_SERIAL = 40


class Method(Enum):
    """How a call was proven."""

    ACCOUNT = "acme_account"
    BINDING = "acme_binding"
    CERTIFICATE = "acme_certificate"


class Proven(msgspec.Struct, frozen=True):
    """A proven caller: the service, and the id of the account, of the external key, or the serial number."""

    service_name: str
    method: Method
    name: str


class Proof:
    """Proves callers. Every failure is an `AcmeProofError`, but for the nonce's."""

    def __init__(
        self, standing: Standing, bindings: Bindings, nonces: Nonces, authority: RegistrationAuthority, places: Places
    ) -> None:
        self._standing = standing
        self._bindings = bindings
        self._nonces = nonces
        self._authority = authority
        self._places = places

    async def prove(self, path: str, body: bytes) -> Proven:
        """Return who signed the body that was sent to a path of ours."""
        signed = jws.read_signed(body)
        header = jws.read_header(signed)
        if header.url != self._places.at(path):
            raise AcmeProofError(Kind.UNAUTHORIZED, "The protected header's 'url' is not where this call went")
        proven = await self._signer(path, signed, header)
        await self._nonces.spend(header.nonce)
        return proven

    async def _signer(self, path: str, signed: Signed, header: Header) -> Proven:
        places = self._places
        if header.kid is not None:
            if path == places.NEW_ACCOUNT:
                raise jws.malformed("A new account is asked for with its key ('jwk'), not with 'kid'")
            return await self._account(signed, header)
        if path not in (places.NEW_ACCOUNT, places.REVOKE):
            raise jws.malformed("This call is signed by an account ('kid'), not with a key of its own ('jwk')")
        key = account_key(header.jwk or {})
        jws.verify(signed, header, key)
        if path == places.NEW_ACCOUNT:
            return await self._newcomer(signed, key)
        return await self._certificate(signed, key)

    async def _account(self, signed: Signed, header: Header) -> Proven:
        account_id = self._places.account_of(header.kid or "")
        if not account_id:
            raise AcmeProofError(Kind.ACCOUNT_DOES_NOT_EXIST, "'kid' is not the URL of an account here")
        row = await self._standing.account(account_id)
        jws.verify(signed, header, kept_key(row.jwk))
        return Proven(row.service_name, Method.ACCOUNT, row.id)

    async def _newcomer(self, signed: Signed, key: AccountKey) -> Proven:
        """Prove a key that asks for an account: by the account it has, or by its external account binding."""
        wanted = _payload(signed, NewAccount)
        known = await self._standing.holder(key.thumbprint)
        if known is not None:
            await self._standing.require_good(known)
            return Proven(known.service_name, Method.ACCOUNT, known.id)
        if wanted.only_return_existing:
            raise AcmeProofError(Kind.ACCOUNT_DOES_NOT_EXIST, "This key has no account")
        binding = wanted.external_account_binding
        if binding is None:
            text = "An account needs an external account binding; an administrator makes the key for it"
            raise AcmeProofError(Kind.EXTERNAL_ACCOUNT_REQUIRED, text)
        bound = await self._bound(binding, key)
        return Proven(bound.service_name, Method.BINDING, bound.id)

    async def _bound(self, binding: Signed, key: AccountKey) -> KeyRow:
        header = jws.binding_header(binding)
        if header.url != self._places.at(self._places.NEW_ACCOUNT):
            raise jws.malformed("The external account binding is for another URL")
        row = await self._standing.key(header.kid)
        if not jws.verify_binding(binding, self._bindings.secret(row)):
            raise AcmeProofError(Kind.UNAUTHORIZED, "The external account key is not good", reason="its MAC is wrong")
        if account_key(_payload(binding, dict[str, object])).thumbprint != key.thumbprint:
            raise jws.malformed("The external account binding is for another account key")
        return row

    async def _certificate(self, signed: Signed, key: AccountKey) -> Proven:
        """Prove the holder of a certificate's key, who may revoke it (RFC 8555 section 7.6)."""
        der = unbase64url(_payload(signed, RevokeCert).certificate)
        try:
            certificate = x509.load_der_x509_certificate(der or b"")
            serial, own = f"{certificate.serial_number:040x}", key_of(certificate.public_key())
        except (ValueError, TypeError, OverflowError) as error:
            raise jws.malformed("'certificate' is no certificate in DER") from error
        held = await self._authority.held(serial) if len(serial) == _SERIAL else None
        if held is None or held.certificate != der or own is None or own.thumbprint != key.thumbprint:
            raise AcmeProofError(Kind.UNAUTHORIZED, "The certificate is not ours, or not of this key")
        return Proven(held.service_name, Method.CERTIFICATE, held.serial)


def _payload(signed: Signed, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(jws.payload_of(signed), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise jws.malformed(f"The payload does not fit: {error}") from error
