"""Keeps one token of Vault alive, for many threads.

Always true here: a token is seen to at two thirds of its lease, by a thread in the background and, should that sleep or
be gone (a forked child), by the next call; while one thread does it the others go on with the token that still works. A
token that renews for less and less is replaced by a new login where we can log in.
"""

from __future__ import annotations

import threading
import weakref
from time import monotonic
from typing import TYPE_CHECKING, Final

from tradewarden.errors import TradewardenError
from tradewarden.secrets.providers.vault.faults import not_permitted, token_ended
from tradewarden.secrets.providers.vault.lease import Lease

if TYPE_CHECKING:
    from tradewarden.secrets.providers.vault.login import Logins

_SOONEST: Final = 0.05
_LATEST: Final = 30.0
_OVERDUE: Final = 1.0
_PARTING_SECONDS: Final = 1.0
_CALM: Final = 5.0
"""After a login that a refusal led to, the next refusals count as such: else each of them would be another login."""


class Keeper:
    """Holds the token. `place` is how messages name the Vault."""

    def __init__(self, logins: Logins, place: str) -> None:
        self._logins = logins
        self._place = place
        self._lock = threading.Lock()
        self._lease: Lease | None = None
        self._postponed = 0.0
        self._calm_until = 0.0
        self._failure: tuple[float, TradewardenError | None] = 0.0, None
        self.fault = ""
        """Why no token can be had (any more), in words: it was given to us and has ended."""
        self._closed = threading.Event()
        self._watch: threading.Thread | None = None

    def token(self) -> str:
        """Return a token that is good as far as we know; logs in first where there is none."""
        lease = self._lease
        now = monotonic()
        if lease is None:
            with self._lock:
                self._require_no_failure_since(now)
                lease = self._lease or self._begin()
            return lease.token
        if now < lease.due or now < self._postponed:
            return lease.token
        return self._tend(wait=now >= lease.end).token

    def doubt(self, token: str, what: str) -> str:
        """Return another token to try where Vault refused `what` with this one; raises `ProviderRefusedError`."""
        with self._lock:
            lease = self._lease
            if lease is not None and lease.token != token:
                return lease.token  # another thread replaced it meanwhile
            if self._logins.knows(token):
                raise not_permitted(self._place, what)
            if not self._logins.again:
                error = token_ended(self._place)
                self.fault = error.detail
                raise error
            now = monotonic()
            if now < self._calm_until and (lease is None or now < lease.end):
                raise not_permitted(self._place, what)
            found = self._begin()
            self._calm_until = monotonic() + _CALM
            return found.token

    def close(self) -> None:
        """Stop seeing to the token, and end it when it came from a login."""
        self._closed.set()
        if not self._lock.acquire(timeout=_PARTING_SECONDS):
            return  # somebody waits for a Vault that does not answer; the token ends by itself
        try:
            lease, self._lease = self._lease, None
            if lease is not None and self._logins.again:
                self._logins.revoke(lease.token)
        finally:
            self._lock.release()

    def _begin(self) -> Lease:
        """Log in; the lock is held."""
        try:
            self._lease = lease = self._logins.begin()
        except TradewardenError as error:
            self._failure = monotonic(), error
            raise
        self._postponed = 0.0
        self._keep_watch(lease)
        return lease

    def _require_no_failure_since(self, asked: float) -> None:
        """Raise what another thread's login came to while this one waited: each would wait for the same time-out."""
        at, error = self._failure
        if error is not None and at > asked and self._lease is None:
            raise type(error)(error.detail, reason=error.reason)

    def _tend(self, *, wait: bool) -> Lease:
        """Renew or replace the token, unless another thread is at it; wait for that one only if `wait`."""
        if not self._lock.acquire(blocking=wait):
            return self._lease or self._tend(wait=True)
        try:
            lease = self._lease
            if lease is None:
                return self._begin()
            if monotonic() < max(lease.due, self._postponed):
                return lease
            return self._renewed(lease)
        finally:
            self._lock.release()

    def _renewed(self, lease: Lease) -> Lease:
        try:
            found = self._logins.renew(lease) if lease.renewable else None
            if isinstance(found, Lease) and not (found.runs_out and self._logins.again):
                self._lease = found
                return found
            if not self._is_down(found):
                return self._begin() if self._logins.again else self._left_alone(lease)
        except TradewardenError:
            if monotonic() >= lease.end:
                raise
        self._postpone(lease)
        return lease

    def _left_alone(self, lease: Lease) -> Lease:
        """Keep a token that nobody here can renew or replace: Vault will say when it is over."""
        self._lease = left = lease._replace(renewable=False, seconds=0.0)
        return left

    @staticmethod
    def _is_down(found: object) -> bool:
        """Tell whether the renewal failed because Vault did not work, and not because the token is no good."""
        return getattr(found, "status", 403) not in {400, 403, 404}

    def _postpone(self, lease: Lease) -> None:
        """Try again soon, and the sooner the less is left; where nothing is left, every second."""
        now = monotonic()
        left = lease.end - now
        self._postponed = now + (min(max(left / 4, _SOONEST), _LATEST) if left > 0 else _OVERDUE)

    def _keep_watch(self, lease: Lease) -> None:
        """Start the thread that sees to the token while nobody calls."""
        if not lease.seconds or not (lease.renewable or self._logins.again):
            return
        if self._watch is None or not self._watch.is_alive():
            self._watch = threading.Thread(
                target=_watch, args=(weakref.ref(self), self._closed), name="tradewarden-vault", daemon=True
            )
            self._watch.start()

    def tend(self) -> float:
        """See to the token if that is due; return how long nothing will be."""
        lease = self._lease
        if lease is None:
            return _LATEST
        now = monotonic()
        if now >= max(lease.due, self._postponed):
            lease = self._tend(wait=True)
        return max(max(lease.due, self._postponed) - monotonic(), _SOONEST)


def _watch(keeper: weakref.ref[Keeper], closed: threading.Event) -> None:
    """See to the token of a keeper for as long as there is one."""
    pause = 0.0
    while not closed.wait(min(pause, _LATEST)):
        alive = keeper()
        if alive is None:
            return
        try:
            pause = alive.tend()
        except TradewardenError:
            pause = 1.0  # the next call raises what this was
        del alive
