"""The inventory's questions stay cheap as it grows: each is answered from an index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.storage import sqlite_database
from tradewarden.storage import sql_pki

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        ("_OF", "certificates_serial"),
        ("_PAGE", "certificates_end"),
        ("_PAGE_OF_SERVICE", "certificates_service"),
        ("_TALLY", "COVERING INDEX certificates_end"),
        ("_REVOCATIONS", "certificates_revocation"),
        ("_LAST_REVOCATION", "certificates_revocation"),
    ],
)
async def test_each_question_has_its_index(tmp_path: Path, statement: str, index: str) -> None:
    """SQLite's plan for a statement searches the index made for it and sorts nothing."""
    sql: str = getattr(sql_pki, statement)
    async with sqlite_database(tmp_path) as database:
        rows = await database.all(f"EXPLAIN QUERY PLAN {sql}", *[1] * sql.count("?"))
    plan = " ".join(str(row[3]) for row in rows)
    assert index in plan
    assert "SCAN certificates" not in plan.replace(f"SCAN certificates USING {index}", "")
    assert "TEMP B-TREE" not in plan
