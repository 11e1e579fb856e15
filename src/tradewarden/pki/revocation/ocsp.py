"""The OCSP responder of one issuing CA (RFC 6960, RFC 5019, RFC 9654).

Always true here:
- An answer says what the inventory said when it was asked for; one that is kept is given out again only as long as no
  certificate was revoked since, in any process, and in the first half of its life; while the CA's key is away, to its
  end, if it still says what the inventory says.
- It is signed by a key of this process's own, whose certificate the CA made for nothing but this.
- A certificate that this CA never issued is `unknown`, and never good: whoever got the CA to sign something past us
  learns nothing from us. Under a CA that is compromised everything is revoked, whatever was issued.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tradewarden.errors import ConfigurationError, UnavailableError
from tradewarden.pki.credentials import Reason
from tradewarden.pki.inventory import serial_text
from tradewarden.pki.revocation.ocsp_encoding import Revoked, Single, refusal, response, response_data

if TYPE_CHECKING:
    from collections.abc import Callable

    from tradewarden.audit.entry import Entry
    from tradewarden.clock import Clock
    from tradewarden.crypto.keyset import Sealer
    from tradewarden.pki.revocation.ocsp_encoding import CertId, Request
    from tradewarden.pki.revocation.ocsp_signer import OcspSigner
    from tradewarden.pki.store import CertificateStore

LIFE_SECONDS: Final = 3600
"""From `thisUpdate` to `nextUpdate`."""
_KEPT: Final = 4096
"""So many answers without nonce are kept; about 1 kB each."""

MALFORMED, INTERNAL_ERROR, TRY_LATER, UNAUTHORIZED = "malformed", "internal_error", "try_later", "unauthorized"
_NUMBERS: Final = {MALFORMED: 1, INTERNAL_ERROR: 2, TRY_LATER: 3, UNAUTHORIZED: 6}
STATUSES: Final = ("good", "revoked", "unknown", *_NUMBERS)


class OcspAnswer(NamedTuple):
    """An OCSPResponse (DER), what it said about each certificate, and its times; all 0 for a refusal."""

    der: bytes
    statuses: tuple[str, ...]
    this_update: int = 0
    next_update: int = 0
    cacheable: bool = False
    """Whether others may keep it: it answers every request for these certificates."""


class _Kept(NamedTuple):
    answer: OcspAnswer
    singles: list[Single]
    revision: int


REFUSALS: Final = {status: OcspAnswer(refusal(number), (status,)) for status, number in _NUMBERS.items()}
"""What is answered instead of a status, by its name (RFC 6960 section 4.2.1)."""


class Responder:
    """Answers about the certificates of one CA.

    `compromised` tells since when (seconds since the epoch) the CA is worth nothing; 0 while it is good.
    """

    def __init__(
        self,
        store: CertificateStore,
        sealer: Sealer,
        signer: OcspSigner,
        clock: Clock,
        compromised: float = 0.0,
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._signer = signer
        self._clock = clock
        self._issuer = signer.issuer.fingerprint
        self._compromised = Revoked(int(compromised), Reason.CA_COMPROMISE) if compromised else None
        self._kept: dict[tuple[CertId, ...], _Kept] = {}

    async def answer(self, request: Request, revision: int, begin: Callable[[], Entry]) -> OcspAnswer:
        """Answer about certificates of this CA, as of `revision` of the certificates, read before this call.

        `begin` gives the audit entry of the signing certificate, when a new one is due. Raises `UnavailableError` or
        `ConfigurationError` when nothing can be signed, `IntegrityError` for a row that was changed outside.
        """
        now = int(self._clock.now())
        kept = self._kept.get(request.certificates)
        if kept is not None and not request.nonce and kept.revision == revision and _fresh(kept.answer, now):
            return kept.answer
        singles = [await self._single(each) for each in request.certificates]
        try:
            answer = await self._signed(request, singles, now, begin)
        except (ConfigurationError, UnavailableError):
            # Without the nonce, too, when one was sent: a client that insists on its own refuses that by itself.
            if kept is not None and kept.singles == singles and _lasting(kept.answer, now):
                return kept.answer
            raise
        if answer.cacheable:
            self._keep(request.certificates, _Kept(answer, singles, revision))
        return answer

    async def _single(self, certificate: CertId) -> Single:
        serial = certificate.serial
        row = await self._store.find(serial_text(serial)) if serial > 0 else None
        if row is None or row.issuer != self._issuer:
            return Single(certificate, known=False, revoked=self._compromised)
        self._sealer.check(row)
        if row.revocation:
            return Single(certificate, known=True, revoked=Revoked(int(row.revoked_at), Reason(row.reason)))
        return Single(certificate, known=True, revoked=self._compromised)

    async def _signed(
        self, request: Request, singles: list[Single], now: int, begin: Callable[[], Entry]
    ) -> OcspAnswer:
        key = await self._signer.current(begin)
        until = min(now + LIFE_SECONDS, key.ends)
        data = response_data(key.key_hash, now, until, singles, request.nonce)
        der = response(data, key.algorithm, key.sign(data), key.certificate)
        return OcspAnswer(der, tuple(single.status for single in singles), now, until, _lasts(request, singles))

    def _keep(self, certificates: tuple[CertId, ...], kept: _Kept) -> None:
        self._kept.pop(certificates, None)
        if len(self._kept) >= _KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[certificates] = kept


def _lasts(request: Request, singles: list[Single]) -> bool:
    """Tell whether an answer can be given again; what was unknown may be issued next, and that moves no revision."""
    return not request.nonce and all(single.known for single in singles)


def _fresh(answer: OcspAnswer, now: int) -> bool:
    """Tell whether an answer is in the first half of its life, and not from the future (a clock that was set back)."""
    return answer.this_update <= now < (answer.this_update + answer.next_update) / 2


def _lasting(answer: OcspAnswer, now: int) -> bool:
    """Tell whether clients still take an answer."""
    return answer.this_update <= now < answer.next_update
