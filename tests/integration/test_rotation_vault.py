"""Rotation of secrets that are kept in Vault: killed at every point, written meanwhile, and through an outage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.support.keys import keyring
from tests.support.providers import fresh, vault, vault_standin
from tests.support.rotations import PATH, KilledError, Rotating
from tests.support.secrets import HandClock, may
from tests.support.vault_standin import StandIn, standin
from tradewarden.errors import RotationFailedError, UnavailableError
from tradewarden.secrets.commands import PutSecret
from tradewarden.secrets.providers.vault.connect import connect
from tradewarden.secrets.rotation.machine import LEASE_SECONDS
from tradewarden.secrets.value import raw_object
from tradewarden.secrets.vaulted.vaulted import VaultedSecrets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.vault import Place

__all__ = ["standin", "vault", "vault_standin"]


class Vaulted(Rotating):
    """A rotation room over secrets in Vault."""

    def __init__(self, place: Place, keys: object) -> None:
        opened = connect(place.config(prefix=f"{fresh('rotation')}/"))
        self.vaulted = VaultedSecrets(opened, HandClock(), 60.0, lambda _: None)
        super().__init__(keys, secrets=self.vaulted)  # type: ignore[arg-type]  # a keyring

    async def write(self, password: str) -> None:
        """Write a password as somebody else."""
        command = PutSecret(PATH, raw_object({"password": password}))
        await self.vaulted.put(may("secrets:write", PATH), command, self.room.entry())


@pytest.fixture(params=["standin", "vault"])
async def place(request: pytest.FixtureRequest) -> Place:
    """A stand-in, and a real server where there is one."""
    if request.param == "vault":
        return request.getfixturevalue("vault")  # type: ignore[no-any-return]
    running: StandIn = request.getfixturevalue("vault_standin")
    return running.place


@pytest.fixture
async def made(place: Place) -> AsyncIterator[Vaulted]:
    """A rotation room over Vault, with a first password."""
    room = Vaulted(place, await keyring())
    await room.write("first")
    await room.policy()
    yield room
    await room.vaulted.close()


async def test_a_secret_in_vault_is_rotated(made: Vaulted) -> None:
    """The new value becomes Vault's current version, and the write has its entry."""
    done = await made.run()
    assert (done.version, done.previous_version) == (2, 1)
    assert await made.current() == "new-1"
    assert made.other.jobs[-1].current == {"password": "first"}
    entries = [msgspec.json.decode(line) for line in made.room.journal.events]
    assert [(each["action"], each["result"]) for each in entries if each["action"] == "write"] == [("write", "success")]


@pytest.mark.parametrize("point", ["before put", "after put"])
async def test_killed_around_the_write_it_is_made_once(made: Vaulted, point: str) -> None:
    """Whether Vault has the new version already or not, the next run ends with one."""
    made.faults.passed.clear()
    await made.run()
    made.faults.at = made.faults.passed.index(point) + 1
    made.faults.passed.clear()
    with pytest.raises(KilledError):
        await made.run()
    made.clock.time += LEASE_SECONDS
    assert (await made.run()).version == 3
    assert made.other.accepted == {await made.current()}


async def test_a_write_by_somebody_else_in_vault_is_kept(made: Vaulted) -> None:
    """Who writes in Vault itself while the secret is rotated is not written over."""
    test = made.other.test

    async def meddled(job, read) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
        await test(job, read)
        await made.write("by hand")

    made.other.test = meddled  # type: ignore[method-assign]
    with pytest.raises(RotationFailedError, match="somebody else"):
        await made.run()
    assert await made.current() == "by hand"


async def test_through_an_outage_a_rotation_waits(standin: StandIn) -> None:
    """While Vault is away nothing is decided on what was last known; afterwards the rotation goes on."""
    made = Vaulted(standin.place, await keyring())
    await made.write("first")
    await made.policy()
    assert await made.current() == "first"
    carry_out = made.other.test

    async def seals(job, read) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
        await carry_out(job, read)
        standin.sealed = True

    made.other.test = seals  # type: ignore[method-assign]
    with pytest.raises(UnavailableError):
        await made.run()
    with pytest.raises(UnavailableError):
        await made.run()
    standin.sealed = False
    done = await made.run()
    assert (done.version, done.resumed) == (2, True)
    await made.vaulted.close()
