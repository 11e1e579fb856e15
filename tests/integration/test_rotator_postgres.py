"""The rotation of a login against a real PostgreSQL server."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import sys
from typing import TYPE_CHECKING

import asyncpg  # type: ignore[import-untyped]
import pytest

from tests.support.postgres import OWNER, Postgres, Tls, postgres
from tests.support.rotators import Drive
from tests.support.workload import Issuer
from tradewarden.clock import system_randomness
from tradewarden.errors import (
    ConfigurationError,
    InvalidInputError,
    RotationFailedError,
    RotationWaitsError,
    UnavailableError,
)
from tradewarden.secrets.credentials.database import DatabaseCredentials
from tradewarden.secrets.rotation.rotators import database
from tradewarden.secrets.rotation.rotators.outbound import Outbound
from tradewarden.secrets.rotation.rotators.postgres import PostgresRotator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path

ADMIN = "platform/postgres-admin"
GROUP = "trading"
PARAMETERS = {"admin": ADMIN, "user_a": "app_a", "user_b": "app_b", "group": GROUP, "grace_seconds": "0"}
HOSTILE = ('app"a; DROP TABLE trades; --', "app'b\\%I $1 ' || \"ö")
HBA = f"host all {OWNER} 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """Run a server that logs every statement, and would keep a password that it is told as an MD5 hash."""
    with postgres({"log_statement": "all", "password_encryption": "md5"}, HBA) as running:
        yield running


@pytest.fixture
async def owner(server: Postgres) -> AsyncIterator[asyncpg.Connection]:
    """Give the superuser's connection, with a group that may read a table; every other role goes afterwards."""
    connection = await asyncpg.connect(server.url)
    await connection.execute(
        "SET password_encryption = 'scram-sha-256';"
        "CREATE ROLE trading; CREATE ROLE warden LOGIN CREATEROLE PASSWORD 'of-the-admin';"
        "GRANT trading TO warden WITH ADMIN OPTION; GRANT pg_signal_backend TO warden;"
        "CREATE TABLE trades (id int); GRANT SELECT, INSERT ON trades TO trading"
    )
    yield connection
    await connection.execute("DROP TABLE trades")
    for role in await connection.fetch("SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_' AND rolname <> $1", OWNER):
        await connection.execute(await connection.fetchval("SELECT format('DROP ROLE %I', $1::text)", role["rolname"]))
    await connection.close()


def drive(server: Postgres, current: Mapping[str, object] | None = None, **parameters: str) -> Drive:
    """Return a rotation of a login at the server, by an admin who is no superuser."""
    admin: dict[str, object] = {
        "host": "127.0.0.1",
        "port": server.port,
        "user": "warden",
        "password": "of-the-admin",
        "database": "postgres",
    }
    rotator = PostgresRotator(Outbound([("127.0.0.1", server.port)]), system_randomness)
    return Drive(rotator, PARAMETERS | parameters, None if current is None else dict(current), {ADMIN: admin})


async def works(value: dict[str, object], query: str = "SELECT count(*) FROM trades") -> bool:
    """Tell whether an application gets in with what a secret holds, and may do its work."""
    given = DatabaseCredentials.from_content("trading/secret", value).asyncpg()
    try:
        connection = await asyncpg.connect(**{"timeout": 5, **given})
    except (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError):
        return False
    try:
        await connection.fetchval(query)
    finally:
        await connection.close()
    return True


async def require_ended(session: asyncpg.Connection) -> None:
    """See that the server closes a session; it was told to, and does so a moment later."""
    ended = asyncio.Event()
    session.add_termination_listener(lambda _connection: ended.set())
    if not session.is_closed():
        await asyncio.wait_for(ended.wait(), 10)


async def test_a_first_rotation_makes_the_login(server: Postgres, owner: asyncpg.Connection) -> None:
    """A secret that has no value yet gets the place of the server, the first user and a password that works."""
    run = drive(server)
    await run.rotate()
    assert run.current["user"] == "app_a"
    assert run.current["host"] == "127.0.0.1"
    assert await works(run.current)


async def test_the_users_alternate(server: Postgres, owner: asyncpg.Connection) -> None:
    """Each rotation gives the other user, and the one before it no longer gets in; other fields stay."""
    run = drive(server)
    await run.rotate()
    run.versions[-1]["note"] = "kept"
    seen = []
    for _ in range(3):
        before = run.current
        await run.rotate()
        seen.append(run.current["user"])
        assert await works(run.current)
        assert not await works(before)
        assert run.current["note"] == "kept"
    assert seen == ["app_b", "app_a", "app_b"]


async def test_the_server_is_never_told_a_password(server: Postgres, owner: asyncpg.Connection) -> None:
    """What is stored is a SCRAM verifier made here; with every statement logged, no password is in the log."""
    run = drive(server)
    passwords = []
    for _ in range(2):
        await run.rotate()
        passwords.append(str(run.current["password"]))
    log = (server.directory / "log").read_text(errors="replace")
    assert "ALTER ROLE" in log or "CREATE ROLE" in log
    assert not [each for each in passwords if each in log]
    stored = await owner.fetchval("SELECT rolpassword FROM pg_authid WHERE rolname = 'app_b'")
    assert stored.startswith("SCRAM-SHA-256$4096:")


async def test_no_moment_without_a_working_login(server: Postgres, owner: asyncpg.Connection) -> None:
    """Whoever connects with what is current gets in at every moment, though every step is killed and run again."""
    run = drive(server, grace_seconds="0")
    await run.rotate()
    tried, ended, moved = 0, asyncio.Event(), asyncio.Condition()

    async def hammer() -> None:
        nonlocal tried
        while not ended.is_set():
            value = run.current
            # A reader that read just before may have the one before; without a grace that is what a grace is for.
            assert await works(value) or value is not run.current
            async with moved:
                tried += 1
                moved.notify_all()

    async def watch() -> None:
        seen = tried
        async with asyncio.timeout(20), moved:
            await moved.wait_for(lambda: tried >= seen + 2)

    hammers = [asyncio.create_task(hammer()) for _ in range(2)]
    for _ in range(3):
        await run.rotate(repeat=2, watch=watch)
    ended.set()
    await asyncio.gather(*hammers)
    assert tried > 3 * 5 * 2


async def test_within_the_grace_both_logins_work(server: Postgres, owner: asyncpg.Connection) -> None:
    """The login before stays good until the grace ends, at a moment that the server itself knows."""
    run = drive(server, grace_seconds="600")
    await run.rotate()
    before = run.current
    with pytest.raises(RotationWaitsError):
        await run.rotate(repeat=2)
    assert await works(before)
    assert await works(run.current)
    left = await owner.fetchval(
        "SELECT extract(epoch FROM rolvaliduntil - now()) FROM pg_roles WHERE rolname = 'app_a'"
    )
    assert 600 < left <= 660
    await owner.execute("ALTER ROLE app_a VALID UNTIL '2020-01-01'")
    await run.step("finish")
    assert not await works(before)
    assert await works(run.current)


async def test_a_login_that_is_current_again_is_kept(server: Postgres, owner: asyncpg.Connection) -> None:
    """Whoever rolls the secret back within the grace keeps a login that works, also when the grace is over."""
    run = drive(server, grace_seconds="600")
    await run.rotate()
    before = run.current
    with pytest.raises(RotationWaitsError):
        await run.rotate()
    run.versions.append(before)
    assert "old login back" in str(await run.rotator.finish(run.job(), run.read))
    assert await owner.fetchval("SELECT rolvaliduntil::text FROM pg_roles WHERE rolname = 'app_a'") == "infinity"
    assert await works(before)
    run.urgent = True
    with pytest.raises(RotationFailedError, match="anew with --urgent"):
        await run.step("finish")
    assert await works(before)


async def test_an_urgent_rotation_ends_the_sessions_of_an_older_password(
    server: Postgres, owner: asyncpg.Connection
) -> None:
    """Sessions that somebody opened with an earlier version are closed before the new one can be read."""
    run = drive(server, grace_seconds="0")
    await run.rotate()
    session = await asyncpg.connect(**DatabaseCredentials.from_content("s", run.current).asyncpg())
    await run.rotate()
    assert await session.fetchval("SELECT 1") == 1
    run.urgent = True
    run.begin()
    for step in ("create", "set"):
        await run.step(step)
    await require_ended(session)


async def test_a_repeated_finish_does_not_lengthen_the_grace(server: Postgres, owner: asyncpg.Connection) -> None:
    """A finish that is carried out again leaves the end of the grace where it was."""
    run = drive(server, grace_seconds="600")
    await run.rotate()
    with pytest.raises(RotationWaitsError):
        await run.rotate()
    query = "SELECT rolvaliduntil FROM pg_roles WHERE rolname = 'app_a'"
    first = await owner.fetchval(query)
    with pytest.raises(RotationWaitsError):
        await run.step("finish")
    assert await owner.fetchval(query) == first


async def test_what_ends_after_the_grace_is_waited_for(server: Postgres, owner: asyncpg.Connection) -> None:
    """Sessions and the login of the user before end once the grace is over; until then the rotation waits."""
    run = drive(server, grace_seconds="600", end_sessions="yes", end_login="yes")
    await run.rotate()
    session = await asyncpg.connect(**DatabaseCredentials.from_content("s", run.current).asyncpg())
    with pytest.raises(RotationWaitsError) as caught:
        await run.rotate()
    assert 500 < caught.value.seconds <= 600
    assert await session.fetchval("SELECT 1") == 1
    await owner.execute("ALTER ROLE app_a VALID UNTIL '2020-01-01'")
    await run.step("finish")
    await require_ended(session)
    assert await owner.fetchval("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'app_a'") is False
    run.parameters |= {"grace_seconds": "0", "end_sessions": "no"}
    await run.rotate()
    assert run.current["user"] == "app_a"
    assert await works(run.current)


async def test_a_compromised_login_ends_at_once(server: Postgres, owner: asyncpg.Connection) -> None:
    """Where the login in use may be in wrong hands, its password and its sessions end without a grace."""
    run = drive(server, grace_seconds="600")
    await run.rotate()
    before, run.urgent = run.current, True
    session = await asyncpg.connect(**DatabaseCredentials.from_content("s", before).asyncpg())
    await run.rotate(repeat=2)
    assert not await works(before)
    assert await works(run.current)
    await require_ended(session)


async def test_a_login_without_the_group_is_not_taken(server: Postgres, owner: asyncpg.Connection) -> None:
    """A new login that has lost its membership of the group meanwhile does not become current."""
    run = drive(server)
    run.begin()
    await run.step("create")
    await run.step("set")
    await owner.execute("REVOKE trading FROM app_a GRANTED BY warden")
    with pytest.raises(RotationFailedError, match="not a member"):
        await run.step("test")


async def test_hostile_names(server: Postgres, owner: asyncpg.Connection) -> None:
    """Names of roles with quotes, semicolons, percent signs and backslashes are names and nothing else."""
    group = "group\"; DROP TABLE trades; --%s' \\"
    await owner.execute(await owner.fetchval("SELECT format('CREATE ROLE %I', $1::text)", group))
    await owner.execute(
        await owner.fetchval(
            "SELECT format('GRANT trading TO %1$I; GRANT %1$I TO warden WITH ADMIN OPTION', $1::text)", group
        )
    )
    run = drive(server, user_a=HOSTILE[0], user_b=HOSTILE[1], group=group, act_as_group="yes")
    for name in (*HOSTILE, HOSTILE[0]):
        await run.rotate()
        assert run.current["user"] == name
        assert await works(run.current)


async def test_what_a_user_makes_belongs_to_the_group(server: Postgres, owner: asyncpg.Connection) -> None:
    """With act_as_group a session works as the group, so that the other user can change what it made."""
    run = drive(server, act_as_group="yes")
    await run.rotate()
    connection = await asyncpg.connect(**DatabaseCredentials.from_content("s", run.current).asyncpg())
    assert await connection.fetchval("SELECT current_user") == GROUP
    await connection.close()


async def test_an_address_is_rewritten_in_place(server: Postgres, owner: asyncpg.Connection) -> None:
    """A secret that holds one whole address keeps it, with the new login in it."""
    run = drive(server, {"url": f"postgresql://old:p%40ss@127.0.0.1:{server.port}/postgres?connect_timeout=3"})
    await run.rotate()
    assert set(run.current) == {"url"}
    assert str(run.current["url"]).endswith(f"@127.0.0.1:{server.port}/postgres?connect_timeout=3")
    assert await works(run.current)


async def test_only_the_two_users_are_touched(server: Postgres, owner: asyncpg.Connection) -> None:
    """Whoever can write the secret cannot have another user's login ended by naming it there."""
    await owner.execute("CREATE ROLE other LOGIN PASSWORD 'of-the-other'; GRANT trading TO other")
    value: dict[str, object] = {"host": "127.0.0.1", "port": server.port, "database": "postgres"}
    run = drive(server, value | {"user": "other", "password": "of-the-other"})
    await run.rotate()
    assert run.current["user"] == "app_a"
    assert await works(value | {"user": "other", "password": "of-the-other"})


@pytest.mark.parametrize("user", [OWNER, "warden"])
async def test_a_superuser_and_the_admin_are_refused(server: Postgres, owner: asyncpg.Connection, user: str) -> None:
    """A policy that names a superuser or the admin as one of the two changes nothing."""
    run = drive(server, user_a=user)
    with pytest.raises(RotationFailedError, match="superuser or the admin"):
        await run.rotate()


async def test_the_server_is_where_the_admins_secret_says(server: Postgres, owner: asyncpg.Connection) -> None:
    """A host that somebody wrote into the rotated secret is never called, and is kept for the application."""
    run = drive(server, {"host": "10.255.255.1", "port": 1, "user": "app_a", "password": "x", "sslmode": "disable"})
    await run.rotate()
    assert run.current["host"] == "10.255.255.1"
    assert await works(run.current | {"host": "127.0.0.1", "port": server.port, "database": "postgres"})


async def test_what_is_not_listed_is_not_called(server: Postgres) -> None:
    """With a host or a port that is not in the list, nothing is called."""
    run = drive(server)
    for allowed in ([], [("127.0.0.1", server.port + 1)], [("localhost", server.port)]):
        run.rotator = PostgresRotator(Outbound(allowed), system_randomness)
        with pytest.raises(RotationFailedError, match="TRADEWARDEN_ROTATION_HOSTS"):
            await run.rotate()


async def test_another_host_has_to_prove_itself(server: Postgres) -> None:
    """An admin's secret that leads to another host without verifying it is refused."""
    run = drive(server)
    run.others[ADMIN] |= {"host": "db.example", "sslmode": "require"}
    run.rotator = PostgresRotator(Outbound([("db.example", server.port)]), system_randomness)
    with pytest.raises(RotationFailedError, match="verify-full"):
        await run.rotate()


@pytest.mark.parametrize(
    ("parameters", "admin", "word"),
    [
        ({}, {"password": "wrong-one"}, "28P01"),
        ({}, {"database": "nowhere"}, "3D000"),
        ({"group": "nobody-there"}, {}, r"to make the user a member of 'group' \(SQLSTATE 42704"),
        ({"group": OWNER}, {}, r"to make the user a member of 'group' \(SQLSTATE 42501"),
        ({"query": "SELECT secret FROM nowhere"}, {}, "42P01"),
        ({"query": "INSERT INTO trades VALUES (1)"}, {}, r"to run 'query', which must only read \(SQLSTATE 25006"),
        ({}, {"user": ""}, "is missing"),
    ],
)
async def test_a_refusal_says_why(
    server: Postgres,
    owner: asyncpg.Connection,
    caplog: pytest.LogCaptureFixture,
    parameters: dict[str, str],
    admin: dict[str, object],
    word: str,
) -> None:
    """What the server refuses is said by its code, and neither an error nor a log holds a password."""
    caplog.set_level(logging.DEBUG)
    run = drive(server, None, **parameters)
    run.others[ADMIN] |= admin
    with pytest.raises(RotationFailedError, match=word) as caught:
        await run.rotate()
    assert caught.value.__cause__ is None
    told = str(caught.value) + caplog.text
    secrets = [str((run.pending or {}).get("password", "of-the-admin")), "of-the-admin", "wrong-one", "SCRAM-SHA-256$"]
    secrets += ["nowhere", "nobody-there", "trades"]  # what the server said
    assert not [each for each in secrets if each in told]


async def test_a_missing_extra_is_named(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without asyncpg the rotator says what to install."""
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    run = drive(server)
    await run.step("create")
    with pytest.raises(ConfigurationError, match=re.escape("pip install '.[postgres]'")):
        await run.step("set")


async def test_a_server_that_is_gone_can_be_tried_again() -> None:
    """A server that does not answer is a reason to try again, not a failure."""
    with postgres({}, HBA) as gone:
        run = drive(gone)
    await run.step("create")
    with pytest.raises(UnavailableError, match="cannot be reached"):
        await run.step("set")


async def test_a_server_that_is_silent_is_waited_for_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes a connection and never answers ends in a time-out of ours."""
    monkeypatch.setattr(database, "CONNECT_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        run = Drive(PostgresRotator(Outbound([("127.0.0.1", port)]), system_randomness), PARAMETERS)
        run.others[ADMIN] = {"host": "127.0.0.1", "port": port, "user": "warden", "password": "x"}
        await run.step("create")
        with pytest.raises(UnavailableError, match="TimeoutError"):
            await run.step("set")


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({"admin": ""}, "admin"),
        ({"admin": "../x"}, "admin"),
        ({"user_b": "app_a"}, "user_b"),
        ({"group": "app_a"}, "group"),
        ({"user_a": "a" * 64}, "user_a"),
        ({"user_a": "a\0b"}, "user_a"),
        ({"user_a": "\ud800"}, "user_a"),
        ({"grace_seconds": "-1"}, "grace_seconds"),
        ({"end_login": "maybe"}, "end_login"),
        ({"host": "db.example"}, "host"),
    ],
)
def test_a_wrong_parameter_is_named(parameters: dict[str, str], word: str) -> None:
    """A policy with a parameter that is missing, wrong or unknown is refused by the name of it."""
    rotator = PostgresRotator(Outbound([]), system_randomness)
    rotator.check(PARAMETERS)
    with pytest.raises(InvalidInputError, match=word):
        rotator.check(PARAMETERS | parameters)


async def test_tls_is_as_the_admins_secret_says(tmp_path: Path) -> None:
    """Admin and new login go over TLS that proves the server; another root, or a server without TLS, ends it."""
    issuer = Issuer()
    for name, pem in (("root.pem", issuer.root.pem), ("other.pem", Issuer().root.pem)):
        (tmp_path / name).write_bytes(pem)
    pair = issuer.pair("localhost")
    with postgres(
        {"log_connections": "on"}, HBA.replace("host ", "hostssl "), Tls(pair.key_pem, pair.chain_pem, pair.roots_pem)
    ) as server:
        run = drive(server, None, group="pg_monitor")
        run.rotator = PostgresRotator(Outbound([("localhost", server.port)]), system_randomness)
        run.others[ADMIN] |= {"host": "localhost", "user": OWNER, "sslmode": "verify-full"}
        run.others[ADMIN] |= {"sslrootcert": str(tmp_path / "other.pem")}
        with pytest.raises(RotationFailedError, match="TLS with PostgreSQL"):
            await run.rotate()
        run.others[ADMIN] |= {"sslrootcert": str(tmp_path / "root.pem")}
        await run.rotate()
        log = (server.directory / "log").read_text()
        assert "user=app_a database=postgres SSL enabled" in log
        run.others[ADMIN] |= {"sslrootcert": str(tmp_path / "nowhere.pem")}
        with pytest.raises(RotationFailedError):
            await run.rotate()
    with postgres({}, HBA) as plain:
        run.others[ADMIN] |= {"port": plain.port, "sslrootcert": str(tmp_path / "root.pem")}
        run.rotator = PostgresRotator(Outbound([("localhost", plain.port)]), system_randomness)
        with pytest.raises((UnavailableError, RotationFailedError)):
            await run.rotate()
