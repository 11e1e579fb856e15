"""A root key that only a PKCS#11 token opens, and rotations into a token and out of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.keys import key_entry, key_grant
from tests.support.softhsm import SoftHsm, module, softhsm
from tradewarden.app import Warden
from tradewarden.clock import SystemClock, system_randomness
from tradewarden.crypto.pkcs11 import release
from tradewarden.errors import ConfigurationError, UnavailableError
from tradewarden.keys.keyring import Keyring
from tradewarden.keys.root import Stretching
from tradewarden.keys.source import RootSources, root_source
from tradewarden.settings import Settings, load_settings
from tradewarden.storage.memory import MemoryDatabase
from tradewarden.storage.memory_keys import MemoryKeyStore

__all__ = ["module", "softhsm"]
ROTATE = key_grant("keys:rotate", "root")


async def opened(store: MemoryKeyStore, sources: RootSources) -> Keyring:
    """Open the keys in a store."""
    return await Keyring.open(store, sources, system_randomness, SystemClock())


def sources(softhsm: SoftHsm, uri: str = "") -> RootSources:
    """Return what a process in reach of the token is configured with."""
    return RootSources(uri or softhsm.uri, {}, softhsm.access)


async def test_a_first_start_and_the_next(softhsm: SoftHsm) -> None:
    """The token's key is made at the first start, cannot leave it, and opens the same keys at the next."""
    import pkcs11

    store = MemoryKeyStore(MemoryDatabase())
    lineage = (await opened(store, sources(softhsm))).lineage
    release()
    assert (await opened(store, sources(softhsm))).lineage == lineage

    def flags(session: pkcs11.Session) -> list[object]:
        (key,) = session.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY})
        names = ("LABEL", "SENSITIVE", "NEVER_EXTRACTABLE", "VALUE_LEN", "WRAP", "SIGN")
        return [key[pkcs11.Attribute[name]] for name in names]

    assert softhsm.token().use(flags, "the test") == ["tradewarden-root", True, True, 32, False, False]


async def test_the_database_holds_no_root_key(softhsm: SoftHsm) -> None:
    """What stands in the root record is of use only with the token, and names neither module nor PIN."""
    store = MemoryKeyStore(MemoryDatabase())
    uri = f"{softhsm.uri}?module-path={softhsm.module}"
    await opened(store, sources(softhsm, uri))
    record = (await store.load()).root
    assert record is not None
    assert record.uri == softhsm.uri
    assert len(record.salt) == 1 + 12 + 32 + 16
    assert (record.iterations, record.lanes, record.memory_cost) == (0, 0, 0)


async def test_a_wrong_token_key_is_recognised(softhsm: SoftHsm) -> None:
    """Another token, another object, and a token that is away: each is named, and nothing is written."""
    store = MemoryKeyStore(MemoryDatabase())
    await opened(store, sources(softhsm))
    before = await store.load()
    other = softhsm.another(f"{softhsm.label}-other")
    with pytest.raises(ConfigurationError, match="There is no AES key as object 'tradewarden-root' in token"):
        await opened(store, sources(other))
    await opened(MemoryKeyStore(MemoryDatabase()), sources(other))
    with pytest.raises(ConfigurationError, match="is not the key that this data's root key was encrypted with"):
        await opened(store, sources(other))
    softhsm.take_away()
    release()
    with pytest.raises(UnavailableError, match=r"cannot be opened: The token .* is away"):
        await opened(store, sources(softhsm))
    softhsm.put_back()
    assert await store.load() == before


async def test_data_from_elsewhere_is_refused(softhsm: SoftHsm) -> None:
    """A token opens no root record of a file or a passphrase, and a passphrase none of a token."""
    token = sources(softhsm).configured
    for foreign in (Stretching(), Stretching(b"s" * 61, 3, 4, 65536)):
        with pytest.raises(ConfigurationError, match="root key from elsewhere; nothing was changed"):
            token.open(b"", foreign)
    _, made = token.prepare(system_randomness, None)
    with pytest.raises(ConfigurationError, match="root key that is none"):
        root_source("passphrase:env:P", {"P": "x" * 20}).open(b"", made)
    with pytest.raises(ConfigurationError, match="is not the key"):
        token.open(b"", Stretching(salt=made.salt[:20]))


async def test_several_keys_of_one_label(softhsm: SoftHsm) -> None:
    """When two first starts made a key each, the one that opens the root key is found."""
    token = sources(softhsm).configured
    root, made = token.prepare(system_randomness, None)

    def one_more(session: object) -> None:
        import pkcs11

        session.generate_key(pkcs11.KeyType.AES, 256, label="tradewarden-root", store=True)  # type: ignore[attr-defined]

    for _ in range(3):
        softhsm.token().use(one_more, "the test", write=True)
    release()
    assert token.open(root.check_value, made).matches(root.check_value)


def settings(tmp_path: Path, softhsm: SoftHsm, root: str) -> Settings:
    """Return the settings of an installation in reach of the token."""
    environment = {**softhsm.settings, "TRADEWARDEN_DATA_DIR": str(tmp_path / "data"), "TRADEWARDEN_ROOT_KEY": root}
    return load_settings(environment, Path("no.env"))


async def test_rotation_into_a_token_and_out_again(softhsm: SoftHsm, tmp_path: Path) -> None:
    """A running installation moves its root into the token and back to a file; each next start needs the new one."""
    file = f"file:{tmp_path / 'root.key'}"
    warden = await Warden.start(settings(tmp_path, softhsm, file))
    other = await Warden.start(settings(tmp_path, softhsm, file))
    uri = f"{softhsm.uri};object=the%20root"
    await warden.keyring.rotate_root(ROTATE, warden.root_source(uri), key_entry())
    await other.revisions()
    assert not (await other.readiness()).reasons
    await other.close()
    await warden.close()
    with pytest.raises(ConfigurationError, match="not the root key this data was written with"):
        await Warden.start(settings(tmp_path, softhsm, file))
    warden = await Warden.start(settings(tmp_path, softhsm, uri))
    (tmp_path / "root.key").unlink()
    await warden.keyring.rotate_root(ROTATE, warden.root_source(uri), key_entry())
    assert await warden.keyring.rotate_root(ROTATE, warden.root_source(file), key_entry()) == 4
    await warden.close()
    await (await Warden.start(settings(tmp_path, softhsm, file))).close()


async def test_a_rotation_to_a_token_that_is_away(softhsm: SoftHsm, tmp_path: Path) -> None:
    """It is refused as unavailable, and the old root key stays."""
    file = f"file:{tmp_path / 'root.key'}"
    warden = await Warden.start(settings(tmp_path, softhsm, file))
    softhsm.take_away()
    with pytest.raises(UnavailableError, match="is away"):
        await warden.keyring.rotate_root(ROTATE, warden.root_source(softhsm.uri), key_entry())
    await warden.close()
    await (await Warden.start(settings(tmp_path, softhsm, file))).close()


def test_nobody_else_names_the_module(softhsm: SoftHsm, tmp_path: Path) -> None:
    """A caller or the database may name a token, never the code to load or the file to read a PIN from."""
    ours = sources(softhsm, f"{softhsm.uri}?module-path={softhsm.module}")
    for query in (f"module-path={tmp_path}/evil.so", f"pin-source={tmp_path}/pin", "pin-value=1"):
        for held in (ours, sources(softhsm, f"file:{tmp_path}/root.key")):
            with pytest.raises(ConfigurationError, match=r"module-path and pin-source cannot|holds pin-value"):
                held.named(f"{softhsm.uri}?{query}")
    assert ours.named(softhsm.uri).uri == softhsm.uri
    with pytest.raises(ConfigurationError, match="set TRADEWARDEN_PKCS11_MODULE"):
        RootSources(f"file:{tmp_path}/root.key", {}).named(softhsm.uri)
