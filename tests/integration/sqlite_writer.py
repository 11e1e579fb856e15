"""One writing process: `sqlite_writer.py DATABASE NAME TASKS SECONDS`.

Writes entries `NAME-TASK-NUMBER` from so many tasks for so long, and prints each with the seconds
it took as soon as it is acknowledged.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tradewarden.storage.sqlite import SqliteDatabase

if TYPE_CHECKING:
    from tradewarden.storage.database import Transaction


async def main(path: Path, name: str, tasks: int, seconds: float) -> None:
    """Write until the time is over."""
    database = SqliteDatabase(path)
    end = time.monotonic() + seconds

    async def write(task: int) -> None:
        number = 0
        while (started := time.monotonic()) < end:
            entry = f"{name}-{task}-{number}"

            async def work(transaction: Transaction, entry: str = entry) -> None:
                await transaction.record(entry.encode())
                await transaction.bump("tokens")

            await database.transact(work)
            os.write(1, f"{entry} {time.monotonic() - started}\n".encode())
            number += 1

    await asyncio.gather(*[write(task) for task in range(tasks)])
    await database.close()


asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
