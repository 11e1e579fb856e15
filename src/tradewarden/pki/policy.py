"""How this installation issues certificates: the part of the settings that the authority needs."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tradewarden.pki.algorithm import Algorithm


class Policy(msgspec.Struct, frozen=True):
    """Names, algorithm, terms and places.

    `ca_cert_path` and `ca_key_path` name a CA that is brought along; empty, or the authority's own file in the data
    directory, means that there is none. `crl_url` and `issuer_url` (empty: left out) are where verifiers find the CRL
    and the issuing certificate (RFC 5280 sections 4.2.1.13 and 4.2.2.1).
    """

    trust_domain: str
    algorithm: Algorithm = Algorithm.P256
    validity_days: int = 365
    ca_cert_path: Path | None = None
    ca_key_path: Path | None = None
    crl_url: str = ""
    issuer_url: str = ""
    crl_hours: int = 24
