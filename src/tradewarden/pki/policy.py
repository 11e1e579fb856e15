"""How this installation issues certificates: the part of the settings that the authority needs."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from tradewarden.crypto.pkcs11 import Access
from tradewarden.errors import InvalidInputError
from tradewarden.pki.certificate.algorithm import Algorithm
from tradewarden.pki.certificate.profiles import ISSUED, Profile
from tradewarden.settings.pkcs11 import TokenUri

_HOUR: Final = 3600


class Policy(msgspec.Struct, frozen=True):
    """Names, algorithm, terms and places.

    `ca_cert_path` and `ca_key_path` name a CA that is brought along; empty, or the authority's own file in the data
    directory, means that there is none. `public_url` (empty: left out) is where verifiers find CRLs, issuing
    certificates and the OCSP responder. `ca_keys` names the token that CA keys are made in (None: files), `access` says
    how this process gets at tokens. For `renewal_grace_hours` after its end a certificate can still be renewed by
    whoever holds its key. `herald_seconds` is how long a prepared issuing CA stands before an ordinary rotation lets it
    issue, so that every listener has its list by then. `announce_seconds` is how long a new root is trusted, with its
    list among the others, before anything is issued below it: longer than verifiers take to fetch lists (0: at once).
    `own_names` are
    the DNS names and addresses that others find this service under: nobody else is certified under one of them.
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
    herald_seconds: float = 1.0
    announce_seconds: int = 0
    own_names: frozenset[str] = frozenset()

    @property
    def overlap_seconds(self) -> int:
        """How long a rotation of the root trusts both: so long after the last certificate under the old one."""
        return (self.overlap_days or self.validity_days) * 86_400 + self.announce_seconds

    def brought(self, own: Path) -> Path | None:
        """Return where the CA that is brought along lies; None when the settings name none, or our `own` file."""
        return None if self.ca_cert_path == own else self.ca_cert_path

    def profile(self, name: str) -> Profile:
        """Return a profile that services are given; raises `InvalidInputError`."""
        profile = ISSUED.get(name)
        if profile is None or name not in self.profiles:
            raise InvalidInputError(f"profile must be one of {', '.join(self.profiles)}")
        return profile

    def seconds(self, ttl_hours: int | None, profile: Profile) -> int:
        """Return how long a certificate lives, as long as may be unless that is asked; raises `InvalidInputError`."""
        longest = min(self.validity_days * 24, profile.hours or self.validity_days * 24)
        hours = longest if ttl_hours is None else ttl_hours
        if not 1 <= hours <= longest:
            raise InvalidInputError(f"ttl_hours must be from 1 to {longest} (CERT_VALIDITY_DAYS, or the profile's own)")
        return hours * _HOUR
