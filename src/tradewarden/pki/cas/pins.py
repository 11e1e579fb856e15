"""The pin set: whose keys a third party may hold our certificates to, now and after the next rotation.

A pin is the SHA-256 of a CA's SubjectPublicKeyInfo (RFC 7469 section 2.4), so a renewed certificate of the same key
keeps it. The key that will issue next is in the set as the backup pin. The set is signed as a JWS (RFC 7515) by the
issuing CA's key, its chain in `x5c`, so that it can be kept and passed on.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tradewarden.clock import rfc3339
from tradewarden.crypto.base64url import base64url
from tradewarden.pki.certificate.issuer import public_der
from tradewarden.pki.store import Role, Standing

if TYPE_CHECKING:
    from cryptography import x509

    from tradewarden.pki.cas.authorities import Authorities, Ca
    from tradewarden.pki.certificate.issuer import Issuer
    from tradewarden.pki.policy import Policy

TYPE = "tradewarden-pins+jws"
_DAY = 86_400
_VALID_DAYS = 30
_P256_BITS = 256


class Pin(msgspec.Struct, frozen=True):
    """One key: `sha256` in base64 of its SubjectPublicKeyInfo, whose it is, and until when that CA's certificate is."""

    sha256: str
    role: Role
    state: Standing
    subject: str
    not_after: str


class RotationPlan(msgspec.Struct, frozen=True):
    """What is planned: from when on the backup key issues at the earliest, unless the active one is lost before.

    `root_overlap_until` is set while two roots are trusted: the old one's pin leaves the set then.
    """

    next_issuing_from: str
    root_overlap_until: str | None


class PinSet(msgspec.Struct, frozen=True):
    """What is signed; `version` rises with every change of the CAs, times are RFC 3339 in UTC."""

    trust_domain: str
    version: int
    issued_at: str
    valid_until: str
    pins: tuple[Pin, ...]
    rotation: RotationPlan


class SignedPins(msgspec.Struct, frozen=True):
    """The pin set, and the same again as a compact JWS."""

    pin_set: PinSet
    jws: str


class Pins:
    """Makes the pin set once a day and after every change."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._held: tuple[Authorities, int, SignedPins] | None = None

    async def signed(self, known: Authorities, now: float) -> SignedPins:
        """Return the set as of today; raises `UnavailableError` while the issuing CA's key is away."""
        day = int(now) // _DAY
        if self._held is None or self._held[0] is not known or self._held[1] != day:
            issuer = known.issuing.signer()
            found = pin_set(known, self._policy, day * _DAY)
            jws = await asyncio.to_thread(_jws, issuer, known, msgspec.json.encode(found))
            self._held = known, day, SignedPins(found, jws)
        return self._held[2]


def pin_set(known: Authorities, policy: Policy, issued_at: int) -> PinSet:
    """Return the pins of what is trusted or issues, now or next; a retired CA's are not in it."""
    listed: list[Ca] = [*known.trusted, known.issuing]
    if known.next_issuing is not None:
        listed.append(known.next_issuing)
    pins = {pin.sha256: pin for pin in map(_pin, reversed(listed))}
    overlap = known.next_root.row.created_at + policy.overlap_seconds if known.next_root else None
    return PinSet(
        policy.trust_domain,
        known.version,
        rfc3339(issued_at),
        rfc3339(min(issued_at + _VALID_DAYS * _DAY, known.issuing.ends)),
        tuple(reversed(pins.values())),
        RotationPlan(rfc3339(known.issuing.ageing), None if overlap is None else rfc3339(overlap)),
    )


def spki_pin(certificate: x509.Certificate) -> str:
    """Return the pin of a certificate's key."""
    return b64encode(sha256(public_der(certificate.public_key())).digest()).decode()  # type: ignore[arg-type]


def _pin(ca: Ca) -> Pin:
    subject = ca.certificate.subject.rfc4514_string()
    return Pin(spki_pin(ca.certificate), ca.row.role, ca.row.state, subject, rfc3339(ca.ends))


def _jws(issuer: Issuer, known: Authorities, payload: bytes) -> str:
    above = [ca.row.certificate for ca in (known.issuing, *known.crosses(known.issuing.row.issuer))]
    header = {"alg": _algorithm(issuer), "typ": TYPE, "x5c": [b64encode(der).decode() for der in above]}
    signed = f"{base64url(msgspec.json.encode(header))}.{base64url(payload)}"
    return f"{signed}.{base64url(_signature(issuer, signed.encode()))}"


def _algorithm(issuer: Issuer) -> Literal["ES256", "ES384", "EdDSA", "PS256"]:
    """Return the JWS name of how the issuer signs (RFC 7518 section 3.1, RFC 8037 section 3.1)."""
    key = issuer.certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        return "ES256" if key.curve.key_size == _P256_BITS else "ES384"
    return "EdDSA" if isinstance(key, ed25519.Ed25519PublicKey) else "PS256"


def _signature(issuer: Issuer, data: bytes) -> bytes:
    """Sign; an ECDSA signature is r and s side by side in a JWS (RFC 7518 section 3.4)."""
    made, key = issuer.sign(data), issuer.certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return made
    size = key.curve.key_size // 8
    return b"".join(part.to_bytes(size, "big") for part in decode_dss_signature(made))
