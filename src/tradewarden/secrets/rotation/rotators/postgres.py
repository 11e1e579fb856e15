"""Rotates the login of a PostgreSQL application between two users of its own, so that one always works.

The secret holds the login of the user in use. A rotation gives the other one a new password, tries it, and only then
makes it the one in use; the one before it ends after a grace. Both are members of one group, which has the rights.

Always true here: the user in use is never altered before another has taken its place; a password is never sent to the
server but to log in by SCRAM, what is stored there is computed here (RFC 7677); names reach a statement only through
the server's own quoting; a superuser, the admin and users other than the two are left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from tradewarden.errors import RotationFailedError, RotationWaitsError
from tradewarden.secrets.rotation.rotator import Plain
from tradewarden.secrets.rotation.rotators.database import Database, Server
from tradewarden.secrets.rotation.rotators.generated import password
from tradewarden.secrets.rotation.rotators.login import Login, login_of, with_login
from tradewarden.secrets.rotation.rotators.parameters import Parameters
from tradewarden.secrets.rotation.rotators.scram import SALT_BYTES, verifier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tradewarden.clock import Randomness
    from tradewarden.secrets.rotation.rotator import Job, ReadSecret
    from tradewarden.secrets.rotation.rotators.outbound import Outbound

_NAMES: Final = (
    "admin",
    "user_a",
    "user_b",
    "group",
    "query",
    "grace_seconds",
    "end_login",
    "end_sessions",
    "act_as_group",
    "database",
)
_BITS: Final = 256
_LONGEST_NAME: Final = 63
_LONGEST_GRACE: Final = 30 * 86_400
_GRACE: Final = 3600
_BEHIND: Final = 60
"""How many seconds after a grace the server itself ends a password, should nobody be there to end it."""

_FIND: Final = (
    "SELECT rolsuper, rolname = current_user OR rolname = session_user AS own FROM pg_roles WHERE rolname = $1"
)
_CREATE: Final = "CREATE ROLE %I LOGIN PASSWORD %L"
_ALTER: Final = "ALTER ROLE %I LOGIN PASSWORD %L VALID UNTIL 'infinity'"
_GRANT: Final = "GRANT %I TO %I"
_ACT_AS: Final = "ALTER ROLE %I SET role TO %L"
_KEEP: Final = "ALTER ROLE %I VALID UNTIL 'infinity'"
_SHORTEN: Final = "ALTER ROLE %I VALID UNTIL %L"
_END: Final = "ALTER ROLE %I PASSWORD NULL"
_END_LOGIN: Final = "ALTER ROLE %I NOLOGIN"
_LAST_MOMENT: Final = (
    "SELECT LEAST(rolvaliduntil, now() + make_interval(secs => $2))::text FROM pg_roles WHERE rolname = $1"
)
_LEFT: Final = "SELECT extract(epoch FROM rolvaliduntil - now())::float8 FROM pg_roles WHERE rolname = $1"
_TERMINATE: Final = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = $1"
_IS_MEMBER: Final = "SELECT pg_has_role(session_user, $1, 'MEMBER')"


class Plan(msgspec.Struct, frozen=True):
    """What a policy's parameters say."""

    admin: str
    users: tuple[str, str]
    group: str
    query: str
    grace: int
    end_login: bool
    end_sessions: bool
    act_as_group: bool
    database: str

    @classmethod
    def read(cls, parameters: Mapping[str, str]) -> Plan:
        """Read it; raises `InvalidInputError`."""
        given = Parameters("postgres", parameters, _NAMES)
        roles = {name: _role(given, name) for name in ("user_a", "user_b", "group")}
        if len(set(roles.values())) < len(roles):
            raise given.wrong("user_b", "must differ from user_a, and both from group")
        return cls(
            admin=given.path("admin"),
            users=(roles["user_a"], roles["user_b"]),
            group=roles["group"],
            query=given.text("query", "SELECT 1"),
            grace=given.whole("grace_seconds", _GRACE, 0, _LONGEST_GRACE),
            end_login=given.flag("end_login", default=False),
            end_sessions=given.flag("end_sessions", default=False),
            act_as_group=given.flag("act_as_group", default=False),
            database=given.text("database", "") if "database" in given else "",
        )

    def after(self, user: str) -> str:
        """Return the user whose turn it is after this one."""
        return self.users[1] if user == self.users[0] else self.users[0]


def _role(given: Parameters, name: str) -> str:
    text = given.text(name)
    if "\0" in text or len(text.encode(errors="replace")) > _LONGEST_NAME or not _encodes(text):
        raise given.wrong(name, f"must be the name of a role of at most {_LONGEST_NAME} bytes")
    return text


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class PostgresRotator(Plain):
    """Two alternating users of a PostgreSQL database."""

    kind = "postgres"
    automatic = True
    overtakes = True

    def __init__(self, outbound: Outbound, randomness: Randomness) -> None:
        self._outbound = outbound
        self._randomness = randomness

    def check(self, parameters: Mapping[str, str]) -> None:
        """Raise `InvalidInputError` naming a parameter that is missing or wrong."""
        Plan.read(parameters)

    def needs(self, parameters: Mapping[str, str]) -> tuple[str, ...]:
        """Return the path of the admin's login."""
        return (Plan.read(parameters).admin,)

    async def create(self, job: Job, read: ReadSecret) -> dict[str, object]:
        """Return the value with the other user and a new password of it."""
        plan, server = await self._server(job, read)
        login = Login(plan.after(login_of(job.current).user), password(_BITS, self._randomness))
        place = server.place if job.current is None else {}
        chosen = {"database": plan.database} if plan.database and job.current is None else {}
        return with_login({**place, **chosen, **(job.current or {})}, login)

    async def set(self, job: Job, read: ReadSecret) -> None:
        """Give the other user its new password, and make it a member of the group.

        An urgent job closes its sessions too: the password that it had before may be the one in wrong hands.
        """
        plan, server = await self._server(job, read)
        login = _pending(job, plan)
        stored = verifier(login.password, self._randomness(SALT_BYTES))
        async with server.as_admin() as database:
            async with database.transaction():
                found = await _found(database, login.user)
                await database.run(_ALTER if found else _CREATE, login.user, stored, doing="give the user its password")
                await database.run(_GRANT, plan.group, login.user, doing="make the user a member of 'group'")
                if plan.act_as_group:
                    await database.run(_ACT_AS, login.user, plan.group, doing="have the user act as 'group'")
            if plan.end_sessions or job.urgent:  # of the password that it had; once nobody can begin one any more
                await database.value(_TERMINATE, login.user, doing="close the user's sessions (pg_signal_backend)")

    async def test(self, job: Job, read: ReadSecret) -> None:
        """Log in as the other user, see that it is in the group, and run the query in a read-only transaction."""
        plan, server = await self._server(job, read)
        login = _pending(job, plan)
        name = plan.database or _text(job.pending, "database", "dbname")
        async with server.as_user(login, name) as database, database.transaction(readonly=True):
            if not await database.value(_IS_MEMBER, plan.group):
                raise RotationFailedError("The new user is not a member of the group that the policy names")
            await database.value(plan.query, doing="run 'query', which must only read")

    async def finish(self, job: Job, read: ReadSecret) -> str | None:
        """End the user that was in use: its password, at the end of the grace, and more where the policy says so.

        An urgent job ends its password and its sessions at once. A user that is current again, because somebody rolled
        the secret back, is kept. Raises `RotationWaitsError` while the grace lasts: at its end this is looked at again.
        """
        plan, server = await self._server(job, read)
        if job.urgent:
            plan = replace(plan, grace=0, end_sessions=True)
        user, successor = login_of(job.current).user, _pending(job, plan).user
        if user not in plan.users or user == successor:
            return None
        async with server.as_admin() as database:
            if not await _found(database, user):
                return None
            if login_of(job.standing).user == user:
                return await _kept(database, user, job)
            left = await _shortened(database, user, plan.grace) if plan.grace else 0.0
            if left > 0:
                raise RotationWaitsError(
                    f"Secret '{job.path}' has its new login; the one before it ends in {left:.0f} seconds", seconds=left
                )
            await _end(database, user, plan)
        return None

    async def _server(self, job: Job, read: ReadSecret) -> tuple[Plan, Server]:
        plan = Plan.read(job.parameters)
        return plan, Server.read(plan.admin, await read(plan.admin), self._outbound)


def _pending(job: Job, plan: Plan) -> Login:
    """Return the new login. Whose it is was decided at `create`; it is one of the two, and not the one in use."""
    login = login_of(job.pending)
    if login.user not in plan.users or not login.password or login.user == login_of(job.current).user:
        raise RotationFailedError(
            f"The new value of secret '{job.path}' is not of the user whose turn it is; abandon the rotation"
        )
    return login


async def _found(database: Database, user: str) -> bool:
    """Tell whether a role is there; raises `RotationFailedError` for one that is left alone."""
    role = await database.row(_FIND, user)
    if role is not None and (role["rolsuper"] or role["own"]):
        raise RotationFailedError("A user of the rotation is a superuser or the admin itself; name users of their own")
    return role is not None


async def _kept(database: Database, user: str, job: Job) -> str:
    """Leave a user that is current again; raises `RotationFailedError` when its password may be in wrong hands."""
    if job.urgent:
        raise RotationFailedError(
            f"Secret '{job.path}' was given the login back that this urgent rotation was to end; it still works. "
            "Abandon this rotation, and rotate the secret anew with --urgent"
        )
    await database.run(_KEEP, user, doing="let the user's password end no more")
    return "somebody gave the secret its old login back meanwhile, so that one is kept"


async def _shortened(database: Database, user: str, grace: int) -> float:
    """Let the password of a user end after a grace, or when it already would; return how many seconds are left.

    The server is told a moment somewhat later: before that somebody looks whether the user is current again.
    """
    async with database.transaction():
        moment = await database.value(_LAST_MOMENT, user, float(grace + _BEHIND))
        await database.run(_SHORTEN, user, moment, doing="let the old user's password end")
        return float(await database.value(_LEFT, user)) - _BEHIND


async def _end(database: Database, user: str, plan: Plan) -> None:
    async with database.transaction():
        await database.run(_END, user, doing="end the old user's password")
        if plan.end_login:
            await database.run(_END_LOGIN, user, doing="end the old user's login")
    if plan.end_sessions:
        await database.value(_TERMINATE, user, doing="close the old user's sessions (pg_signal_backend)")


def _text(value: Mapping[str, object] | None, *names: str) -> str:
    found = next(((value or {})[name] for name in names if (value or {}).get(name)), "")
    return found if isinstance(found, str) else ""
