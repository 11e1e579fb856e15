"""A listing of one service's things costs what that service has, whatever others have: each has its index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.storage import sqlite_database
from tradewarden.storage import sql_acme, sql_enrolment, sql_identity, sql_pki, sql_tokens

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("sql", "index"),
    [
        (sql_acme._ACCOUNTS_OF_SERVICE, "INDEX acme_accounts_service (service_name=? AND id>?"),
        (sql_acme._ORDERS_OF_SERVICE, "INDEX acme_orders_service (service_name=? AND id>?"),
        (sql_acme._ORDERS_OF_ACCOUNT, "INDEX acme_orders_account (account=? AND id>?"),
        (sql_enrolment._UNUSED_OF, "INDEX join_tokens_by_service (service_name=? AND expires_at>?"),
        (sql_identity._SERVICE_OF, "PRIMARY KEY (service_name=?"),
        (sql_pki._PAGE_OF_SERVICE, "INDEX certificates_service (service_name=? AND not_after>?"),
        (sql_tokens._PAGE_OF, "INDEX tokens_by_subject (subject=? AND jti>?"),
    ],
)
async def test_a_page_of_one_service_is_read_from_its_index(tmp_path: Path, sql: str, index: str) -> None:
    """SQLite's plan goes to the service's own rows, on from the last page, and sorts nothing."""
    async with sqlite_database(tmp_path) as database:
        rows = await database.all(f"EXPLAIN QUERY PLAN {sql}", *[1] * sql.count("?"))
    (plan,) = (str(row[3]).partition("USING ")[2] for row in rows)
    assert plan.startswith(index)
