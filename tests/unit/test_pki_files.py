"""The CA's files: made once, never made anew, refused by name; and a CA that is brought along."""

from __future__ import annotations

import asyncio
import os
import re
import stat
from typing import TYPE_CHECKING, Any, Never

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
)
from msgspec.structs import replace

from tests.support.keys import keyring
from tests.support.pki import DAY, POLICY, START, SetClock, entry, grant, opened, own_ca
from tradewarden.errors import ConfigurationError, IntegrityError, StorageUnavailableError
from tradewarden.pki.certificate.algorithm import Algorithm
from tradewarden.pki.credentials import IssueCredentials
from tradewarden.storage.memory import MemoryDatabase
from tradewarden.storage.memory_pki import MemoryPkiStore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import EllipsisType

    from tradewarden.keys.port import Keys
    from tradewarden.pki.authority import Authority
    from tradewarden.pki.certificate.algorithm import PrivateKey
    from tradewarden.pki.credentials import Credentials
    from tradewarden.pki.policy import Policy
    from tradewarden.pki.store import AuthorityRow


FILES = ("ca_cert.pem", "ca_key.pem", "issuing_cert.pem", "issuing_key.pem")
AHEAD = re.compile(r"issuing_(cert\.[0-9a-f]{16}|key\.[0-9a-f]{8})\.pem")


class Home:
    """A data directory with its store and keys, to be started any number of times."""

    def __init__(self, directory: Path, keys: Keys, policy: Policy = POLICY) -> None:
        self.directory = directory
        self.keys = keys
        self.policy = policy
        self.store = MemoryPkiStore(MemoryDatabase())
        self.clock = SetClock()

    async def start(self, *, first: bool = False, changed: dict[str, Any] | None = None) -> Authority:
        """Start as the service does, with settings changed."""
        authority = await opened(
            self.directory,
            self.store,
            policy=replace(self.policy, **(changed or {})),
            clock=self.clock,
            keys=self.keys,
            first_start=first,
        )
        await authority.close()
        return authority

    def file(self, name: str) -> Path:
        """Return where a file of the CA lies."""
        return self.directory / "ca" / name


@pytest.fixture
async def fresh(tmp_path: Path) -> Home:
    """Give a data directory before its first start."""
    return Home(tmp_path / "data", await keyring())


@pytest.fixture
async def home(fresh: Home) -> Home:
    """Give a data directory after its first start."""
    await fresh.start(first=True)
    return fresh


async def issue(authority: Authority) -> Credentials:
    """Issue to a service, as an admin."""
    made = await authority.issue(grant("credentials:issue", "bot"), IssueCredentials("bot"), entry())
    await authority.close()
    return made


async def test_a_first_start_makes_private_files(home: Home) -> None:
    """Root and issuing CA stand at their paths, the next issuing CA beside them, 0600, in a directory 0700."""
    names = {path.name for path in (home.directory / "ca").iterdir()}
    assert names > set(FILES)
    assert len([name for name in names - set(FILES) if AHEAD.fullmatch(name)]) == len(names - set(FILES)) == 2
    assert stat.S_IMODE((home.directory / "ca").stat().st_mode) == 0o700
    for name in FILES:
        assert stat.S_IMODE(home.file(name).stat().st_mode) == 0o600
    for name in ("ca_key.pem", "issuing_key.pem"):
        assert home.file(name).read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")


async def test_the_next_start_loads_the_same_authority(home: Home) -> None:
    """A second start changes no file and goes on with the same root."""
    before = {name: home.file(name).read_bytes() for name in FILES}
    authority = await home.start()
    assert {name: home.file(name).read_bytes() for name in FILES} == before
    assert authority.ca_certificate().encode() == before["ca_cert.pem"]
    await home.start(first=True)  # rows stand, so nothing is a first start


@pytest.mark.parametrize("name", ["ca_cert.pem", "issuing_cert.pem", "issuing_key.pem"])
async def test_a_missing_file_is_named(home: Home, name: str) -> None:
    """Without one of its files the authority does not start, says which, and makes none anew."""
    home.file(name).unlink()
    with pytest.raises(ConfigurationError, match=rf"{name} is missing; restore it from a backup \(docs/recover\.md\)"):
        await home.start(first=True)
    assert not home.file(name).exists()


async def test_the_roots_key_may_be_taken_away(home: Home) -> None:
    """With `ca_key.pem` moved to a safe place the service starts and issues."""
    home.file("ca_key.pem").unlink()
    assert (await issue(await home.start())).private_key


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
async def test_a_damaged_file_is_named_and_left_alone(home: Home, name: str, content: bytes) -> None:
    """A file that cannot be read stops the start by name; its content stays for whoever repairs it."""
    home.file(name).write_bytes(content)
    with pytest.raises(ConfigurationError, match=name):
        await home.start()
    assert home.file(name).read_bytes() == content


@pytest.mark.parametrize("name", FILES)
async def test_a_file_that_is_too_large_is_named(home: Home, name: str) -> None:
    """A file beyond its limit is not read into memory."""
    home.file(name).write_bytes(b"\n" * 70_000)
    with pytest.raises(ConfigurationError, match=f"{name} is larger than"):
        await home.start()


@pytest.mark.parametrize("name", FILES)
async def test_a_foreign_file_is_named(home: Home, tmp_path: Path, name: str) -> None:
    """A file of another installation stops the start by name, even one under the same root key."""
    other = Home(tmp_path / "other", home.keys)
    await other.start(first=True)
    home.file(name).write_bytes(other.file(name).read_bytes())
    with pytest.raises(ConfigurationError, match=name):
        await home.start()


@pytest.mark.parametrize("name", FILES)
async def test_a_file_that_others_can_read_is_named(home: Home, name: str) -> None:
    """A file that is open to other users stops the start by name."""
    home.file(name).chmod(0o644)
    with pytest.raises(ConfigurationError, match=f"{name} is open to other users"):
        await home.start()


async def test_two_certificates_in_one_file_are_refused(home: Home) -> None:
    """A certificate file with a second certificate in it is not what was written."""
    file = home.file("ca_cert.pem")
    file.write_bytes(file.read_bytes() * 2)
    with pytest.raises(ConfigurationError, match=r"ca_cert.pem holds 2 certificates"):
        await home.start()


@pytest.mark.parametrize("first", [True, False])
async def test_files_without_their_database_are_refused(home: Home, first: bool) -> None:
    """Files whose database is gone are never taken for a first start, and stay."""
    home.store = MemoryPkiStore(MemoryDatabase())
    with pytest.raises(ConfigurationError, match="found without the database"):
        await home.start(first=first)
    assert all(home.file(name).exists() for name in FILES)


async def test_nothing_at_all_is_only_right_on_a_first_start(fresh: Home) -> None:
    """Without files, rows and the word that this is a first start, nothing is made."""
    with pytest.raises(ConfigurationError, match="certificate authority is missing"):
        await fresh.start()
    assert not (fresh.directory / "ca").exists()


async def test_a_row_that_was_forged_is_refused(home: Home, tmp_path: Path) -> None:
    """Who can write the database and the files cannot exchange the authority: its row is sealed."""
    other = Home(tmp_path / "other", home.keys)
    await other.start(first=True)
    for name in FILES:
        home.file(name).write_bytes(other.file(name).read_bytes())
    rows = home.store._authorities
    seals = {(row.role, row.state): row.seal for row in rows.values()}
    rows.clear()
    for place, row in other.store._authorities.items():
        rows[place] = replace(row, seal=seals[row.role, row.state])
    with pytest.raises(IntegrityError, match="table authorities"):
        await home.start()


async def test_a_first_start_that_was_killed_early_is_done_again(fresh: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were staged before their rows stood count for nothing; the next first start makes its own."""

    async def killed(seen: Sequence[AuthorityRow], rows: Sequence[AuthorityRow], entry: bytes) -> Never:
        raise StorageUnavailableError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(fresh.store, "change_authorities", killed)
        with pytest.raises(StorageUnavailableError):
            await fresh.start(first=True)
    assert not (fresh.directory / "ca").exists()
    await fresh.start(first=True)
    await fresh.start()


async def test_a_first_start_that_was_killed_late_is_finished(home: Home) -> None:
    """When the rows stand and the files are still staged, the next start moves them to their place."""
    (home.directory / "ca").rename(home.directory / "ca.pending")
    assert (await issue(await home.start())).private_key
    assert not (home.directory / "ca.pending").exists()


async def test_two_processes_that_start_first_make_one_authority(fresh: Home) -> None:
    """Of two first starts at once one makes the CA and the other loads it."""
    one, two = await asyncio.gather(fresh.start(first=True), fresh.start(first=True))
    assert one.ca_certificate() == two.ca_certificate()
    await fresh.start()


async def test_anything_in_the_way_stops_a_first_start(fresh: Home) -> None:
    """A file of any name in `ca/` is named, and nothing is written around it."""
    stranger = fresh.file("notes.txt")
    fresh.directory.mkdir(mode=0o700)
    stranger.parent.mkdir()
    stranger.write_text("keep")
    with pytest.raises(ConfigurationError, match=r"notes\.txt: found without the database"):
        await fresh.start(first=True)
    assert [path.name for path in stranger.parent.iterdir()] == ["notes.txt"]


async def test_an_open_directory_is_named(home: Home) -> None:
    """A `ca/` that others can enter stops the start."""
    (home.directory / "ca").chmod(0o755)
    with pytest.raises(ConfigurationError, match="ca is open to other users"):
        await home.start()


# -- brought along ------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [None, rsa.generate_private_key(65537, 3072)], ids=["P-256", "RSA-3072"])
async def test_a_brought_along_ca_becomes_the_root(fresh: Home, tmp_path: Path, key: PrivateKey | None) -> None:
    """Our issuing CA stands under the user's; its key is not copied and may be away later."""
    own = own_ca(tmp_path / "own", key)
    made = await issue(await fresh.start(first=True, changed=own))
    root = x509.load_pem_x509_certificate(own["ca_cert_path"].read_bytes())
    chain = x509.load_pem_x509_certificates(made.certificate_chain.encode())
    chain[1].verify_directly_issued_by(root)
    assert made.ca_certificate.encode() == own["ca_cert_path"].read_bytes()
    assert not fresh.file("ca_key.pem").exists()
    own["ca_key_path"].unlink()
    await fresh.start(changed=own)
    await fresh.start()  # without the settings too: the root is known by now


async def test_the_issuing_ca_does_not_outlive_a_brought_along_root(fresh: Home, tmp_path: Path) -> None:
    """An issuing CA ends with its root when that ends first."""
    authority = await fresh.start(first=True, changed=own_ca(tmp_path / "own", days=101))
    assert authority.ca_expires_at == START + 100 * DAY


async def test_a_brought_along_ca_that_allows_none_below_issues_itself(fresh: Home, tmp_path: Path) -> None:
    """With path length 0 the user's CA signs certificates itself, after a restart without its key file too."""
    own = own_ca(tmp_path / "own", path_length=0)
    await fresh.start(first=True, changed=own)
    own["ca_key_path"].unlink()
    made = await issue(await fresh.start(changed=own))
    root = x509.load_pem_x509_certificate(own["ca_cert_path"].read_bytes())
    (leaf,) = x509.load_pem_x509_certificates(made.certificate_chain.encode())
    leaf.verify_directly_issued_by(root)


@pytest.mark.parametrize(
    ("made", "says"),
    [
        ({"days": 1, "starts": START - 2 * DAY}, "CA_CERT_PATH .* expired on 2025-12-31"),
        ({"starts": START + DAY}, "CA_CERT_PATH .* not valid before"),
        ({"ca": False}, "CA_CERT_PATH .* no CA"),
        ({"signs": False}, "CA_CERT_PATH .* keyCertSign"),
        ({"key": rsa.generate_private_key(65537, 2048)}, "CA_CERT_PATH .* 2048 bits"),
        ({"key": ec.generate_private_key(ec.SECP224R1())}, "CA_CERT_PATH .* secp224r1"),
        ({"password": b"word"}, "CA_KEY_PATH .* encrypted"),
    ],
)
async def test_a_brought_along_ca_that_is_no_good_is_refused_by_name(
    fresh: Home, tmp_path: Path, made: dict[str, Any], says: str
) -> None:
    """A CA that is expired, weak, none at all or unreadable stops the first start, and nothing is written."""
    with pytest.raises(ConfigurationError, match=says):
        await fresh.start(first=True, changed=own_ca(tmp_path / "own", **made))
    assert not (fresh.directory / "ca").exists()


@pytest.mark.parametrize(
    ("which", "content", "says"),
    [
        ("ca_cert_path", b"garbage", "CA_CERT_PATH .* damaged"),
        ("ca_key_path", b"garbage", "CA_KEY_PATH .* damaged"),
        ("ca_cert_path", b"\n" * 70_000, "CA_CERT_PATH .* larger"),
        ("ca_cert_path", ..., "CA_CERT_PATH .* not a file"),
        ("ca_cert_path", None, "CA_CERT_PATH .* cannot be read"),
        ("ca_key_path", None, "CA_KEY_PATH .* cannot be read"),
    ],
)
async def test_a_brought_along_file_that_is_broken_is_refused_by_name(
    fresh: Home, tmp_path: Path, which: str, content: bytes | EllipsisType | None, says: str
) -> None:
    """A broken or missing file is named with the variable that points at it."""
    own = own_ca(tmp_path / "own")
    if content is None or content is ...:
        own[which].unlink()
        if content is ...:
            os.mkfifo(own[which])
    else:
        own[which].write_bytes(content)
    with pytest.raises(ConfigurationError, match=says):
        await fresh.start(first=True, changed=own)


async def test_a_key_of_another_ca_is_refused_by_name(fresh: Home, tmp_path: Path) -> None:
    """A key that does not match its certificate is found before anything is signed."""
    own = own_ca(tmp_path / "own")
    own["ca_key_path"] = own_ca(tmp_path / "other")["ca_key_path"]
    with pytest.raises(ConfigurationError, match=r"CA_KEY_PATH .* not the private key"):
        await fresh.start(first=True, changed=own)


async def test_a_ca_whose_own_signature_is_wrong_is_refused(fresh: Home, tmp_path: Path) -> None:
    """A root with a bit changed in its signature is refused by name."""
    own = own_ca(tmp_path / "own")
    certificate = x509.load_pem_x509_certificate(own["ca_cert_path"].read_bytes())
    der = bytearray(certificate.public_bytes(Encoding.DER))
    der[-1] ^= 1
    changed = x509.load_der_x509_certificate(bytes(der))
    own["ca_cert_path"].write_bytes(changed.public_bytes(Encoding.PEM))
    with pytest.raises(ConfigurationError, match=r"CA_CERT_PATH .* signature does not verify"):
        await fresh.start(first=True, changed=own)


async def test_another_ca_later_is_refused_by_name(home: Home, tmp_path: Path) -> None:
    """Naming a CA after the first start does not exchange the root."""
    with pytest.raises(ConfigurationError, match=r"CA_CERT_PATH .* another CA"):
        await home.start(changed=own_ca(tmp_path / "own"))


async def test_the_data_directorys_own_paths_bring_nothing_along(fresh: Home) -> None:
    """Settings that name the authority's own files mean that none is brought along."""
    own = {"ca_cert_path": fresh.file("ca_cert.pem"), "ca_key_path": fresh.file("ca_key.pem")}
    await fresh.start(first=True, changed={"algorithm": Algorithm.ED25519, **own})
    fresh.file("ca_key.pem").unlink()
    await fresh.start(changed=own)
