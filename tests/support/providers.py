"""Places that hold secrets, real ones: what the contract of providers is held against.

A factory takes the test's request, so that it can ask for fixtures (`request.getfixturevalue`), and returns a `Place`.
To add a place: write a factory, add it to `FACTORIES`. Servers are fixtures of the session; names are made up anew for
each test (`fresh`), because a place may outlive it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.aws import REGION, aws_url
from tests.support.service import Service, service
from tests.support.vault import Place as VaultPlace
from tests.support.vault import vault
from tests.support.vault_standin import StandIn, vault_standin
from tradewarden.secrets.providers.aws.aws import AwsProvider
from tradewarden.secrets.providers.aws.client import AwsLimits
from tradewarden.secrets.providers.environment import EnvironmentProvider
from tradewarden.secrets.providers.files.files import EncryptedFilesProvider
from tradewarden.secrets.providers.files.key import FilesKey
from tradewarden.secrets.providers.local import LocalProvider
from tradewarden.secrets.providers.portal import Portal
from tradewarden.secrets.providers.service import ServiceProvider
from tradewarden.secrets.providers.vault.provider import VaultProvider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tradewarden.secrets.providers.local import StoredSecrets
    from tradewarden.secrets.providers.provider import Provider

__all__ = ["FACTORIES", "Place", "aws_url", "fresh", "service", "vault", "vault_standin", "warden"]
FERNET_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


class Place(NamedTuple):
    """A provider under test, and what its place can do."""

    provider: Provider
    again: Callable[[], Provider]
    """Makes another provider of the same place, as another process would have it."""
    name: str
    """What the provider calls itself."""
    versions: bool = True
    """Whether the version before the current one can be read."""
    paths: bool = True
    """Whether names may have segments (`a/b`) and capitals."""
    largest: int = 1024 * 1024
    """The longest text it holds, in bytes."""


def fresh(stem: str = "secret") -> str:
    """Return a name that no other test uses, of letters that every place takes."""
    return f"{stem}_{secrets.token_hex(6)}"


def process_environment(request: pytest.FixtureRequest) -> Place:
    """Return variables of a process."""
    variables: dict[str, str] = {}
    return Place(
        EnvironmentProvider(variables),
        lambda: EnvironmentProvider(variables),
        "environment",
        versions=False,
        paths=False,
    )


def dotenv(request: pytest.FixtureRequest) -> Place:
    """Return a `.env` file below an empty environment."""
    path: Path = request.getfixturevalue("tmp_path") / ".env"
    return Place(
        EnvironmentProvider({}, dotenv=path),
        lambda: EnvironmentProvider({}, dotenv=path),
        "environment",
        versions=False,
        paths=False,
    )


def files(request: pytest.FixtureRequest) -> Place:
    """Return a directory of encrypted files."""
    directory: Path = request.getfixturevalue("tmp_path") / ".secrets"
    key = FilesKey.from_fernet(FERNET_KEY)
    return Place(EncryptedFilesProvider(directory, key), lambda: EncryptedFilesProvider(directory, key), "files")


def unkeyed_files(request: pytest.FixtureRequest) -> Place:
    """Return a directory of encrypted files that makes its own key."""
    directory: Path = request.getfixturevalue("tmp_path") / ".secrets"

    def make() -> EncryptedFilesProvider:
        return EncryptedFilesProvider(directory, lambda: FilesKey.in_directory(directory))

    return Place(make(), make, "files")


def aws(request: pytest.FixtureRequest) -> Place:
    """Return moto's server."""
    url: str = request.getfixturevalue("aws_url")
    prefix = f"{fresh('place')}/"

    def make() -> AwsProvider:
        return AwsProvider(region=REGION, endpoint_url=url, prefix=prefix, limits=AwsLimits(attempts=1))

    return Place(make(), make, "aws", largest=65_536)


def over_http(request: pytest.FixtureRequest) -> Place:
    """Return a service of Tradewarden."""
    running: Service = request.getfixturevalue("service")

    def make() -> ServiceProvider:
        return ServiceProvider(running.url, token=running.admin_token)

    return Place(make(), make, "tradewarden", largest=1_000_000)


def in_process(request: pytest.FixtureRequest) -> Place:
    """Return Tradewarden in this process."""
    portal, stored = request.getfixturevalue("warden")

    def make() -> LocalProvider:
        return LocalProvider(lambda: _standing(stored), portal)

    return Place(make(), make, "tradewarden", largest=1_000_000)


def real_vault(request: pytest.FixtureRequest) -> Place:
    """Return a real Vault."""
    return _in_vault(request.getfixturevalue("vault"))


def standin_vault(request: pytest.FixtureRequest) -> Place:
    """Return the stand-in for Vault, which has to behave as the real one does."""
    running: StandIn = request.getfixturevalue("vault_standin")
    return _in_vault(running.place)


def _in_vault(running: VaultPlace) -> Place:
    config = running.config(prefix=f"{fresh('place')}/")
    return Place(VaultProvider(config), lambda: VaultProvider(config), "vault")


FACTORIES: dict[str, Callable[[pytest.FixtureRequest], Place]] = {
    "environment": process_environment,
    "dotenv": dotenv,
    "files": files,
    "unkeyed files": unkeyed_files,
    "aws": aws,
    "service": over_http,
    "local": in_process,
    "vault": real_vault,
    "vault-standin": standin_vault,
}


@pytest.fixture(scope="module")  # its background works beside every test that runs while it is open
def warden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Portal, StoredSecrets]]:
    """An installation that is open in this process, and the portal that it lives in."""
    from tradewarden.app import Warden
    from tradewarden.settings import load_settings

    settings = load_settings({"TRADEWARDEN_DATA_DIR": str(tmp_path_factory.mktemp("local") / "security")})

    @asynccontextmanager
    async def opened() -> AsyncIterator[StoredSecrets]:
        async with Warden.open(settings) as made:
            yield made.local.secrets

    portal = Portal()
    yield portal, portal.enter(opened()).value
    portal.close()


def _standing(stored: StoredSecrets) -> AbstractAsyncContextManager[StoredSecrets]:
    @asynccontextmanager
    async def given() -> AsyncIterator[StoredSecrets]:
        yield stored

    return given()
