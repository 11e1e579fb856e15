"""A migration goes to every kind of provider, and a second one finds there what the first wrote."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.aws import aws_url
from tests.support.moves import VALUE
from tests.support.providers import FACTORIES, service, vault, vault_standin, warden
from tests.support.service import Service
from tests.support.trading_repository import values
from tests.support.vault_standin import StandIn
from tradewarden.migrate.migration import Migration, open_migration
from tradewarden.migrate.rewriting import Reading
from tradewarden.migrate.targets import Method, Target, contents
from tradewarden.migrate.undo import Undo

__all__ = ["aws_url", "service", "vault", "vault_standin", "warden"]

_KEY, _SECRET = f"{VALUE}{VALUE}{VALUE}{VALUE}{VALUE}abcd", f"{VALUE[::-1]}{VALUE}{VALUE}{VALUE}{VALUE}efgh"
_DIFFERENT = _KEY[::-1]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An account, a text, a key of several lines."""
    root = tmp_path / "tree"
    root.mkdir()
    _fill(root)
    return root


def _fill(root: Path, key: str = _KEY) -> None:
    (root / "bot.py").write_text(f'KRAKEN_API_KEY = "{key}"\nKRAKEN_API_SECRET = "{_SECRET}"\n')
    (root / "keys.py").write_text(f'PRIVATE_KEY = """{values()["pem"]}"""\nREDIS_PASSWORD = "{values()["redis"]}"\n')


@pytest.mark.parametrize("name", FACTORIES)
def test_every_provider_takes_a_migration(
    name: str, tree: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """It gives back what was written; the same again writes nothing; another key gets another secret."""
    place = FACTORIES[name](request)
    request.addfinalizer(place.provider.close)
    undo = Undo(tmp_path / "undo", tmp_path / "keys")

    def apply() -> dict[str, bool]:
        with Migration(tree, [Target(place.again(), name)], Reading.PROVIDER) as migration:
            plan = migration.plan()
            written = migration.apply(plan, undo).written
        for secret, content in contents(plan).items():
            assert place.provider.get(secret).content == content
        return {each.name: each.fresh for each in written}

    assert apply() == {"kraken_credentials": True, "private_key": True, "redis_password": True}
    _fill(tree)
    assert apply() == {"kraken_credentials": False, "private_key": False, "redis_password": False}
    _fill(tree, _DIFFERENT)
    assert apply() == {"kraken_2_credentials": True, "private_key": False, "redis_password": False}
    assert place.provider.get("kraken_credentials").content == {"api_key": _KEY, "api_secret": _SECRET}


def test_settings_open_a_provider(
    tree: Path, tmp_path: Path, aws_url: str, service: Service, vault_standin: StandIn
) -> None:
    """The methods find their places as programs do, by the environment."""
    given: dict[Method, Mapping[str, str]] = {
        Method.AWS: {"AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": aws_url},
        Method.VAULT: {"VAULT_URL": vault_standin.place.url, "VAULT_TOKEN": vault_standin.place.root},
        Method.TRADEWARDEN: {"TRADEWARDEN_URL": service.url, "TRADEWARDEN_TOKEN": service.admin_token},
    }
    for method, environ in given.items():
        with open_migration(tree, method, environ) as migration:
            written = migration.apply(migration.plan(), Undo(tmp_path / "undo", tmp_path / "keys")).written
            assert method.value in written[0].label.lower()
            again = migration.plan()
            assert (again.moves, again.changes) == ((), ())
        _fill(tree)
