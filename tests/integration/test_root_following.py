"""Root rotations seen by another process of the same installation."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.keys import key_entry, key_grant
from tradewarden.app import Warden
from tradewarden.errors import ConfigurationError
from tradewarden.settings import load_settings


async def test_a_source_that_comes_back_is_followed(tmp_path: Path) -> None:
    """Who could not open the new root key says so in its readiness, and looks again each time it is asked."""
    settings = load_settings({"TRADEWARDEN_DATA_DIR": str(tmp_path / "data")}, Path("no.env"))
    new, away = tmp_path / "new.key", tmp_path / "away.key"
    mine, theirs, third = [await Warden.start(settings) for _ in range(3)]
    try:
        await mine.keyring.rotate_root(key_grant("keys:rotate", "root"), mine.root_source(f"file:{new}"), key_entry())
        new.rename(away)
        await theirs.revisions()
        await third.revisions()
        assert "restart with the new TRADEWARDEN_ROOT_KEY" in " ".join((await third.readiness()).reasons)
        away.rename(new)
        assert not (await theirs.readiness()).reasons
        assert not theirs.keyring.outdated
    finally:
        for warden in (mine, theirs, third):
            await warden.close()


async def test_only_a_process_of_the_running_service_follows(tmp_path: Path) -> None:
    """With the lineage of the service's keys the old setting opens the installation; a fresh start is refused."""
    settings = load_settings({"TRADEWARDEN_DATA_DIR": str(tmp_path / "data")}, Path("no.env"))
    warden = await Warden.start(settings)
    lineage = warden.keyring.lineage
    source = warden.root_source(f"file:{tmp_path / 'new.key'}")
    await warden.keyring.rotate_root(key_grant("keys:rotate", "root"), source, key_entry())
    await warden.close()
    successor = await Warden.start(settings, follow=lineage)
    assert not (await successor.readiness()).reasons
    await successor.close()
    with pytest.raises(ConfigurationError, match=r"root.key is not the root key this data was written with"):
        await Warden.start(settings)
