"""Certificates that are ordered under names which their holder has proven, as ACME clients do (RFC 8555)."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, Protocol

from tradewarden.pki.certificate.names import Names

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST_SECONDS: Final = 90 * 86_400
"""Longest life of such a certificate: its client renews it by itself, well before."""

_MAX_COMMON_NAME: Final = 64


class OrderedCertificate(Protocol):
    """What is ordered (`tradewarden.acme.ports.Ordered`)."""

    @property
    def service_name(self) -> str:
        """Whose certificate it is."""
        ...

    @property
    def serial(self) -> str:
        """The serial number that it will have, 40 hex digits; one number is issued once."""
        ...

    @property
    def profile(self) -> str:
        """What it is for (`pki.certificate.profiles`)."""
        ...

    @property
    def csr(self) -> bytes:
        """The request that holds its key (DER)."""
        ...

    @property
    def dns_names(self) -> tuple[str, ...]:
        """Exactly the DNS names that it bears, the service's own among them only when it was ordered."""
        ...

    @property
    def ip_addresses(self) -> tuple[str, ...]:
        """Exactly the addresses that it bears."""
        ...


class Certified(Protocol):
    """A certificate that was issued, and by which CA."""

    @property
    def certificate(self) -> bytes:
        """The certificate in DER."""
        ...

    @property
    def issuer(self) -> str:
        """The SHA-256 (hex) of its CA's certificate."""
        ...


def bare_names(trust_domain: str, service: str, dns_names: Sequence[str], ip_addresses: Sequence[str]) -> Names:
    """Return checked names as they are, with the service's SPIFFE ID and without its own label."""
    return Names(f"spiffe://{trust_domain}/{service}", tuple(dns_names), tuple(map(ip_address, ip_addresses)))


def common_name_of(names: Names) -> str:
    """Return the name that the subject repeats: clients take a CN for one more name, so it must be one.

    Empty when every name is longer than a CN may be (RFC 5280 appendix A.1); the service's own stands there then.
    """
    values = (*names.dns, *map(str, names.ips))
    return next((each for each in values if len(each) <= _MAX_COMMON_NAME), "")
