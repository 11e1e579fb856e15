"""Certificate chains with one thing wrong each, after public bad-certificate collections.

The cases follow NIST PKITS (Public Key Interoperability Test Suite 1.0.1, a work of the U.S. government, in the public
domain) and the case list of C2SP x509-limbo (Apache 2.0). Only what each case is about was taken: their certificates
come without the private keys that a TLS handshake needs, and not under our CA, so each chain is made here.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ssl
import tempfile
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from tradewarden.pki.certificate.der import SEQUENCE, Reader, tlv
from tradewarden.pki.certificate.encoding import certificate_der

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
DAY: Final = dt.timedelta(days=1)
PURPOSES: Final = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH)
SPIFFE: Final = "spiffe://trade.example/bot"
_UNKNOWN: Final = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.99999.7"), b"\x05\x00")
_ODD: Final[tuple[x509.Extension[x509.ExtensionType], ...]] = (x509.Extension(_UNKNOWN.oid, True, _UNKNOWN),)  # noqa: FBT003
_FOR_CODE: Final[tuple[x509.Extension[x509.ExtensionType], ...]] = (
    x509.Extension(x509.ExtendedKeyUsage.oid, False, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])),  # noqa: FBT003
)
_PROMISES: Final[tuple[x509.Extension[x509.ExtensionType], ...]] = (
    x509.Extension(x509.KeyUsage.oid, True, x509.KeyUsage(False, True, *[False] * 7)),  # noqa: FBT003
)
_SOMEBODY: Final = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])
_SHA256: Final = bytes.fromhex("300a06082a8648ce3d040302")
_SHA1: Final = bytes.fromhex("300906072a8648ce3d0401")
"""AlgorithmIdentifiers of ECDSA (RFC 5758 section 3.2, RFC 3279 section 2.2.3)."""


class Held(NamedTuple):
    """A certificate with its private key."""

    certificate: x509.Certificate
    key: Key


class Made(NamedTuple):
    """How a certificate is to be made; every field is what a good one has."""

    name: str = "bot"
    ca: bool = False
    path_length: int | None = None
    constraints: bool = True
    signs: bool = False
    key_usage: bool = True
    purposes: tuple[ObjectIdentifier, ...] = PURPOSES
    names: tuple[x509.GeneralName, ...] = (
        x509.UniformResourceIdentifier(SPIFFE),
        x509.DNSName("localhost"),
        x509.IPAddress(IPv4Address("127.0.0.1")),
    )
    starts: dt.timedelta = -DAY
    ends: dt.timedelta = DAY
    extra: tuple[x509.Extension[x509.ExtensionType], ...] = ()
    key: Key | None = None


def make(made: Made, issuer: Held | None) -> Held:
    """Return a certificate made as told, signed by `issuer` (None: by itself)."""
    key = made.key or ec.generate_private_key(ec.SECP256R1())
    above = issuer or Held(None, key)  # type: ignore[arg-type]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, made.name)])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(
        issuer_name=issuer.certificate.subject if issuer else subject,
        subject_name=subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now + made.starts,
        not_valid_after=now + made.ends,
    )
    for extension in _extensions(made, key, above.key):
        builder = builder.add_extension(extension.value, critical=extension.critical)
    return Held(builder.sign(above.key, hashes.SHA256()), key)


def _extensions(made: Made, key: Key, signer: Key) -> list[x509.Extension[x509.ExtensionType]]:
    found: list[tuple[x509.ExtensionType, bool]] = []
    if made.constraints:
        found.append((x509.BasicConstraints(made.ca, made.path_length if made.ca else None), True))
    if made.key_usage:
        signs = made.signs
        found.append((x509.KeyUsage(not signs, False, False, False, False, signs, signs, False, False), True))  # noqa: FBT003
    if not made.ca and made.purposes:
        found.append((x509.ExtendedKeyUsage(made.purposes), False))
    if not made.ca and made.names:
        found.append((x509.SubjectAlternativeName(made.names), False))
    found.append((x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False))
    found.append((x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False))
    return [*(x509.Extension(value.oid, critical, value) for value, critical in found), *made.extra]


_CA: Final = Made(ca=True, signs=True, ends=10 * DAY)


class World:
    """Our two CAs, and what attackers may hold: a good certificate of ours with its key."""

    def __init__(self) -> None:
        self.root = make(_CA._replace(name="Root"), None)
        self.issuing = make(_CA._replace(name="Issuing", path_length=0), self.root)
        self.bot = make(Made(), self.issuing)

    def under(self, ca: Made, leaf: Made | None = None) -> list[Held]:
        """Return a chain through another CA under our root."""
        between = make(ca, self.root)
        return [make(leaf or Made(), between), between]

    def leaf(self, made: Made) -> list[Held]:
        """Return a chain of a certificate of our issuing CA."""
        return [make(made, self.issuing), self.issuing]


def _constrained(*, permitted: x509.GeneralName | None = None, excluded: x509.GeneralName | None = None) -> Made:
    limits = x509.NameConstraints([permitted] if permitted else None, [excluded] if excluded else None)
    return _CA._replace(name="Limited", extra=(x509.Extension(limits.oid, True, limits),))  # noqa: FBT003


def _forged(world: World) -> list[Held]:
    """Return a chain whose leaf bears the issuing CA's name and another key's signature (limbo: forged issuer)."""
    impostor = make(_CA._replace(name="Issuing", path_length=0), None)
    return [make(Made(), impostor), world.issuing]


def _broken_signature(world: World) -> list[Held]:
    good = world.bot.certificate.public_bytes(Encoding.DER)
    return [Held(x509.load_der_x509_certificate(good[:-1] + bytes((good[-1] ^ 1,))), world.bot.key), world.issuing]


def _other_algorithm(world: World) -> list[Held]:
    """Return a leaf that names another algorithm outside the signed part than within (RFC 5280 section 4.1.1.2)."""
    good = world.bot.certificate.public_bytes(Encoding.DER)
    sha256, sha384 = bytes.fromhex("06082a8648ce3d040302"), bytes.fromhex("06082a8648ce3d040303")
    at = good.rindex(sha256)
    changed = good[:at] + sha384 + good[at + len(sha384) :]
    return [Held(x509.load_der_x509_certificate(changed), world.bot.key), world.issuing]


def _sha1(world: World) -> list[Held]:
    """Return a leaf that is correctly signed by ecdsa-with-SHA1, which the library no longer does."""
    tbs = Reader(world.bot.certificate.tbs_certificate_bytes).value(SEQUENCE)
    signed = tlv(SEQUENCE, tbs.replace(_SHA256, _SHA1, 1))
    # As a number, which is what ECDSA signs, the digest is the same with zeros in front (FIPS 186-5 section 6.4.1).
    digest = bytes(12) + hashlib.sha1(signed, usedforsecurity=False).digest()
    signature = world.issuing.key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256())))  # type: ignore[call-arg, arg-type]
    return [
        Held(x509.load_der_x509_certificate(certificate_der(signed, _SHA1, signature)), world.bot.key),
        world.issuing,
    ]


def _below_a_service(world: World) -> list[Held]:
    return [make(Made(name="admin"), world.bot), world.bot, world.issuing]


def _path_too_long(world: World) -> list[Held]:
    below = make(_CA._replace(name="Below"), world.issuing)
    return [make(Made(), below), below, world.issuing]


class Bad(NamedTuple):
    """A chain that is refused, and what OpenSSL says about it (a regular expression)."""

    says: str
    chain: Callable[[World], list[Held]]


BAD: Final[dict[str, Bad]] = {
    "PKITS 4.1.3 bad signature": Bad("certificate signature failure", _broken_signature),
    "PKITS 4.1.2 forged issuer": Bad("unable to get local issuer", _forged),
    "RFC 5280 4.1.1.2 two algorithms": Bad("certificate signature failure|algorithm mismatch", _other_algorithm),
    "PKITS 4.2.2 not yet valid": Bad("not yet valid", lambda w: w.leaf(Made(starts=DAY, ends=2 * DAY))),
    "PKITS 4.2.6 expired": Bad("has expired", lambda w: w.leaf(Made(starts=-2 * DAY, ends=-DAY))),
    "PKITS 4.2.5 expired CA": Bad(
        "has expired", lambda w: w.under(_CA._replace(name="Old", starts=-2 * DAY, ends=-DAY))
    ),
    "PKITS 4.3.1 another CA": Bad(
        "unable to get local issuer", lambda w: [make(Made(), make(_CA._replace(name="Other"), None)), w.issuing]
    ),
    "PKITS 4.6.1 CA without basic constraints": Bad(
        "invalid CA", lambda w: w.under(_CA._replace(name="Bare", constraints=False))
    ),
    "PKITS 4.6.2 CA false": Bad("invalid CA", _below_a_service),
    "PKITS 4.6.5 path too long": Bad("path length", _path_too_long),
    "PKITS 4.7.1 CA without keyCertSign": Bad("invalid CA", lambda w: w.under(_CA._replace(name="Mute", signs=False))),
    "PKITS 4.13.33 DNS name excluded": Bad(
        "excluded subtree", lambda w: w.under(_constrained(excluded=x509.DNSName("localhost")))
    ),
    "PKITS 4.13.31 DNS name not permitted": Bad(
        "permitted subtree", lambda w: w.under(_constrained(permitted=x509.DNSName("other.example")))
    ),
    "PKITS 4.13.35 URI not permitted": Bad(
        "permitted subtree", lambda w: w.under(_constrained(permitted=x509.UniformResourceIdentifier("other.example")))
    ),
    "PKITS 4.13.2 subject not permitted": Bad(
        "permitted subtree", lambda w: w.under(_constrained(permitted=x509.DirectoryName(_SOMEBODY)))
    ),
    "limbo IP address not permitted": Bad(
        "permitted subtree", lambda w: w.under(_constrained(permitted=x509.IPAddress(IPv4Network("10.0.0.0/8"))))
    ),
    "PKITS 4.16.2 unknown critical extension": Bad("unhandled critical extension", lambda w: w.leaf(Made(extra=_ODD))),
    "limbo unknown critical extension in a CA": Bad(
        "unhandled critical extension", lambda w: w.under(_CA._replace(name="Odd", extra=_ODD))
    ),
    "limbo wrong purpose": Bad(
        "certificate purpose", lambda w: w.leaf(Made(purposes=(ExtendedKeyUsageOID.CODE_SIGNING,)))
    ),
    "limbo CA for another purpose": Bad(
        "certificate purpose|invalid CA", lambda w: w.under(_CA._replace(name="Code", extra=_FOR_CODE))
    ),
    "limbo key usage without digitalSignature": Bad(
        "certificate purpose", lambda w: w.leaf(Made(key_usage=False, extra=_PROMISES))
    ),
    "limbo weak RSA key of a CA": Bad(
        "CA certificate key too weak",
        lambda w: w.under(_CA._replace(name="Weak", key=rsa.generate_private_key(65537, 1024))),  # noqa: S505
    ),
    "limbo weak RSA key": Bad("key too weak", lambda w: w.leaf(Made(key=rsa.generate_private_key(65537, 1024)))),  # noqa: S505
    "limbo weak signature hash": Bad("digest algorithm too weak", _sha1),
    "limbo self-signed leaf": Bad("self-signed", lambda _: [make(Made(), None)]),
    "limbo leaf that is a CA of its own": Bad("self-signed", lambda _: [make(_CA._replace(name="Root"), None)]),
}
"""By the number of PKITS, or the subject of limbo's case, that each is after."""


def load(context: ssl.SSLContext, chain: list[Held]) -> None:
    """Have a context show a chain, whatever is wrong with it."""
    pem = b"".join(each.certificate.public_bytes(Encoding.PEM) for each in chain)
    key = chain[0].key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chain.pem"
        path.write_bytes(key + pem)
        context.load_cert_chain(path)


def careless(protocol: int) -> ssl.SSLContext:
    """Return an attacker's context: it checks nothing and refuses no weak key of its own."""
    context = ssl.SSLContext(protocol)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    return context
