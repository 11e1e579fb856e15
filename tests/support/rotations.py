"""A rotation room for tests: real keys and stores in memory, another side that takes passwords, and faults at will."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tests.support.keys import keyring
from tests.support.secrets import Room, may
from tradewarden.clock import system_randomness
from tradewarden.errors import InvalidInputError, RotationFailedError, RotationWaitsError, SecretNotFoundError
from tradewarden.secrets.rotation.commands import RunRotation, SetPolicy
from tradewarden.secrets.rotation.rotations import ROTATE, Rotations
from tradewarden.secrets.rotation.rotator import Plain
from tradewarden.storage.memory import MemoryDatabase
from tradewarden.storage.memory_rotation import MemoryRotationStore
from tradewarden.storage.memory_secrets import MemorySecretStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tradewarden.access.grant import Grant
    from tradewarden.audit.entry import Entry
    from tradewarden.keys.port import Keys
    from tradewarden.secrets.commands import PutSecret, SecretMetadata, SecretRead, SecretWritten
    from tradewarden.secrets.rotation.commands import Policy, Rotated
    from tradewarden.secrets.rotation.reading import SecretsRoom
    from tradewarden.secrets.rotation.rotator import Job, ReadSecret
    from tradewarden.secrets.rotation.store import Change, State

T = TypeVar("T")
PATH = "database/app"


class KilledError(BaseException):
    """The process died here; nothing that would tidy up after an error runs."""


class Faults:
    """Counts the points that work goes through, and kills at one of them."""

    def __init__(self) -> None:
        self.at = 0
        self.passed: list[str] = []

    def point(self, name: str) -> None:
        """Pass a point, or die there."""
        self.passed.append(name)
        if len(self.passed) == self.at:
            raise KilledError(name)


class OtherSide(Plain):
    """A database with passwords that it takes, and a rotator of them. `automatic` is False for a guided one."""

    kind = "other"

    def __init__(self, faults: Faults, *, automatic: bool = True) -> None:
        self.automatic = automatic
        self.accepted: set[object] = {"first"}
        self.made = 0
        self.error: Exception | None = None
        self.grace = 0.0
        self.jobs: list[Job] = []
        self.steps: list[str] = []
        self._faults = faults

    def check(self, parameters: Mapping[str, str]) -> None:
        """Take a user, and nothing else."""
        if set(parameters) - {"user", "admin"}:
            raise InvalidInputError("parameters has a name other than user and admin")

    def _begin(self, step: str, job: Job) -> None:
        self._faults.point(f"before {step}")
        self.jobs.append(job)
        self.steps.append(step)
        if self.error is not None:
            raise self.error

    async def create(self, job: Job, read: ReadSecret) -> dict[str, object]:
        """Make a password."""
        self._begin("create", job)
        if "admin" in job.parameters:
            await read(job.parameters["admin"])
        self.made += 1
        self._faults.point("after create")
        return {"password": f"new-{self.made}", **(job.supplied or {})}

    async def set(self, job: Job, read: ReadSecret) -> None:
        """Take the new password beside the old one."""
        del read
        self._begin("set", job)
        self.accepted.add(_password(job.pending))
        self._faults.point("after set")

    async def test(self, job: Job, read: ReadSecret) -> None:
        """Log in with the new password."""
        del read
        self._begin("test", job)
        if _password(job.pending) not in self.accepted:
            raise RotationFailedError("the new password is not taken")
        self._faults.point("after test")

    async def finish(self, job: Job, read: ReadSecret) -> None:
        """Take the new password alone."""
        del read
        self._begin("finish", job)
        if self.grace and not job.urgent:
            raise RotationWaitsError("the old password has its grace", seconds=self.grace)
        self.accepted = {_password(job.pending)}
        self._faults.point("after finish")


def _password(value: dict[str, object] | None) -> object:
    return (value or {}).get("password")


class FaultyStore(MemoryRotationStore):
    """A store that may die before or after each change."""

    def __init__(self, database: MemoryDatabase, faults: Faults) -> None:
        super().__init__(database)
        self._faults = faults

    async def change(self, path: str, decide: Callable[[State], Change[T]]) -> T:
        """Change, and pass two points."""
        self._faults.point("before record")
        answer = await super().change(path, decide)
        self._faults.point("after record")
        return answer


class FaultySecrets:
    """A secrets room that may die before or after a write."""

    def __init__(self, room: SecretsRoom, faults: Faults) -> None:
        self._room = room
        self._faults = faults

    async def get(self, grant: Grant, path: str, version: int | None = None) -> SecretRead:
        """Read."""
        return await self._room.get(grant, path, version)

    async def metadata(self, grant: Grant, path: str) -> SecretMetadata:
        """Read."""
        return await self._room.metadata(grant, path)

    async def put(self, grant: Grant, command: PutSecret, entry: Entry) -> SecretWritten:
        """Write, and pass two points."""
        self._faults.point("before put")
        written = await self._room.put(grant, command, entry)
        self._faults.point("after put")
        return written


class Rotating:
    """A rotation room over a secrets room, with all that a test needs around it."""

    def __init__(self, keys: Keys, *, automatic: bool = True, secrets: SecretsRoom | None = None) -> None:
        self.faults = Faults()
        self.database = MemoryDatabase()
        self.room = Room(MemorySecretStore(self.database), keys)
        self.store = FaultyStore(self.database, self.faults)
        self.other = OtherSide(self.faults, automatic=automatic)
        self.clock = self.room.clock
        self.keys = keys
        self.secrets = secrets or self.room.secrets
        self.rotations = self.worker()

    def worker(self) -> Rotations:
        """Return the room as one more process sees it."""
        secrets = FaultySecrets(self.secrets, self.faults)
        rotators = {self.other.kind: self.other}
        return Rotations(self.store, secrets, self.keys, rotators, self.clock, system_randomness)

    async def policy(self, **fields: object) -> Policy:
        """Write a policy as an admin."""
        command = SetPolicy(**({"path": PATH, "kind": "other", "every_seconds": 3600} | fields))  # type: ignore[arg-type]
        return await self.rotations.set_policy(may(ROTATE, command.path), command, self.room.entry("policy"))

    async def run(self, supplied: dict[str, object] | None = None, *permissions: str) -> Rotated:
        """Rotate, as somebody with these permissions (none named: everything)."""
        entry = self.room.entry("rotate")
        entry.resource = PATH
        async with entry:
            return await self.rotations.run(may(ROTATE, PATH, *permissions), RunRotation(PATH, supplied), entry)

    async def tend(self) -> tuple[str, ...]:
        """Do what the background does."""
        return await self.rotations.tending.tend(lambda path: (may(ROTATE, path), self.room.entry("rotate")))

    async def current(self) -> object:
        """Return the password that is current; None when there is none."""
        try:
            return (await self.secrets.get(may("secrets:read", PATH), PATH)).value().get("password")
        except SecretNotFoundError:
            return None


async def rotating(*, automatic: bool = True, first: bool = True) -> Rotating:
    """Return a rotation room, with a first password that the other side takes."""
    made = Rotating(await keyring(), automatic=automatic)
    if first:
        await made.room.put(PATH, {"password": "first"})
    return made
