"""What comes next after a provider spoke (decision 23). Pure.

Always true here: *not allowed* and *damaged* end the walk; *not found* goes on; *not reachable* gives the last known
value within its bound, then goes on for a credential and never for a key that signs or encrypts; and "not found" is
said only when every provider said so.
"""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from tradewarden.errors import ProviderUnavailableError, SecretNotFoundError, TradewardenError
from tradewarden.secrets.naming import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

E = TypeVar("E", bound=TradewardenError)
_ENDS_HERE: Final = " What signs or encrypts is taken from no other provider."


class Said(StrEnum):
    """What a provider said to one read."""

    FOUND = "found"
    NOT_FOUND = "not_found"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    BROKEN = "broken"


class Step(Enum):
    """What the walk does next."""

    GIVE = "give"
    GIVE_LAST_KNOWN = "give_last_known"
    GO_ON = "go_on"
    FAIL = "fail"


class Finding(msgspec.Struct, frozen=True):
    """What one provider said, with the error it said it by."""

    provider: str
    said: Said
    error: TradewardenError | None = None

    @property
    def text(self) -> str:
        """The finding in words, for whoever asked."""
        plain = self.error is None or self.said is Said.NOT_FOUND
        return self._text("" if plain else str(self.error))

    @property
    def account(self) -> str:
        """The finding in words, with its reason, for the log and the audit entry."""
        return self._text(self.reason)

    @property
    def reason(self) -> str:
        """Why the provider said so, for the log and the audit entry; empty when that is said already."""
        if self.error is None or (self.said is Said.NOT_FOUND and self.error.reason == self.error.detail):
            return ""
        return self.error.reason

    def _text(self, why: str) -> str:
        said = f"{self.provider}: {self.said.value.replace('_', ' ')}"
        return f"{said} ({why.rstrip('.')})" if why else said


def next_step(said: Said, kind: Kind, *, last_known: bool) -> Step:
    """Return what to do; `last_known` says whether a value of this provider or a later one is within its bound."""
    if said is Said.FOUND:
        return Step.GIVE
    if said is Said.NOT_FOUND:
        return Step.GO_ON
    if said is Said.UNREACHABLE:
        if last_known:
            return Step.GIVE_LAST_KNOWN
        return Step.GO_ON if kind is Kind.CREDENTIAL else Step.FAIL
    return Step.FAIL


def failure(name: str, kind: Kind, findings: Sequence[Finding]) -> TradewardenError:
    """Return the error of a walk that ended without a value."""
    last = findings[-1]
    if last.said in (Said.REFUSED, Said.BROKEN) and last.error is not None:
        return fresh(last.error)
    if any(finding.said is Said.UNREACHABLE for finding in findings):
        ends = _ENDS_HERE if kind is Kind.KEY and last.said is Said.UNREACHABLE else ""
        said = "; ".join(finding.text for finding in findings)
        return ProviderUnavailableError(f"Secret '{name}' cannot be read now. {said}.{ends}", reason=way_of(findings))
    return SecretNotFoundError(name, reason=way_of(findings))


def way_of(findings: Sequence[Finding]) -> str:
    """Return what each provider said, with reasons, for the log and the audit entry."""
    return "; ".join(finding.account for finding in findings)


def fresh(error: E) -> E:
    """Return the error anew, without traceback and cause.

    One outcome is raised to many callers, in several threads: each gets an error of its own, and none keeps the
    frames of a provider, which hold values.
    """
    copied = type(error).__new__(type(error), *error.args)
    copied.__dict__.update(error.__dict__)
    return copied
