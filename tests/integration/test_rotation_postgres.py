"""A whole rotation against a real PostgreSQL server, broken off again and again, while an application logs in."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import asyncpg  # type: ignore[import-untyped]

from tests.support.postgres import OWNER, postgres
from tradewarden import Warden, load_settings
from tradewarden.audit.query import Filter
from tradewarden.secrets.credentials.database import DatabaseCredentials

if TYPE_CHECKING:
    from pathlib import Path

HBA = f"host all {OWNER} 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
PARAMETERS = {"admin": "db/admin", "user_a": "app_a", "user_b": "app_b", "group": "trading", "grace_seconds": "60"}
ROLES = (
    "CREATE ROLE trading; CREATE ROLE warden LOGIN CREATEROLE PASSWORD 'of-the-admin';"
    "GRANT trading TO warden WITH ADMIN OPTION"
)


async def log_in(warden: Warden) -> str:
    """Log in with what the secret holds now, as an application does; return the user."""
    found = (await warden.local.secrets.get("db/app")).value()
    given = DatabaseCredentials.from_content("db/app", found).asyncpg()
    connection = await asyncpg.connect(**{"timeout": 5, **given})
    try:
        return str(await connection.fetchval("SELECT session_user::text"))
    finally:
        await connection.close()


async def rotate(warden: Warden, after: float) -> int:
    """Rotate, broken off once after a time and resumed; return the new version."""
    task = asyncio.create_task(warden.local.rotations.run("db/app"))
    await asyncio.wait([task], timeout=after)
    task.cancel()
    with suppress(asyncio.CancelledError):
        return (await task).version
    return (await warden.local.rotations.run("db/app")).version


async def test_an_application_always_gets_in(tmp_path: Path) -> None:
    """Through rotations that are broken off at different steps, what the secret holds logs in at every moment."""
    with postgres({}, HBA) as server:
        owner = await asyncpg.connect(server.url)
        await owner.execute(ROLES)
        await owner.close()
        hosts = f"127.0.0.1:{server.port}"
        base = {"TRADEWARDEN_DATA_DIR": str(tmp_path / "data"), "TRADEWARDEN_ROTATION_HOSTS": hosts}
        warden = await Warden.start(load_settings(base))
        admin = {"host": "127.0.0.1", "port": server.port, "user": "warden", "password": "of-the-admin"}
        await warden.local.secrets.put("db/admin", {**admin, "database": "postgres"})
        await warden.local.rotations.set_policy("db/app", "postgres", PARAMETERS)
        await warden.local.rotations.run("db/app")
        users, stop = set(), asyncio.Event()

        async def application() -> None:
            while not stop.is_set():
                users.add(await log_in(warden))

        running = asyncio.create_task(application())
        versions = [await rotate(warden, after) for after in (0.0, 0.01, 0.02, 0.03, 0.05)]
        users.add(await log_in(warden))
        stop.set()
        await running
        assert versions == [2, 3, 4, 5, 6]
        assert users == {"app_a", "app_b"}
        await warden.clerk.run_once(last=True)
        reads = await warden.local.audit.search(Filter(resource="db/admin", action="read", result="success"))
        assert reads
        await warden.close()
