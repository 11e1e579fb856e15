"""Which roots an identity goes on to trust while the service changes its own: those that a trusted one has certified.

Always true here: who answers decides nothing. TLS shows whose certificate answers, and whoever has an issuing CA's key
makes such certificates; a root is known by another root's word alone.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from tradewarden.errors import IntegrityError
from tradewarden.workload.errors import RefusedError
from tradewarden.workload.pair import certificates, pem_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography import x509

    from tradewarden.workload.door import Door
    from tradewarden.workload.pair import Pair

    Held = Sequence[x509.CertificateRevocationList]

_LOG: Final = logging.getLogger("tradewarden.workload")
_BUNDLE: Final = "The trust bundle"


def followed(door: Door, known: Pair, now: float, lists: Held) -> bytes:
    """Return those of the service's roots (PEM) that are trusted here, or certified by one that is.

    Raises `IntegrityError` when that is none, and what hindered the asking.
    """
    offered = certificates(door.roots(), _BUNDLE)
    strange = [each for each in offered if each not in known.roots]
    more = _certified(door, known, strange, now, lists) if strange else ()
    taken = [each for each in offered if each not in strange or each in more]
    if not taken:
        raise IntegrityError("No root that is trusted here vouches for those that the service gives; none was taken")
    if len(taken) < len(offered):
        _LOG.warning("%s gives a root that no root trusted here vouches for; it was not taken", door.url)
    return pem_of(tuple(dict.fromkeys(taken)))


def each_once(roots_pem: bytes) -> bytes:
    """Return roots (PEM), each once and in their order; raises `IntegrityError`."""
    return pem_of(tuple(dict.fromkeys(certificates(roots_pem, _BUNDLE))))


def _certified(
    door: Door, known: Pair, strange: Sequence[x509.Certificate], now: float, lists: Held
) -> Sequence[x509.Certificate]:
    try:
        crosses = door.crosses()
    except RefusedError:  # a service that does not know this call yet
        return ()
    found = known.vouched(pem_of(strange), crosses, now, lists)
    return certificates(found, _BUNDLE) if found else ()
