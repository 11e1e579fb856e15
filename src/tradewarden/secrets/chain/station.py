"""One provider on the chain's way: with its breaker, and what it last said."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from tradewarden.errors import (
    IntegrityError,
    NameNotHeldError,
    PermissionDeniedError,
    ProviderUnavailableError,
    SecretNotFoundError,
    TradewardenError,
    UnavailableError,
)
from tradewarden.secrets.chain.breaker import Breaker, BreakerState
from tradewarden.secrets.chain.decision import Finding, Said, fresh

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tradewarden.clock import Clock
    from tradewarden.secrets.chain.policy import ChainPolicy
    from tradewarden.secrets.providers.provider import Held, Provider

T = TypeVar("T")


class ProviderStatus(msgspec.Struct, frozen=True):
    """What is known of a provider. Times are seconds since the epoch; None: not yet.

    `last_answer` is when it last answered at all (a refusal is an answer), `last_success` when it last did what it
    was asked or said that a secret does not exist.
    """

    name: str
    breaker: BreakerState
    last_outcome: str = ""
    last_answer: float | None = None
    last_success: float | None = None


class Station:
    """Asks one provider. Whatever comes back is a value, a finding, or one of our errors without its frames."""

    def __init__(self, provider: Provider, policy: ChainPolicy, clock: Clock) -> None:
        self.provider = provider
        self.name = provider.name
        self._policy = policy
        self._clock = clock
        self._breaker = self._new_breaker()
        self._status = ProviderStatus(self.name, BreakerState.CLOSED)

    def _new_breaker(self) -> Breaker:
        return Breaker(self._clock, self._policy.breaker_failures, self._policy.retry_seconds)

    def after_fork(self) -> None:
        """Begin anew in a child process."""
        self._breaker = self._new_breaker()

    @property
    def status(self) -> ProviderStatus:
        """What is known of the provider now."""
        return msgspec.structs.replace(self._status, breaker=self._breaker.state)

    def read(self, names: Sequence[str]) -> dict[str, tuple[Finding, Held | None]]:
        """Return what it says to each name; one call where the provider can, more where names differ in their fate."""
        if len(names) == 1:
            return {names[0]: self._read_one(names[0])}
        held, finding = self._ask(lambda: self.provider.get_many(names))
        if held is None and finding.said is not Said.UNREACHABLE:
            return {name: self._read_one(name) for name in names}
        if held is None:
            return dict.fromkeys(names, (finding, None))
        missing = Finding(self.name, Said.NOT_FOUND)
        return {name: (finding, held[name]) if name in held else (missing, None) for name in names}

    def _read_one(self, name: str) -> tuple[Finding, Held | None]:
        held, finding = self._ask(lambda: self.provider.get(name))
        return finding, held

    def _ask(self, call: Callable[[], T]) -> tuple[T | None, Finding]:
        if not self._breaker.allows():
            return None, Finding(self.name, Said.UNREACHABLE, self._left_alone())
        try:
            found = self._call(call)
        except TradewardenError as error:
            return None, Finding(self.name, said_by(error), fresh(error))
        return found, Finding(self.name, Said.FOUND)

    def change(self, call: Callable[[Provider], T]) -> T:
        """Have the provider do what `call` does, open breaker or not; raises its error, fresh."""
        try:
            return self._call(lambda: call(self.provider))
        except TradewardenError as error:
            raise fresh(error) from None

    def _call(self, call: Callable[[], T]) -> T:
        """Make one call and keep the books; every exception that leaves is one of ours."""
        try:
            found = call()
        except TradewardenError as error:
            self._note(error)
            raise
        except Exception as error:  # noqa: BLE001 - the border: what is foreign may quote a value
            foreign = IntegrityError(
                f"Provider '{self.name}' failed in a way it must not ({type(error).__name__}); this is a defect"
            )
            self._note(foreign)
            raise foreign from None
        except BaseException:
            self._breaker.failed()
            raise
        self._note(None)
        return found

    def _note(self, error: TradewardenError | None) -> None:
        now, old = self._clock.now(), self._status
        said = Said.FOUND if error is None else said_by(error)
        if said is Said.UNREACHABLE:
            self._breaker.failed()
            self._status = msgspec.structs.replace(old, last_outcome=said.value)
            return
        self._breaker.answered()
        well = said in (Said.FOUND, Said.NOT_FOUND)
        self._status = ProviderStatus(
            self.name, BreakerState.CLOSED, said.value, now, now if well else old.last_success
        )

    def _left_alone(self) -> ProviderUnavailableError:
        return ProviderUnavailableError(
            f"it did not answer before, and is tried again in {self._breaker.remaining:.0f} s"
        )


def said_by(error: TradewardenError) -> Said:
    """Return what an error means; one that is not foreseen is damage, after which no other provider is asked.

    A place that cannot hold a name has no secret of that name. One that does not take what it is asked in another way
    has told nothing about the secret.
    """
    if isinstance(error, SecretNotFoundError | NameNotHeldError):
        return Said.NOT_FOUND
    if isinstance(error, UnavailableError):
        return Said.UNREACHABLE
    return Said.REFUSED if isinstance(error, PermissionDeniedError) else Said.BROKEN
