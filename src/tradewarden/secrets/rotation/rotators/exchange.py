"""Rotates the key of an account at an exchange by a guided hand-over: exchanges give out keys to persons only.

A person makes a new key at the exchange and supplies it; it is tried by fetching the balance through ccxt before it
takes the place of the one in use. Then the person deletes the old key at the exchange. That is not taken on trust: the
rotation tries the old key, and ends when the exchange no longer takes it.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from tradewarden.errors import ConfigurationError, RotationFailedError, RotationWaitsError
from tradewarden.outbound import address
from tradewarden.secrets.rotation.rotator import Plain
from tradewarden.secrets.rotation.rotators.exchange_account import Account, Door
from tradewarden.secrets.rotation.rotators.exchange_refusal import Cause
from tradewarden.secrets.rotation.rotators.exchange_value import credentials, masked, replaced
from tradewarden.secrets.rotation.rotators.parameters import Parameters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tradewarden.secrets.credentials.exchange import ExchangeCredentials
    from tradewarden.secrets.rotation.rotator import Job, ReadSecret
    from tradewarden.secrets.rotation.rotators.outbound import Outbound

_NAMES: Final = ("exchange", "sandbox", "url", "hostname", "withdrawals", "old_key")
_EXCHANGE: Final = re.compile(r"[a-z0-9_]{2,40}")
_HOSTNAME: Final = re.compile(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*")
LOOK_AGAIN_SECONDS: Final = 3600.0
_STILL_THERE: Final = frozenset({Cause.PERMISSION, Cause.CLOCK})
"""Refusals of an old key that is known. The last: another program uses it with numbers (nonces) ahead of ours."""


class Wanted(msgspec.Struct, frozen=True):
    """What a policy's parameters say."""

    door: Door
    refuse_withdrawals: bool
    check_old: bool

    @classmethod
    def read(cls, parameters: Mapping[str, str]) -> Wanted:
        """Read it; raises `InvalidInputError`."""
        given = Parameters("exchange", parameters, _NAMES)
        exchange, url, hostname = given.text("exchange"), "", ""
        if not _EXCHANGE.fullmatch(exchange):
            raise given.wrong("exchange", "must be an exchange's id in ccxt, as 'binance'")
        if "url" in given:
            url = _address(given)
        if "hostname" in given:
            hostname = given.text("hostname")
        if hostname and (url or not _HOSTNAME.fullmatch(hostname)):
            raise given.wrong("hostname", "must be a host name, and not stand beside url")
        door = Door(exchange, given.flag("sandbox", default=False), url, hostname)
        withdrawals = given.one_of("withdrawals", ("refuse", "allow"), "refuse")
        return cls(door, withdrawals == "refuse", given.one_of("old_key", ("check", "leave"), "check") == "check")


def _address(given: Parameters) -> str:
    try:
        return address(given.text("url"))
    except ConfigurationError as error:
        raise given.wrong("url", f"is not usable: {error.detail}") from None


class ExchangeRotator(Plain):
    """A guided hand-over of an exchange's key."""

    kind = "exchange"
    automatic = False

    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound

    def check(self, parameters: Mapping[str, str]) -> None:
        """Raise `InvalidInputError` naming a parameter that is missing or wrong."""
        exchange = Wanted.read(parameters).door.exchange
        if not _known(exchange):
            raise Parameters(self.kind, parameters, _NAMES).wrong(
                "exchange", f"is {exchange!r}, which ccxt as it is installed does not know"
            )

    async def create(self, job: Job, read: ReadSecret) -> dict[str, object]:
        """Return the value with the key that the operator supplied; refuses the one that is in use."""
        del read
        wanted = Wanted.read(job.parameters)
        if job.supplied is None:
            raise RotationFailedError(
                f"Make a new key at {wanted.door.exchange}, and supply it for secret '{job.path}' as api_key and "
                "api_secret (and passphrase, where the exchange has one)"
            )
        fresh = credentials(f"supplied for {job.path}", job.supplied, wanted.door.exchange)
        old = _key_of(job.current, job, wanted)
        if old is not None and _same(fresh, old):
            raise RotationFailedError(
                f"What was supplied for secret '{job.path}' is the key in use; make a new one at {wanted.door.exchange}"
            )
        value = replaced(job.current, job.supplied, fresh)
        credentials(job.path, value, wanted.door.exchange)
        return value

    async def set(self, job: Job, read: ReadSecret) -> None:
        """Do nothing: the exchange knows the key that it made."""

    async def test(self, job: Job, read: ReadSecret) -> None:
        """Fetch the balance with the new key, and see that it may not withdraw, where the exchange tells."""
        del read
        wanted = Wanted.read(job.parameters)
        fresh = credentials(job.path, job.pending or {}, wanted.door.exchange)
        refusal = await self._account(wanted, fresh).refusal(fresh, withdrawals=wanted.refuse_withdrawals)
        if refusal is not None:
            raise refusal.error(wanted.door.exchange)

    async def finish(self, job: Job, read: ReadSecret) -> None:
        """See that the exchange no longer takes the old key; raises `RotationWaitsError` saying which one to delete."""
        del read
        wanted = Wanted.read(job.parameters)
        old = _key_of(job.current, job, wanted)
        if old is None or not wanted.check_old:
            return
        refusal = await self._account(wanted, old).refusal(old, withdrawals=False)
        if refusal is None or refusal.cause in _STILL_THERE:
            raise RotationWaitsError(
                f"Secret '{job.path}' has its new key; delete the key {masked(old.api_key.reveal())} at "
                f"{wanted.door.exchange}, then run the rotation again: it sees for itself that the key is gone",
                seconds=LOOK_AGAIN_SECONDS,
            )
        if refusal.cause is not Cause.KEY:
            raise refusal.error(wanted.door.exchange)

    def _account(self, wanted: Wanted, key: ExchangeCredentials) -> Account:
        door = wanted.door
        if key.testnet and not door.sandbox:
            door = msgspec.structs.replace(door, sandbox=True)
        return Account(door, self._outbound)


def _known(exchange: str) -> bool:
    """Tell whether ccxt has an exchange, without importing it, which takes a second; yes where it is not installed."""
    found = find_spec("ccxt")
    folders = list(found.submodule_search_locations or ()) if found is not None else []
    return not folders or any((Path(folder) / f"{exchange}.py").is_file() for folder in folders)


def _same(fresh: ExchangeCredentials, old: ExchangeCredentials) -> bool:
    """Tell whether a key is the one in use. A wallet keeps its address, and gets another private key."""
    return fresh.api_secret == old.api_secret or (not fresh.wallet and fresh.api_key == old.api_key)


def _key_of(value: Mapping[str, object] | None, job: Job, wanted: Wanted) -> ExchangeCredentials | None:
    """Return the key in a value; None for a value that holds none."""
    try:
        return None if value is None else credentials(job.path, value, wanted.door.exchange)
    except RotationFailedError:
        return None
