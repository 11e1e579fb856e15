"""Keeps one identity fresh: what is due is done in `step`, one step at a time, and the time to the next comes back.

Always true here: nothing that fails takes away what holds. A certificate stays in use until its replacement is on disk
and was found to be whole; roots and revocation lists stay until newer ones came over a connection that is known to be
the service's.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tradewarden.clock import rfc3339
from tradewarden.errors import TradewardenError
from tradewarden.workload.errors import CertificateRefusedError, EnrolmentNeededError
from tradewarden.workload.revocation import Revocation
from tradewarden.workload.schedule import backoff, fraction, fruitless, renewal_time, spread

if TYPE_CHECKING:
    from collections.abc import Callable

    from tradewarden.clock import Clock, Randomness
    from tradewarden.workload.contexts import Contexts
    from tradewarden.workload.directory import IdentityDirectory
    from tradewarden.workload.pair import Pair
    from tradewarden.workload.renewal import Renewal

_LOG: Final = logging.getLogger("tradewarden.workload")
LONGEST_SECONDS: Final = 10.0
"""So often at least the directory is looked at: another process may have renewed, or the clock may have jumped."""
_BUSY_SECONDS: Final = 1.0
_WANTED_SECONDS: Final = 1.0
"""How soon, and how often at most, lists are fetched that a peer was refused for want of."""
_AGAIN_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Periods:
    """How often roots and revocation lists are fetched, and the certificate's standing asked for; in seconds, 0: never.

    The standing is whether the service still takes the certificate.
    """

    roots: float = 3600.0
    crl: float = 0.0
    standing: float = 60.0


class Keeper:
    """The pair that is in use, and what has to happen to it when."""

    def __init__(
        self,
        directory: IdentityDirectory,
        renewal: Renewal | None,
        contexts: Contexts,
        periods: Periods,
        clock: Clock,
        randomness: Randomness,
        changed: Callable[[Pair], None],
    ) -> None:
        self._directory = directory
        self._renewal = renewal
        self._contexts = contexts
        self._clock = clock
        self._randomness = randomness
        self._changed = changed
        self._chance = 0.0
        self._failures = 0
        self._retry = 0.0
        self._roots = _Periodic(periods.roots, self)
        self._crl = _Periodic(periods.crl, self)
        self._standing = _Periodic(periods.standing, self)
        self._lost = ""
        self._losses = 0
        self._revocation = Revocation(directory)
        self.pair: Pair | None = None
        self.error: TradewardenError | None = None
        """Why the last try to renew failed; None since one succeeded."""

    @property
    def chance(self) -> float:
        """A new random number from 0 up to 1."""
        return fraction(self._randomness)

    @property
    def now(self) -> float:
        """Seconds that never run backwards."""
        return self._clock.monotonic()

    def usable(self) -> bool:
        """Whether there is a certificate that has not expired."""
        return self.pair is not None and self.pair.ends > self._clock.now()

    def lacks_lists(self) -> bool:
        """Whether peers are checked for revocation and there is no list yet, so that every one would be refused."""
        return self._crl.wanted and not self._revocation.pem

    def step(self) -> float:
        """Do what is due and return for how many seconds nothing will be."""
        self.follow()
        if self._renewal is not None:
            self._renew(self._renewal)
            self._refresh(self._renewal)
        return self._rest()

    def follow(self) -> None:
        """Take what another process has put in place, and at the start what is there."""
        version = self._directory.version()
        if not version or (self.pair is not None and self.pair.version == version):
            return
        before, pair = self.pair, self._directory.read()
        if pair is not None:
            if before is None:
                self._revocation.load()
            self._adopt(pair)
            if before is not None:
                self._rest_a_while(before, pair)

    def _adopt(self, pair: Pair) -> None:
        renewed = self.pair is None or self.pair.serial_number != pair.serial_number
        self._contexts.adopt(pair, self._revocation.pem)
        self.pair = pair
        if renewed:
            self._chance = self.chance
            self._failures, self.error, self._lost = 0, None, ""
            self._crl.hasten(_WANTED_SECONDS)
        self._changed(pair)

    def renews_at(self) -> float:
        """Return when the certificate is renewed, in seconds since the epoch; at once when it counts no more."""
        if self.pair is None or not self.pair.anchored or self._lost:
            return 0.0
        return renewal_time(self.pair.starts, self.pair.ends, self._chance)

    def _renew(self, renewal: Renewal) -> None:
        if self._clock.now() < self.renews_at() or (self.now < self._retry and not self._invited(renewal)):
            return
        before = self.pair
        try:
            pair = renewal.obtain(before)
        except TradewardenError as error:
            self._failed(error)
            return
        if pair is None:
            self._retry = self.now + _BUSY_SECONDS
            return
        self._adopt(pair)
        _LOG.info(
            "certificate of %s until %s, serial number %s", pair.spiffe_id, rfc3339(pair.ends), pair.serial_number
        )
        self._rest_a_while(before, pair)

    def _rest_a_while(self, before: Pair | None, pair: Pair) -> None:
        """Ask for nothing for a while after a renewal, and for long after one in vain: the CA itself ends then."""
        left = pair.ends - self._clock.now()
        if before is None or not _in_vain(before, pair):
            self._retry = self.now + min(LONGEST_SECONDS, max(_BUSY_SECONDS, left / 8))
            return
        wait = fruitless(left, self.chance)
        self._retry = self.now + wait
        _LOG.warning(
            "the new certificate ends no later than the one before, as its CA does: rotate the CA (tradewarden ca "
            "rotate); next try in %.0f seconds at the earliest",
            wait,
        )

    def _invited(self, renewal: Renewal) -> bool:
        """Tell whether the join token has come that was waited for."""
        try:
            return isinstance(self.error, EnrolmentNeededError) and renewal.has_token()
        except TradewardenError:
            return False

    def _failed(self, error: TradewardenError) -> None:
        self.error = error
        self._failures += 1
        needed = isinstance(error, EnrolmentNeededError)
        left = self._left()
        wait = backoff(self._failures, self._life() if needed else left, self.chance)
        self._retry = self.now + wait
        log = _LOG.error if needed or left <= 0 else _LOG.warning
        log("certificate not renewed, next try in %.0f seconds: %s", wait, error.detail)

    def _left(self) -> float:
        """Return for how many seconds the certificate is of use; 0 once it counts no more."""
        return 0.0 if self._lost else self._life()

    def _life(self) -> float:
        """Return for how many seconds the certificate is valid, whether it counts or not: 0 without one."""
        return self.pair.ends - self._clock.now() if self.pair is not None else 0.0

    def _refresh(self, renewal: Renewal) -> None:
        self._standing.when_due(lambda pair: self._look(renewal, pair))
        self._roots.when_due(lambda pair: self._refresh_roots(renewal, pair))
        if self._contexts.lacking.is_set():
            self._crl.hasten(_WANTED_SECONDS)
        self._crl.when_due(lambda pair: self._refresh_crl(renewal, pair))

    def _look(self, renewal: Renewal, pair: Pair) -> None:
        """Learn whether the service still takes the certificate; when it does not, a new one is due.

        After a moment, and ever later while new ones are not taken either.
        """
        told = renewal.standing(pair)
        if told is None:
            return
        if not told:
            self._losses = 0
            if self._lost:  # it was not so, or is no more
                self._failures, self.error = 0, None
        elif not self._lost:
            self._losses += 1
            self._retry = self.now + backoff(self._losses, self._left(), self.chance)
            _LOG.warning("certificate %s of %s counts no more: %s", pair.serial_number, pair.spiffe_id, told)
        self._lost = told

    def _refresh_roots(self, renewal: Renewal, pair: Pair) -> None:
        found = renewal.roots(pair)
        if found is None or found == pair.roots_pem:
            return
        replaced = renewal.replace_roots(pair, found)
        if replaced is not None:
            self._adopt(replaced)
            _LOG.info("trust bundle replaced: %d roots", len(replaced.roots))

    def _refresh_crl(self, renewal: Renewal, pair: Pair) -> None:
        self._contexts.lacking.clear()
        try:
            newer = self._revocation.refresh(pair, renewal.crls)
        except CertificateRefusedError:
            self._standing.hasten(0)  # nothing is given to what counts no more: first a new certificate, then the lists
            raise
        if newer:
            self._contexts.adopt(pair, self._revocation.pem)

    def _rest(self) -> float:
        waits = [_WANTED_SECONDS if self._crl.wanted else LONGEST_SECONDS]
        waits += [each.left() for each in (self._roots, self._crl, self._standing)]
        if self._renewal is not None:
            waits.append(max(self.renews_at() - self._clock.now(), self._retry - self.now))
        return max(0.0, min(waits))


def _in_vain(before: Pair, pair: Pair) -> bool:
    """Tell whether a renewal has given nothing: neither a longer life nor a root to lead to."""
    return before.anchored and pair.serial_number != before.serial_number and pair.ends <= before.ends


class _Periodic:
    """Something that is done once a period, and after a failure again within half a minute."""

    def __init__(self, seconds: float, keeper: Keeper) -> None:
        self._seconds = seconds
        self._keeper = keeper
        self._next = self._done = 0.0

    @property
    def wanted(self) -> bool:
        return self._seconds > 0

    def left(self) -> float:
        return self._next - self._keeper.now if self._seconds and self._next else LONGEST_SECONDS

    def hasten(self, seconds: float) -> None:
        """Let it be due so long after the last time."""
        self._next = min(self._next, self._done + seconds)

    def when_due(self, work: Callable[[Pair], None]) -> None:
        pair = self._keeper.pair
        if pair is None or not self._seconds or self._keeper.now < self._next:
            return
        seconds = self._seconds
        try:
            work(pair)
        except TradewardenError as error:
            seconds = min(seconds / 4, _AGAIN_SECONDS)
            _LOG.warning("roots or revocation list not refreshed, tried again: %s", error.detail)
        self._done = self._keeper.now
        self._next = self._done + spread(seconds, self._keeper.chance)
