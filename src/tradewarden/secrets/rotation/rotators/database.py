"""A PostgreSQL server as a rotation reaches it: where the admin's secret says, over TLS, with an end to every wait.

Always true here: host, port and TLS come from the admin's secret and never from the one that is rotated, whose writer
could otherwise have the admin's login sent elsewhere; nothing goes to another host but over TLS that proves the server.
What the server or its driver says is not repeated, but for the five characters of an SQLSTATE.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from tradewarden.errors import (
    ConfigurationError,
    ExtraMissingError,
    RotationFailedError,
    TradewardenError,
    UnavailableError,
)
from tradewarden.ip import is_this_machine
from tradewarden.secrets.credentials.database import DatabaseCredentials

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tradewarden.secrets.rotation.rotators.login import Login
    from tradewarden.secrets.rotation.rotators.outbound import Outbound

CONNECT_SECONDS: Final = 5.0
COMMAND_SECONDS: Final = 5.0
CLOSE_SECONDS: Final = 1.0
_PROVEN: Final = frozenset({"verify-ca", "verify-full"})
_OF_THE_ADMIN: Final = frozenset({"sslcert", "sslkey", "options", "application_name"})
_TRY_AGAIN: Final = ("08", "40", "53", "57", "55P03", "23505", "42710")
"""Classes and codes (PostgreSQL's manual, appendix A) that another attempt may not meet."""
_WORDS: Final = {
    "25006": "it must only read",
    "22023": "a value that it does not take",
    "28000": "no such login, or not from here",
    "28P01": "user or password is wrong",
    "3D000": "no such database",
    "42501": "the login may not do that",
    "42601": "it does not understand the statement",
    "42704": "no such role",
    "42939": "the name of a role is reserved",
    "0LP01": "the membership cannot be granted",
}


class Server:
    """A server and who its admin is."""

    def __init__(self, admin: DatabaseCredentials) -> None:
        self._admin = admin

    @classmethod
    def read(cls, path: str, value: Mapping[str, object], outbound: Outbound) -> Server:
        """Read the admin's secret; raises `RotationFailedError` for one that is wrong or leads where nobody may."""
        try:
            admin = DatabaseCredentials.from_content(path, dict(value))
        except ConfigurationError as error:
            raise RotationFailedError(error.detail) from None
        outbound.require(admin.host, admin.port)
        if not is_this_machine(admin.host) and admin.options.get("sslmode") not in _PROVEN:
            raise RotationFailedError(
                f"Secret '{path}' leads to another host without proof of which: give it sslmode verify-full and "
                "sslrootcert"
            )
        return cls(admin)

    @property
    def place(self) -> dict[str, object]:
        """Where it is, as fields of a secret."""
        return {"host": self._admin.host, "port": self._admin.port, "database": self._admin.database}

    @asynccontextmanager
    async def as_admin(self) -> AsyncIterator[Database]:
        """Connect as the admin."""
        # Without a password asyncpg would look for one in files of this process's user.
        async with self._connected({"password": "", **self._admin.asyncpg()}, "the admin's login") as database:
            yield database

    @asynccontextmanager
    async def as_user(self, login: Login, database: str) -> AsyncIterator[Database]:
        """Connect by a login, to a database (empty: the admin's)."""
        options = {name: text for name, text in self._admin.options.items() if name not in _OF_THE_ADMIN}
        theirs = DatabaseCredentials(
            host=self._admin.host,
            port=self._admin.port,
            user=login.user,
            password=None,
            database=database or self._admin.database,
            options=options,
        )
        given = {**theirs.asyncpg(), "password": login.password}
        async with self._connected(given, "the new login") as connected:
            yield connected

    @asynccontextmanager
    async def _connected(self, given: dict[str, object], whose: str) -> AsyncIterator[Database]:
        asyncpg = await asyncio.to_thread(_asyncpg)
        limits = {"timeout": CONNECT_SECONDS, "command_timeout": COMMAND_SECONDS, "statement_cache_size": 0}
        connection, database = None, Database()
        try:
            connection = await asyncpg.connect(**{**given, **limits})
            database.open(connection)
            yield database
        except TradewardenError:
            raise
        except Exception as error:  # noqa: BLE001  (whatever a driver raises; `_failed` tells it apart)
            # Without a cause: the texts of the server may quote what it was sent.
            raise _failed(asyncpg, error, f"{self._admin.host}:{self._admin.port}", database.doing or whose) from None
        finally:
            if connection is not None:
                await _closed(connection)


class Database:
    """One connection."""

    def __init__(self) -> None:
        self._connection: Any = None
        self.doing = ""
        """What it was last asked to do, in words; empty while it was only connected to."""

    def open(self, connection: Any) -> None:  # noqa: ANN401  (asyncpg has no types)
        """Use a connection from now on."""
        self._connection = connection

    def transaction(self, *, readonly: bool = False) -> Any:  # noqa: ANN401  (as above)
        """Return a transaction to be entered."""
        return self._connection.transaction(readonly=readonly)

    async def value(self, query: str, *arguments: object, doing: str = "") -> Any:  # noqa: ANN401  (a column of any type)
        """Return the first column of the first row; None without a row. `doing` says in words what for."""
        self.doing = _to(doing)
        return await self._connection.fetchval(query, *arguments)

    async def row(self, query: str, *arguments: object) -> Mapping[str, Any] | None:
        """Return the first row; None without one."""
        self.doing = _to("")
        found: Mapping[str, Any] | None = await self._connection.fetchrow(query, *arguments)
        return found

    async def run(self, template: str, *arguments: str, doing: str) -> None:
        """Run a statement that takes no parameters; the server's own `format` puts the arguments in (`%I`, `%L`)."""
        self.doing = _to(doing)
        statement = await self.value("SELECT format($1, VARIADIC $2::text[])", template, list(arguments), doing=doing)
        await self._connection.execute(statement)


def _to(doing: str) -> str:
    return f"to {doing or 'look at its roles'}"


async def _closed(connection: Any) -> None:  # noqa: ANN401  (asyncpg has no types)
    try:
        await connection.close(timeout=CLOSE_SECONDS)
    except Exception:  # noqa: BLE001  (what could not be closed is dropped; the work is done or has failed by itself)
        connection.terminate()


def _asyncpg() -> Any:  # noqa: ANN401  (a module without types)
    try:
        import asyncpg  # type: ignore[import-untyped]
    except ImportError as error:
        raise ExtraMissingError("Rotator 'postgres' needs asyncpg", "postgres") from error
    return asyncpg


def _failed(asyncpg: Any, error: Exception, place: str, whose: str) -> TradewardenError:  # noqa: ANN401  (as above)
    if isinstance(error, asyncpg.PostgresError):
        code = str(error.sqlstate or "")[:5]
        words = _WORDS.get(code, "see its log")
        text = f"PostgreSQL at {place} refuses {whose} (SQLSTATE {code}: {words})"
        return UnavailableError(text) if code.startswith(_TRY_AGAIN) else RotationFailedError(text)
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "verify_message", "") or error.reason or "no more is known"
        return RotationFailedError(
            f"TLS with PostgreSQL at {place} failed: {reason}; see sslrootcert and its host name"
        )
    # The last is what asyncpg makes of a server that goes away in the middle of an answer.
    gone = OSError | TimeoutError | asyncpg.InterfaceError | asyncpg.exceptions.InternalClientError
    if isinstance(error, gone) and not _misconfigured(asyncpg, error):
        return UnavailableError(f"PostgreSQL at {place} cannot be reached or does not answer ({type(error).__name__})")
    return RotationFailedError(f"PostgreSQL at {place} cannot be used; {whose} did not work ({type(error).__name__})")


def _misconfigured(asyncpg: Any, error: Exception) -> bool:  # noqa: ANN401  (as above)
    return isinstance(error, asyncpg.exceptions.ClientConfigurationError | FileNotFoundError)
