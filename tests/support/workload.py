"""Pairs and started identities for the tests of `tradewarden.workload`."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.standin_ca import Authority, StandIn, authority, leaf, pem_key
from tradewarden import ServiceIdentity
from tradewarden.workload.pair import Pair


class Issuer:
    """A root and an issuing CA that make pairs without a service."""

    def __init__(self) -> None:
        self.root: Authority = authority("root")
        self.issuing: Authority = authority("issuing", self.root)

    def pair(self, service: str = "orders", life: float = 3600.0, *, hosts: bool = True, began: float = 0.0) -> Pair:
        """Return a pair that is not on disk yet."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = leaf(self.issuing, key.public_key(), service, life, hosts=hosts, began=began)
        chain = certificate.public_bytes(Encoding.PEM) + self.issuing.pem
        return Pair.read(pem_key(key), chain, self.root.pem)


def identity(ca: StandIn, service: str, **options: object) -> ServiceIdentity:
    """Return an identity of a service with a join token, in a directory by its name, not started yet."""
    given: dict[str, object] = {"mtls_url": ca.url, "join_token": ca.token(service), **options}
    return ServiceIdentity(Path(ca.directory) / service, ca.url, service, **given)  # type: ignore[arg-type]
