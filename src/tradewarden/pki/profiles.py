"""What each kind of certificate is, as data: every extension that never changes, made once (RFC 5280 section 4.2)."""

from __future__ import annotations

from typing import Final, NamedTuple

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from tradewarden.pki.encoding import extensions_der

Extension = x509.Extension[x509.ExtensionType]


class Profile(NamedTuple):
    """One kind of certificate. `days` 0 means: as the policy and the command say; `der` is `extensions`, encoded."""

    name: str
    days: int
    constraints: x509.BasicConstraints
    key_usage: x509.KeyUsage
    extended: x509.ExtendedKeyUsage | None
    extensions: tuple[Extension, ...]
    der: bytes


def extension(value: x509.ExtensionType, *, critical: bool = False) -> Extension:
    """Return a value as the extension that carries it."""
    return x509.Extension(value.oid, critical, value)


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _profile(name: str, days: int, constraints: x509.BasicConstraints, *extended: x509.ObjectIdentifier) -> Profile:
    usage = _usage(ca=constraints.ca)
    purposes = x509.ExtendedKeyUsage(extended) if extended else None
    fixed: list[Extension] = [
        extension(constraints, critical=True),
        extension(usage, critical=True),
    ]
    if purposes is not None:
        fixed.append(extension(purposes))
    return Profile(name, days, constraints, usage, purposes, tuple(fixed), extensions_der(fixed))


_LEAF = x509.BasicConstraints(ca=False, path_length=None)

ROOT: Final = _profile("root", 3652, x509.BasicConstraints(ca=True, path_length=None))
"""The root CA: ten years, signs issuing CAs."""

ISSUING: Final = _profile("issuing", 1826, x509.BasicConstraints(ca=True, path_length=0))
"""The issuing CA: five years, signs services' certificates and CRLs, no CA below it."""

SERVICE: Final = _profile("service", 0, _LEAF, ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH)
"""A registered service: it calls and is called over mTLS."""

SERVER: Final = _profile("server", 0, _LEAF, ExtendedKeyUsageOID.SERVER_AUTH)
"""Tradewarden's own TLS listener."""


def places(crl_url: str, issuer_url: str) -> list[Extension]:
    """Return the extensions that say where the CRL and the issuing certificate are found; an empty URL says nothing."""
    found: list[Extension] = []
    if crl_url:
        full_name = [x509.UniformResourceIdentifier(crl_url)]
        found.append(extension(x509.CRLDistributionPoints([x509.DistributionPoint(full_name, None, None, None)])))
    if issuer_url:
        place = x509.UniformResourceIdentifier(issuer_url)
        access = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, place)
        found.append(extension(x509.AuthorityInformationAccess([access])))
    return found
