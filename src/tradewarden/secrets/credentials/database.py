"""What it takes to connect to a PostgreSQL database, in the form that each driver wants."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Self
from urllib.parse import quote, urlencode

import msgspec

from tradewarden.errors import InvalidInputError
from tradewarden.secrets.credentials.fields import Fields
from tradewarden.secrets.credentials.stored_database import chosen_options, laid_out
from tradewarden.settings.secret import Secret

if TYPE_CHECKING:
    from sqlalchemy import URL

    from tradewarden.secrets.providers.provider import Content

_PORT = 5432
_LAST_PORT = 65535
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.%]*|/[^\x00-\x1f]*")


class DatabaseCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """A PostgreSQL database and the login to it.

    `options` are libpq's connection parameters (`sslmode`, `sslrootcert`, `application_name`, …). A login by client
    certificate (`sslcert`) has no password.
    """

    host: str
    user: str
    password: Secret | None
    database: str
    port: int = _PORT
    options: dict[str, str] = {}

    @classmethod
    def from_content(cls, secret: str, content: Content) -> Self:
        """Read a stored secret: an object with named fields, or an address `postgresql://user:password@host/database`.

        The user may also be called `username`, the database `name`, `dbname` or `db`. Without a port it is 5432,
        without a database its name is the user's, as everywhere with PostgreSQL. Raises `ConfigurationError` that
        names what is missing or wrong.
        """
        fields = Fields(secret, laid_out(secret, content))
        host = fields.text("host", "hostname", "server")
        if host and not _HOST.fullmatch(host):
            fields.wrong("host", "is neither a host name nor an address nor a socket's directory")
        if fields.optional("engine") not in ("", "postgres", "postgresql", "aurora-postgresql"):
            fields.wrong("engine", "is not postgres, and no other database is known here")
        user = fields.text("user", "username", "login")
        options = chosen_options(fields)
        certificate = "sslcert" in options
        password = fields.optional("password", "pass") if certificate else fields.text("password", "pass")
        port = fields.whole("port", _PORT, 1, _LAST_PORT)
        database = fields.optional("database", "dbname", "name", "db") or user
        fields.require_sound()
        return cls(
            host=host,
            port=port,
            user=user,
            password=Secret(password) if password else None,
            database=database,
            options=options,
        )

    def uri(self) -> str:
        """Reveals it as a libpq URI, for psycopg, asyncpg and psql: `postgresql://user:password@host:5432/database`."""
        return f"postgresql://{self._login()}@{self._place()}/{_quoted(self.database)}{self._query()}"

    def conninfo(self) -> str:
        """Reveals it as libpq's keyword string, for psycopg: `host='db' port='5432' user='…' …`."""
        given = {
            "host": self.host,
            "port": str(self.port),
            "user": self.user,
            "password": self._password(),
            "dbname": self.database,
            **self.options,
        }
        return " ".join(f"{name}={_in_quotes(value)}" for name, value in given.items() if value)

    def asyncpg(self) -> dict[str, object]:
        """Reveals it as arguments of `asyncpg.connect` and `asyncpg.create_pool`."""
        given: dict[str, object] = {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "database": self.database,
        }
        if self.password is not None:
            given["password"] = self.password.reveal()
        if "connect_timeout" in self.options:
            given["timeout"] = float(self.options["connect_timeout"])
        options = self._asyncpg_options()
        return {"dsn": options, **given} if options else given

    def sqlalchemy_url(self, driver: str = "psycopg") -> str:
        """Reveals it as the text of SQLAlchemy's URL, for the drivers psycopg, psycopg2 and asyncpg.

        asyncpg takes `connect_timeout` from the engine only: `connect_args={"timeout": 5.0}`.
        """
        socket = {"host": self.host} if self.host.startswith("/") else {}
        query = urlencode(socket | self._sqlalchemy_options(driver), quote_via=quote)
        place = "" if socket else self._place()
        database = _quoted(self.database)
        return f"postgresql+{driver}://{self._login()}@{place}/{database}" + (f"?{query}" if query else "")

    def sqlalchemy(self, driver: str = "psycopg") -> URL:
        """Return SQLAlchemy's own URL object, for `create_engine`; it hides the password when it is printed."""
        from sqlalchemy import URL

        socket = self.host.startswith("/")
        query = ({"host": self.host} if socket else {}) | self._sqlalchemy_options(driver)
        return URL.create(
            f"postgresql+{driver}",
            username=self.user,
            password=self._password() or None,
            host=None if socket else self.host,
            port=None if socket else self.port,
            database=self.database,
            query=query,
        )

    def __repr__(self) -> str:
        options = ", ".join(sorted(self.options))
        return (
            f"DatabaseCredentials(host={self.host!r}, port={self.port}, user={self.user!r}, "
            f"database={self.database!r}, password={self.password!r}, options=[{options}])"
        )

    def _password(self) -> str:
        return "" if self.password is None else self.password.reveal()

    def _login(self) -> str:
        password = self._password()
        return _quoted(self.user) + (f":{_quoted(password)}" if password else "")

    def _place(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else _quoted(self.host)
        return f"{host}:{self.port}"

    def _query(self) -> str:
        return f"?{urlencode(self.options, quote_via=quote)}" if self.options else ""

    def _asyncpg_options(self) -> str:
        """What asyncpg takes from an address only: it has no arguments of their names."""
        options = {name: value for name, value in self.options.items() if name != "connect_timeout"}
        return f"postgresql://?{urlencode(options, quote_via=quote)}" if options else ""

    def _sqlalchemy_options(self, driver: str) -> dict[str, str]:
        if driver in ("psycopg", "psycopg2", "psycopg_async"):
            return dict(self.options)
        if driver != "asyncpg":
            raise InvalidInputError(f"driver {driver!r} is not known here; use psycopg, psycopg2 or asyncpg")
        options = self._asyncpg_options()
        return {"dsn": options} if options else {}


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _in_quotes(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
