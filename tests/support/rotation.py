"""What the tests of CA rotations share: an installation that is started again and again, and verifiers of chains."""

from __future__ import annotations

import shutil
import subprocess
from copy import deepcopy
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from msgspec.structs import replace

from tests.support.keys import keyring
from tests.support.pki import POLICY, SetClock, entry, grant, opened
from tradewarden.pki.cas.listing import RotateCa
from tradewarden.pki.cas.rotating import What
from tradewarden.pki.credentials import IssueCredentials
from tradewarden.storage.memory import MemoryDatabase
from tradewarden.storage.memory_pki import MemoryPkiStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from tradewarden.keys.port import Keys
    from tradewarden.pki.authority import Authority
    from tradewarden.pki.cas.listing import CaShown
    from tradewarden.pki.credentials import Credentials
    from tradewarden.pki.policy import Policy
    from tradewarden.pki.store import Role, Standing


class Installation:
    """A data directory with its store and keys; `start` opens one more process on it."""

    def __init__(self, directory: Path, keys: Keys, policy: Policy = POLICY) -> None:
        self.directory = directory
        self.database = MemoryDatabase()
        self.store = MemoryPkiStore(self.database)
        self.keys = keys
        self.policy = policy
        self.clock = SetClock()

    @classmethod
    async def make(cls, directory: Path, **policy: object) -> Installation:
        """Return one that was never started."""
        return cls(directory, await keyring(), replace(POLICY, **policy))

    def copied(self, directory: Path) -> Installation:
        """Return one that stands where this one does now, and goes on for itself."""
        made = Installation(directory, self.keys, self.policy)
        made.database, made.store, made.clock = deepcopy((self.database, self.store, self.clock))
        if self.directory.exists():
            shutil.copytree(self.directory, directory, symlinks=True)
        return made

    async def start(self, *, first: bool = False) -> Authority:
        """Open it in one more process."""
        return await opened(
            self.directory, self.store, policy=self.policy, clock=self.clock, keys=self.keys, first_start=first
        )

    async def follow(self, authority: Authority) -> Authority:
        """Do what every request begins with."""
        await authority.follow(await self.database.revisions())
        return authority

    def file(self, name: str) -> Path:
        """Return where a file of the CA lies."""
        return self.directory / "ca" / name


@pytest.fixture
async def home(tmp_path: Path) -> Installation:
    """Give an installation that is founded."""
    made = await Installation.make(tmp_path / "data")
    await (await made.start(first=True)).close()
    return made


@pytest.fixture
async def authority(home: Installation) -> AsyncIterator[Authority]:
    """Give its authority."""
    running = await home.start()
    yield running
    await running.close()


def states(cas: Sequence[CaShown], role: Role) -> list[Standing]:
    """Return the states of the CAs of a role."""
    return [ca.state for ca in cas if ca.role is role]


async def rotate(
    authority: Authority, what: What = What.ISSUING, *, compromised: bool = False, finish: bool = False
) -> tuple[CaShown, ...]:
    """Rotate as an admin."""
    command = RotateCa(what, compromised, finish)
    return await authority.cas.rotate(grant("ca:rotate", what), command, entry("ca:rotate"))


async def issue(authority: Authority, service: str = "bot", **asked: object) -> Credentials:
    """Issue to a service, as an admin."""
    return await authority.issue(
        grant("credentials:issue", service),
        IssueCredentials(service, **asked),  # type: ignore[arg-type]  # the fields of the command
        entry(),
    )


def certificates(pem: str) -> list[x509.Certificate]:
    """Return the certificates of a PEM text."""
    return x509.load_pem_x509_certificates(pem.encode())


def openssl_accepts(
    directory: Path, chain: str, roots: str, *, strict: bool = True, crls: bytes = b"", at: float = 1_767_312_000
) -> bool:
    """Ask openssl whether a chain (PEM, the certificate first) leads to one of the roots (PEM).

    With revocation lists (PEM) every CA of the chain needs one, as nginx and PostgreSQL want it.
    """
    trusted, untrusted = directory / "roots.pem", directory / "chain.pem"
    trusted.write_text(roots)
    untrusted.write_text(chain)
    command: list[str | Path] = [
        "openssl",
        "verify",
        "-attime",
        str(int(at)),
        "-CAfile",
        trusted,
        "-no-CApath",
        "-untrusted",
        untrusted,
    ]
    options: list[str | Path] = ["-x509_strict"] if strict else []
    if crls:
        (directory / "crls.pem").write_bytes(crls)
        options += ["-crl_check_all", "-CRLfile", directory / "crls.pem"]
    run = subprocess.run([*command, *options, untrusted], capture_output=True, check=False)
    return run.returncode == 0
