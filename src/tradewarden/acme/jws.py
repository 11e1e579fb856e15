"""Calls as flattened JSON Web Signatures (RFC 7515 section 7.2.2), read as strictly as RFC 8555 section 6.2 says.

A header is taken whole or not at all: `alg`, `nonce`, `url`, and exactly one of `jwk` and `kid`, all protected. Nothing
in it chooses how it is verified: the key's kind does, and `alg` must say the same.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

import msgspec
from cryptography.exceptions import InvalidSignature

from tradewarden.acme.jwk import ALGORITHMS
from tradewarden.acme.problem import AcmeError, AcmeProofError, Kind
from tradewarden.crypto.base64url import unbase64url

if TYPE_CHECKING:
    from tradewarden.acme.jwk import AccountKey

MAX_BODY: Final = 64 * 1024
"""Most bytes of one call: a CSR of 32 names is far below it."""


class Signed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A flattened JWS as it comes; a general one, or one with an unprotected header, has other fields."""

    protected: str
    payload: str
    signature: str

    def data(self) -> bytes:
        """Return what is signed (RFC 7515 section 5.1)."""
        return f"{self.protected}.{self.payload}".encode()


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A protected header; what it does not name may not stand there, `crit` and `b64` included."""

    alg: str
    url: str
    nonce: str = ""
    jwk: dict[str, object] | None = None
    kid: str | None = None
    typ: str = ""


class BindingHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The protected header of an external account binding (RFC 8555 section 7.3.4): no nonce there."""

    alg: str
    kid: str
    url: str


_signed = msgspec.json.Decoder(Signed).decode
_header = msgspec.json.Decoder(Header).decode
_binding = msgspec.json.Decoder(BindingHeader).decode
_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def read_signed(body: bytes) -> Signed:
    """Read a body; raises `AcmeProofError` (`malformed`)."""
    if len(body) > MAX_BODY:
        raise malformed(f"The body is larger than {MAX_BODY} bytes")
    try:
        return _signed(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        text = "The body is no flattened JWS of 'protected', 'payload' and 'signature', and nothing else"
        raise malformed(text) from error


def read_header(signed: Signed) -> Header:
    """Read the protected header of a call; raises `AcmeProofError`."""
    try:
        header = _header(_decoded(signed.protected, "protected"))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(f"The protected header does not fit: {_why(error)}") from error
    if (header.jwk is None) == (header.kid is None):
        raise malformed("The protected header needs exactly one of 'jwk' and 'kid'")
    _require_algorithm(header.alg)
    return header


def _require_algorithm(name: str) -> None:
    if name not in ALGORITHMS:
        text = f"alg {name[:20]!r} is not accepted; use {', '.join(ALGORITHMS)}"
        raise AcmeProofError(Kind.BAD_SIGNATURE_ALGORITHM, text)


def verify(signed: Signed, header: Header, key: AccountKey) -> None:
    """Check the signature by a key, whose kind must be the one that `alg` says; raises `AcmeProofError`."""
    if header.alg != key.algorithm:
        text = f"alg {header.alg} does not go with this key, which signs {key.algorithm}"
        raise AcmeProofError(Kind.BAD_SIGNATURE_ALGORITHM, text)
    _decoded(signed.payload, "payload")
    try:
        key.verify(_decoded(signed.signature, "signature"), signed.data())
    except (InvalidSignature, ValueError) as error:
        raise malformed("The signature does not verify under this key") from error


def binding_header(signed: Signed) -> BindingHeader:
    """Read the header of an external account binding; raises `AcmeProofError`."""
    try:
        header = _binding(_decoded(signed.protected, "protected"))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(f"The header of the external account binding does not fit: {_why(error)}") from error
    if header.alg != "HS256":
        raise AcmeProofError(Kind.BAD_SIGNATURE_ALGORITHM, "An external account binding is signed with HS256")
    return header


def verify_binding(signed: Signed, secret: bytes) -> bool:
    """Tell in constant time whether a MAC key made an external account binding (HMAC-SHA256)."""
    made = hmac.digest(secret, signed.data(), "sha256")
    return hmac.compare_digest(made, _decoded(signed.signature, "signature"))


def payload_of(signed: Signed) -> bytes:
    """Return the payload of a JWS; empty for POST-as-GET (RFC 8555 section 6.3)."""
    return _decoded(signed.payload, "payload")


def require_object(payload: bytes) -> None:
    """Refuse a payload that is no JSON object, or names a member twice: two readers could take different ones."""
    try:
        compact = msgspec.json.format(payload, indent=-1)
        members = _object(compact)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise AcmeError(Kind.MALFORMED, "The payload is no JSON object") from error
    length = sum([len(msgspec.json.encode(name)) + len(value) + 2 for name, value in members.items()])
    if members and length + 1 != len(compact):
        raise AcmeError(Kind.MALFORMED, "The payload names a member twice, or with escapes")


def malformed(detail: str) -> AcmeProofError:
    """Return the problem of a call that cannot be read as one."""
    return AcmeProofError(Kind.MALFORMED, detail)


def _decoded(text: str, what: str) -> bytes:
    raw = unbase64url(text)
    if raw is None:
        raise malformed(f"{what!r} is no base64url without padding (RFC 7515 section 2)")
    return raw


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, msgspec.ValidationError) else "it is no JSON object"
