"""One look at everything that requests need: disk, database, keys, tokens, Vault, clock, and what is overdue.

Always true here: a look changes nothing that anyone could notice, and what it finds wrong it says in words that name
the thing and what to do. It is taken once a second at most, whoever asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from tradewarden.errors import IntegrityError, StorageUnavailableError, TradewardenError
from tradewarden.readiness import Readiness, disk_reasons

if TYPE_CHECKING:
    from pathlib import Path

    from tradewarden.clock import Clock
    from tradewarden.crypto.pkcs11 import Token
    from tradewarden.keys.keyring import Keyring
    from tradewarden.pki.authority import Authority
    from tradewarden.secrets.rotation.rotations import Rotations
    from tradewarden.secrets.vaulted.vaulted import VaultedSecrets
    from tradewarden.storage.database import Database, Transaction
    from tradewarden.timefloor.floor import TimeFloor

_LOOK_SECONDS: Final = 1.0
_NAMED: Final = 5


class Sights(NamedTuple):
    """What is looked at. `refusals`: which parts cannot be had as things are set; `vaulted`: None without Vault.

    `ended` names the tasks beside the requests that ended although the installation is open.
    """

    journal: Path
    database: Database
    keyring: Keyring
    token: Token | None
    authority: Authority
    rotations: Rotations
    vaulted: VaultedSecrets | None
    refusals: Mapping[str, str]
    floor: TimeFloor
    ended: Collection[str]


class Lookout:
    """Says whether requests can be answered now."""

    def __init__(self, sights: Sights, clock: Clock) -> None:
        self._sights = sights
        self._clock = clock
        self._looked: tuple[float, Readiness] | None = None

    async def readiness(self) -> Readiness:
        """Return what was found; looks at most once a second."""
        now = self._clock.monotonic()
        if self._looked is None or now - self._looked[0] >= _LOOK_SECONDS:
            self._looked = now, await self._look()
        return self._looked[1]

    async def _look(self) -> Readiness:
        sights = self._sights
        disk = await asyncio.to_thread(disk_reasons, sights.journal)
        database, vault = await self._database(), await self._vault()
        reasons = (*disk, *database, *await self._keys(), *await self._token(), *vault)
        warnings = await sights.authority.cas.warnings()
        late = () if database else await self._late()
        ended = (f"{name} has ended, and the log says why; open it again" for name in sights.ended)
        return Readiness(not database, not disk, reasons, (*await self._time(), *warnings, *late, *ended), not vault)

    async def _database(self) -> tuple[str, ...]:
        try:
            await self._sights.database.transact(_touch)
        except StorageUnavailableError as error:
            return (f"database: {error.reason}",)
        return ()

    async def _keys(self) -> tuple[str, ...]:
        keyring = self._sights.keyring
        if keyring.outdated:
            with suppress(TradewardenError):
                await keyring.refresh()  # a source that could not be opened then may be there now
        if keyring.outdated:
            return ("keys: the root key was rotated; restart with the new TRADEWARDEN_ROOT_KEY",)
        return ()

    async def _token(self) -> tuple[str, ...]:
        token = self._sights.token
        if token is not None:
            try:
                await asyncio.to_thread(token.require_present)
            except TradewardenError as error:
                return (f"ca keys: {error.detail}",)
        return ()

    async def _vault(self) -> tuple[str, ...]:
        sights = self._sights
        fault = sights.refusals.get("ENABLE_VAULT") or (await sights.vaulted.fault() if sights.vaulted else "")
        return (f"vault: {fault}",) if fault else ()

    async def _time(self) -> tuple[str, ...]:
        """Say when the machine's clock is not the one that counts; requests are answered all the same."""
        floor = self._sights.floor
        try:
            await floor.look()
        except IntegrityError as error:
            return (f"clock: {error.detail}",)
        except StorageUnavailableError:
            pass  # a reason of its own
        told = floor.warning()
        return (told,) if told else ()

    async def _late(self) -> tuple[str, ...]:
        """Say which rotations are overdue, a few by name."""
        paths = await self._sights.rotations.tending.overdue()
        more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
        told = f"rotation overdue: {', '.join(paths[:_NAMED])}{more}; see 'tradewarden secrets due'"
        return (told,) if paths else ()


async def _touch(transaction: Transaction) -> None:
    """Write something durable and meaningless, to see that writing works."""
    await transaction.run("UPDATE revisions SET value = value WHERE kind = ?", "keys")
