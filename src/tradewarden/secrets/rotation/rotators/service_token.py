"""Rotates a token of a service of Tradewarden's own, and its client secret, where they are kept as secrets.

Always true here: a rotation may do what the service itself may do and proves itself as the service, by the client
secret that stands in the secret that is rotated or in one that the policy's author may read. So nobody gets by a policy
what they could not have asked for themselves.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec

from tradewarden.errors import (
    AuthenticationError,
    InvalidInputError,
    PermissionDeniedError,
    RotationFailedError,
    RotationWaitsError,
)
from tradewarden.secrets.rotation.rotator import Plain
from tradewarden.secrets.rotation.rotators.own import Proof, proof_in, refused
from tradewarden.secrets.rotation.rotators.parameters import Parameters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tradewarden.clock import Clock
    from tradewarden.secrets.rotation.rotator import Job, ReadSecret
    from tradewarden.secrets.rotation.rotators.own import OwnServices

_NAMES: Final = ("credentials", "permissions", "ttl_seconds", "grace_seconds")
_LONGEST: Final = 366 * 86_400
_GRACE: Final = 3600
_AHEAD_SECONDS: Final = 3600.0
"""How long before its end a token is replaced; of one that lives shorter than three times that, a third of its life."""


class Wanted(msgspec.Struct, frozen=True):
    """What a policy's parameters say; `credentials` empty: the secret itself holds them; `ttl` 0: the policy's."""

    credentials: str
    permissions: tuple[str, ...] | None
    ttl: int
    grace: int

    @classmethod
    def read(cls, parameters: Mapping[str, str]) -> Wanted:
        """Read it; raises `InvalidInputError`."""
        given = Parameters("service_token", parameters, _NAMES)
        names = tuple(filter(None, (part.strip() for part in given.text("permissions", ",").split(","))))
        return cls(
            credentials=given.path("credentials") if "credentials" in given else "",
            permissions=names or None,
            ttl=given.whole("ttl_seconds", 0, 0, _LONGEST),
            grace=given.whole("grace_seconds", _GRACE, 0, _LONGEST),
        )


class ServiceTokenRotator(Plain):
    """Issues a new token to a service before the one that it has ends, and ends that one after a grace."""

    kind = "service_token"
    automatic = True
    ends = True

    def __init__(self, own: OwnServices, clock: Clock) -> None:
        self._own = own
        self._clock = clock

    def check(self, parameters: Mapping[str, str]) -> None:
        """Raise `InvalidInputError` naming a parameter that is wrong."""
        Wanted.read(parameters)

    def needs(self, parameters: Mapping[str, str]) -> tuple[str, ...]:
        """Return the path of the service's own credentials."""
        return tuple(filter(None, (Wanted.read(parameters).credentials,)))

    def suits(self, parameters: Mapping[str, str], value: Mapping[str, object] | None, longest: float) -> None:
        """Raise `InvalidInputError` for a life that ends before the next rotation."""
        del value
        ttl = Wanted.read(parameters).ttl
        if 0 < ttl < longest:
            raise InvalidInputError(
                f"Parameter 'ttl_seconds' of rotator 'service_token' is {ttl}, and up to {longest:.0f} seconds lie "
                "between two rotations of this policy: the token would end before it is replaced"
            )

    def renews_at(self, value: Mapping[str, object]) -> float:
        """Return when the token is replaced at the latest: some time before it ends."""
        begins, ends = (_seconds(_text(value, name)) for name in ("issued_at", "expires_at"))
        return ends - min(_AHEAD_SECONDS, (ends - begins) / 3) if ends > begins else 0.0

    async def create(self, job: Job, read: ReadSecret) -> dict[str, object]:
        """Return the value with a new token. One that was issued and not recorded ends by itself; nobody has it."""
        wanted, proof = await _proof(job, read)
        try:
            issued = await self._own.issue(proof, wanted.permissions, wanted.ttl or None)
        except (AuthenticationError, PermissionDeniedError) as error:
            raise refused(proof, error) from error
        fresh = {"token": issued.token, "issued_at": issued.issued_at, "expires_at": issued.expires_at}
        return {**(job.current or {}), "service_name": proof.service_name, **fresh}

    async def set(self, job: Job, read: ReadSecret) -> None:
        """Do nothing: a token is good from when it was issued."""

    async def test(self, job: Job, read: ReadSecret) -> None:
        """See that the new token is accepted, and is the service's."""
        _, proof = await _proof(job, read)
        if not await self._own.accepts(proof.service_name, _text(job.pending, "token")):
            raise RotationFailedError(f"The new token of service '{proof.service_name}' is not accepted")

    async def finish(self, job: Job, read: ReadSecret) -> None:
        """End the token before; raises `RotationWaitsError` until its grace is over."""
        wanted, proof = await _proof(job, read)
        before, now = _text(job.current, "token"), _text(job.pending, "token")
        if not before or before == now:
            return
        left = _seconds(_text(job.pending, "issued_at")) + wanted.grace - self._clock.now()
        if wanted.grace and left > 0 and not job.urgent:
            raise RotationWaitsError(
                f"Secret '{job.path}' has its new token; the one before it ends in {left:.0f} seconds", seconds=left
            )
        try:
            await self._own.end(proof, before)
        except PermissionDeniedError:
            return  # it was not this service's; nobody's token is ended but one's own
        except AuthenticationError as error:
            raise refused(proof, error) from error


class ClientSecretRotator(Plain):
    """Gives a service a new client secret. Its tokens stay good.

    The register holds one client secret of a service, so the one before is void from `set` on, a moment before the new
    one can be read: whoever is refused reads the secret again.
    """

    kind = "client_secret"
    automatic = True

    def __init__(self, own: OwnServices) -> None:
        self._own = own

    def check(self, parameters: Mapping[str, str]) -> None:
        """Raise `InvalidInputError` for any parameter: it takes none."""
        for name in sorted(parameters):
            raise Parameters(self.kind, {}, ()).wrong(name, "is not known; it takes none")

    async def create(self, job: Job, read: ReadSecret) -> dict[str, object]:
        """Return the value with a new client secret, which nobody knows yet."""
        del read
        proof_in(job.current, job.path, job.path)
        return {**(job.current or {}), "client_secret": self._own.new_client_secret()}

    async def set(self, job: Job, read: ReadSecret) -> None:
        """Make the new one the service's, by the proof of the one before."""
        del read
        before, fresh = proof_in(job.current, job.path, job.path), _text(job.pending, "client_secret")
        if await self._own.proves(before.service_name, fresh):
            return
        try:
            await self._own.replace_client_secret(before, fresh)
        except (AuthenticationError, PermissionDeniedError) as error:
            raise refused(before, error) from error

    async def test(self, job: Job, read: ReadSecret) -> None:
        """See that the new one proves the service."""
        del read
        proof = proof_in(job.pending, job.path, job.path)
        if not await self._own.proves(proof.service_name, proof.client_secret):
            raise RotationFailedError(f"The new client secret of service '{proof.service_name}' is not accepted")

    async def finish(self, job: Job, read: ReadSecret) -> None:
        """Do nothing: the one before is void."""


async def _proof(job: Job, read: ReadSecret) -> tuple[Wanted, Proof]:
    wanted = Wanted.read(job.parameters)
    held = await read(wanted.credentials) if wanted.credentials else job.pending or job.current
    return wanted, proof_in(held, job.path, wanted.credentials or job.path)


def _text(value: Mapping[str, object] | None, name: str) -> str:
    found = (value or {}).get(name)
    return found if isinstance(found, str) else ""


def _seconds(moment: str) -> float:
    try:
        return datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return 0.0
