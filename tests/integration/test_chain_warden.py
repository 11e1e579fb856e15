"""A program's chain in one process with an installation: its secrets first, files behind, one audit log."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from tests.support.chain import ToldProvider, unreachable
from tradewarden.app import Warden
from tradewarden.audit.query import Filter
from tradewarden.errors import SecretNotFoundError
from tradewarden.secrets.chain.audit_room import AuditRoom
from tradewarden.secrets.chain.chain import Chain
from tradewarden.secrets.providers.files.files import EncryptedFilesProvider
from tradewarden.secrets.providers.files.key import FilesKey
from tradewarden.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

NAME = "binance_credentials"


async def test_accesses_stand_in_the_tamper_evident_log(tmp_path: Path) -> None:
    """Reads, stand-ins, counted cached reads and misses of a chain are entries of the installation."""
    settings = load_settings({"TRADEWARDEN_DATA_DIR": str(tmp_path / "data")})
    warden = await Warden.start(settings)
    down = ToldProvider("vault")
    down.failing = unreachable
    files = EncryptedFilesProvider(tmp_path / "files", FilesKey(bytes(32), "the test"))
    files.put(NAME, {"api_key": "the-value-itself"})
    async with Chain([down, files], record=AuditRoom(warden, asyncio.get_running_loop())).aio as chain:
        for _ in range(5):
            assert (await chain.get(NAME)).provider == "files"
        down.failing = None
        with pytest.raises(SecretNotFoundError):
            await chain.get("missing")
    await warden.clerk.run_once(last=True)
    found = await warden.local.audit.search(Filter(event_type="secret_access"))
    said = {(str(e["resource"]), str(e["result"]), str(e["reason"]), e.get("count", 1)) for e in found}
    assert said == {
        (NAME, "success", "files: fell_through; vault: unreachable (nobody answered within 2 s)", 1),
        (NAME, "success", "files: fell_through", 4),
        ("missing", "failure", f"files: not_found; no such file or version in {tmp_path}/files; vault: not found", 1),
    }
    assert {e["user"] for e in found} == {f"local:{os.getuid()}"}
    assert "the-value-itself" not in str(found)
    await warden.close()
