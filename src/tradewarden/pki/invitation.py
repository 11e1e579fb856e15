"""Certificates for who was invited before and comes in now, with a join token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Invitation(Protocol):
    """What lets a service in (`tradewarden.identity.enrolment.Joining`). Whoever gave it was asked for it then."""

    @property
    def incarnation(self) -> str:
        """The registration of the service that it was given to; empty when the service was not registered."""
        ...

    @property
    def spend(self) -> Callable[[], Awaitable[None]]:
        """Use it up; awaited when everything is checked and nothing is left but to sign."""
        ...
