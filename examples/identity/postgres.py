"""A client of PostgreSQL that proves itself by its certificate, and takes the service `database` for a server alone."""

import asyncio
import os

import asyncpg  # type: ignore[import-untyped]

from tradewarden import ServiceIdentity


async def main() -> None:
    """Say who we are to the database."""
    async with ServiceIdentity(os.environ["IDENTITY"]) as identity:
        connection = await asyncpg.connect(
            host=os.environ["PGHOST"],
            port=int(os.environ["PGPORT"]),
            user="orders_writer",
            database="postgres",
            ssl=identity.client_context(peer="database"),
        )
        print(await connection.fetchval("SELECT current_user"))
        await connection.close()


if __name__ == "__main__":
    asyncio.run(main())
