"""A tokens room over memory, with a clock that tests move and a register that they fill."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.keys import keyring
from tradewarden.access.grant import ANY, Grant, authorize
from tradewarden.access.permission import ALL, PermissionSet
from tradewarden.access.principal import Kind, Principal
from tradewarden.audit.entry import Auditor, Entry, EventType, Origin
from tradewarden.clock import Randomness, system_randomness
from tradewarden.storage.memory import MemoryDatabase
from tradewarden.storage.memory_tokens import MemoryTokenStore
from tradewarden.tokens.policy import TokenPolicy
from tradewarden.tokens.tokens import Tokens

if TYPE_CHECKING:
    from tradewarden.keys.port import Keys
    from tradewarden.tokens.authenticated import Authenticated
    from tradewarden.tokens.register import CurrentRevisions
    from tradewarden.tokens.store import TokenStore

START = 1_800_000_000.0
ADMIN = Principal(Kind.USER, "admin")
SHARED_SECRET = "a-shared-secret-of-more-than-32-bytes"


class MovedClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: float = START) -> None:
        self.time = now

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.time

    def monotonic(self) -> float:
        """As `now`."""
        return self.time

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.time += seconds


@dataclass
class Journal:
    """Keeps what no transaction carried."""

    events: list[bytes] = field(default_factory=list)

    async def record(self, event: bytes) -> None:
        """Append one event."""
        self.events.append(event)


@dataclass(frozen=True)
class Registered:
    """A registration as the register answers it."""

    incarnation: str
    permissions: tuple[str, ...]


@dataclass
class FilledRegister:
    """A register of services in a dict."""

    services: dict[str, Registered] = field(default_factory=dict)

    async def registered(self, name: str) -> Registered | None:
        """Return what the test put there."""
        return self.services.get(name)

    def add(self, name: str, *permissions: str, incarnation: str = "1") -> None:
        """Register a service."""
        self.services[name] = Registered(incarnation, permissions)


@dataclass
class Room:
    """A tokens room and everything around it."""

    tokens: Tokens
    store: TokenStore
    keys: Keys
    register: FilledRegister
    policy: TokenPolicy
    clock: MovedClock
    journal: Journal
    auditor: Auditor
    revisions: CurrentRevisions
    database: MemoryDatabase
    revoked: set[str]

    def entry(self, action: str = "test") -> Entry:
        """Return a fresh audit entry."""
        return self.auditor.entry(EventType.TOKEN, action, Origin("127.0.0.1", "test", "r-1"))

    async def authenticate(self, token: str) -> Authenticated:
        """Authenticate as the pipeline does: the revisions are read first."""
        return await self.tokens.authenticate(token, await self.revisions())


def admin(action: str, resource: str = ANY) -> Grant:
    """Return an administrator's grant."""
    return authorize(ADMIN, ALL, action, resource)


def service(name: str, permissions: PermissionSet, action: str, resource: str = ANY) -> Grant:
    """Return a service's grant."""
    return authorize(Principal(Kind.SERVICE, name), permissions, action, resource)


async def room(
    policy: TokenPolicy | None = None,
    *,
    secret: str | None = None,
    randomness: Randomness = system_randomness,
) -> Room:
    """Return an opened room over memory; unregistered names may read and write unless `policy` says otherwise."""
    database = MemoryDatabase()
    made = await room_over(
        MemoryTokenStore(database),
        database.revisions,
        policy or TokenPolicy(unregistered_ceiling=("read", "write")),
        randomness,
    )
    made.database = database
    async with made.entry() as entry:
        await made.tokens.open(secret, entry)
    return made


async def room_over(
    store: TokenStore,
    revisions: CurrentRevisions,
    policy: TokenPolicy,
    randomness: Randomness = system_randomness,
) -> Room:
    """Return a room that is not opened yet, over any store."""
    clock, register, journal = MovedClock(), FilledRegister(), Journal()
    keys = await keyring(clock=clock)
    revoked: set[str] = set()

    async def is_revoked(serial: str) -> bool:
        return serial in revoked

    tokens = Tokens(store, keys, register, policy, clock, randomness, revisions, is_revoked)
    auditor = Auditor(journal, clock)
    return Room(tokens, store, keys, register, policy, clock, journal, auditor, revisions, MemoryDatabase(), revoked)
