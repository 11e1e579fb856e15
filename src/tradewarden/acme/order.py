"""An order and what can happen to it, as pure functions over values (RFC 8555 sections 7.1.3 to 7.1.6).

Always true here: an order is ready only when every authorization is valid; nothing leaves `valid` or `invalid` but an
authorization that its account deactivates.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from tradewarden.acme.problem import Identifier, Subproblem

if TYPE_CHECKING:
    from collections.abc import Callable

HTTP, DNS = "http-01", "dns-01"
LIFETIME: Final = 86_400
"""Seconds that an order waits for its client; what was validated counts as long, for that order alone."""
LOOK_SECONDS: Final = 10.0
"""Longest look at one challenge."""
ATTEMPTS: Final = 5
"""Looks at a challenge before it fails; between them 1, 2, 4, 8 seconds."""


class Status(StrEnum):
    """All states of orders, authorizations and challenges; not each has each."""

    PENDING = "pending"
    READY = "ready"
    PROCESSING = "processing"
    VALID = "valid"
    INVALID = "invalid"
    DEACTIVATED = "deactivated"
    EXPIRED = "expired"


class Challenge(msgspec.Struct, frozen=True, omit_defaults=True):
    """One way to prove an identifier: `attempts` were made, `due_at` is when the next one is (0: none)."""

    type: str
    token: str
    status: Status = Status.PENDING
    attempts: int = 0
    due_at: float = 0.0
    validated_at: float = 0.0
    error: Subproblem | None = None


class Authorization(msgspec.Struct, frozen=True, omit_defaults=True):
    """The proof of one identifier."""

    identifier: Identifier
    challenges: tuple[Challenge, ...]
    status: Status = Status.PENDING


class Order(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an order asks for and how far it is; `csr` is DER in base64url, there once it is finalized."""

    profile: str
    authorizations: tuple[Authorization, ...]
    csr: str = ""
    error: Subproblem | None = None
    replaces: str = ""

    def identifiers(self) -> tuple[Identifier, ...]:
        """Return what the certificate will name, in order."""
        return tuple(each.identifier for each in self.authorizations)

    def due_at(self) -> float:
        """Return when the next challenge is to be looked at; 0.0 for never."""
        waiting = [each.due_at for part in self.authorizations for each in part.challenges if each.due_at]
        return min(waiting, default=0.0)


decode = msgspec.json.Decoder(Order).decode


def encode(order: Order) -> str:
    """Return an order as its row keeps it."""
    return msgspec.json.encode(order).decode()


def new_challenges(identifier: Identifier, token: Callable[[], str]) -> tuple[Challenge, ...]:
    """Return the ways in which an identifier can be proven; an address has no DNS (RFC 8738 section 7)."""
    kinds = (HTTP, DNS) if identifier.type == "dns" else (HTTP,)
    return tuple(Challenge(kind, token()) for kind in kinds)


def begun(order: Order, number: int, kind: str, now: float) -> Order:
    """Take the client's word that a challenge can be looked at (section 7.5.1); a second time changes nothing."""
    part = order.authorizations[number]
    busy = any(each.status is not Status.PENDING for each in part.challenges)
    if part.status is not Status.PENDING or busy:
        return order
    return _with(order, number, kind, status=Status.PROCESSING, due_at=now)


def found_valid(order: Order, number: int, kind: str, now: float) -> Order:
    """Note that a challenge was met: its authorization is valid."""
    after = _with(order, number, kind, status=Status.VALID, due_at=0.0, validated_at=now, error=None)
    return _with_status(after, number, Status.VALID)


def found_wanting(order: Order, number: int, kind: str, error: Subproblem, now: float) -> Order:
    """Note that a challenge was not met: it is looked at again later, or its authorization is invalid."""
    attempts = _challenge(order, number, kind).attempts + 1
    if attempts < ATTEMPTS:
        again = now + 2.0 ** (attempts - 1)
        return _with(order, number, kind, attempts=attempts, error=error, due_at=again)
    after = _with(order, number, kind, attempts=attempts, status=Status.INVALID, error=error, due_at=0.0)
    return _with_status(after, number, Status.INVALID)


def deactivated(order: Order, number: int) -> Order:
    """Give an authorization up (section 7.5.2)."""
    part = order.authorizations[number]
    idle = tuple(replace(each, due_at=0.0) for each in part.challenges)
    return _replaced(order, number, replace(part, status=Status.DEACTIVATED, challenges=idle))


def standing(order: Order, status: Status) -> Status:
    """Return the status that follows from the authorizations; what was finalized stays as it is."""
    if status not in (Status.PENDING, Status.READY):
        return status
    found = {each.status for each in order.authorizations}
    if found <= {Status.VALID}:
        return Status.READY
    return Status.PENDING if found <= {Status.VALID, Status.PENDING} else Status.INVALID


def _challenge(order: Order, number: int, kind: str) -> Challenge:
    return next(each for each in order.authorizations[number].challenges if each.type == kind)


def _with(order: Order, number: int, kind: str, **fields: object) -> Order:
    part = order.authorizations[number]
    changed = tuple(replace(each, **fields) if each.type == kind else each for each in part.challenges)
    return _replaced(order, number, replace(part, challenges=changed))


def _with_status(order: Order, number: int, status: Status) -> Order:
    return _replaced(order, number, replace(order.authorizations[number], status=status))


def _replaced(order: Order, number: int, part: Authorization) -> Order:
    parts = order.authorizations
    return replace(order, authorizations=(*parts[:number], part, *parts[number + 1 :]))
