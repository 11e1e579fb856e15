"""How this installation issues certificates: the part of the settings that the authority needs."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tradewarden.crypto.pkcs11 import Access
from tradewarden.pki.certificate.algorithm import Algorithm
from tradewarden.pki.certificate.profiles import ISSUED
from tradewarden.settings.pkcs11 import TokenUri


class Policy(msgspec.Struct, frozen=True):
    """Names, algorithm, terms and places.

    `ca_cert_path` and `ca_key_path` name a CA that is brought along; empty, or the authority's own file in the data
    directory, means that there is none. `public_url` (empty: left out) is where verifiers find CRLs, issuing
    certificates and the OCSP responder. `ca_keys` names the token that CA keys are made in (None: files), `access` says
    how this process gets at tokens. For `renewal_grace_hours` after its end a certificate can still be renewed by
    whoever holds its key.
    """

    trust_domain: str
    algorithm: Algorithm = Algorithm.P256
    validity_days: int = 365
    ca_cert_path: Path | None = None
    ca_key_path: Path | TokenUri | None = None
    ca_keys: TokenUri | None = None
    access: Access = Access()
    public_url: str = ""
    crl_hours: int = 24
    renewal_grace_hours: int = 0
    profiles: tuple[str, ...] = tuple(ISSUED)
    overlap_days: int = 0

    @property
    def overlap_seconds(self) -> int:
        """How long a rotation of the root trusts both."""
        return (self.overlap_days or self.validity_days) * 86_400
