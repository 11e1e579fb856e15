"""A platform's secrets, opened from the environment, against what it names: moto's AWS, a real Vault, a real service.

Moto differs from AWS: it asks nobody for a password, and never throttles.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.providers import aws_url, fresh
from tests.support.service import Service, service
from tests.support.vault import Place, vault
from tradewarden import AsyncPlatformSecrets, PlatformSecrets
from tradewarden.errors import ConfigurationError, ProviderRefusedError, SecretNotFoundError

__all__ = ["aws_url", "service", "vault"]
Environ = dict[str, str]
TOKEN = "Kq7-tR0ub4dor-9f3LmWz2Yx81PbVcTn"


def production(request: pytest.FixtureRequest) -> Environ:
    """Return a host with AWS."""
    url: str = request.getfixturevalue("aws_url")
    return {"ALPHAPULSE_ENV": "production", "AWS_REGION": "eu-central-1", "AWS_ENDPOINT_URL": url}


def staging(request: pytest.FixtureRequest) -> Environ:
    """Return a host with Vault."""
    place: Place = request.getfixturevalue("vault")
    return {
        "ALPHAPULSE_ENV": "staging",
        "VAULT_URL": place.url,
        "VAULT_TOKEN": place.root,
        "VAULT_MOUNT": place.mounted(),
    }


def own(request: pytest.FixtureRequest) -> Environ:
    """Return a host with a Tradewarden service."""
    running: Service = request.getfixturevalue("service")
    return {
        "ALPHAPULSE_ENV": "production",
        "TRADEWARDEN_SECRET_PROVIDERS": "tradewarden,environment",
        "TRADEWARDEN_URL": running.url,
        "TRADEWARDEN_TOKEN": running.admin_token,
    }


@pytest.fixture(params=[production, staging, own], ids=lambda made: made.__name__)
def environ(request: pytest.FixtureRequest) -> Environ:
    """The variables of a host."""
    made: Callable[[pytest.FixtureRequest], Environ] = request.param
    return made(request)


async def test_secrets_come_from_where_the_environment_says(environ: Environ) -> None:
    """What one program writes another reads, typed, by both faces; what the first place lacks the variables give."""
    user, exchange = fresh("user"), fresh("exchange")
    environ["ALPHAPULSE_POLYGON_API_KEY"] = "from-a-variable"
    with PlatformSecrets.from_environment(environ, None) as secrets:
        secrets.put(f"{user}_api_token", TOKEN)
        secrets.put(f"{exchange}_credentials", {"api_key": "k", "api_secret": "s", "testnet": True})
    async with AsyncPlatformSecrets.from_environment(environ, None) as there:
        assert (await there.api_token(user)).matches(TOKEN)
        found = await there.exchange(exchange)
        assert (found.ccxt(), found.testnet) == ({"apiKey": "k", "secret": "s"}, True)
        assert (await there.data_provider("polygon")).api_key.reveal() == "from-a-variable"
        with pytest.raises(SecretNotFoundError):
            await there.database()
        assert f"{user}_api_token" in await there.names("user")
        assert there.health().healthy
        await there.delete(f"{user}_api_token")
        with pytest.raises(SecretNotFoundError):
            await there.api_token(user)


@pytest.mark.parametrize("environ", [staging, own], indirect=True, ids=lambda made: made.__name__)
def test_a_host_that_is_not_let_in_does_not_fall_back_to_variables(environ: Environ) -> None:
    """A token that the place does not know is a refusal, whatever the variables hold."""
    environ |= {"ALPHAPULSE_POLYGON_API_KEY": "from-a-variable"}
    environ |= {name: "no-such-token" for name in ("VAULT_TOKEN", "TRADEWARDEN_TOKEN") if name in environ}
    with PlatformSecrets.from_environment(environ, None) as secrets, pytest.raises(ProviderRefusedError):
        secrets.data_provider("polygon")


def test_a_token_that_is_replaced_is_read_again(tmp_path: Path) -> None:
    """The provider `tradewarden` sends the newest token of its file, and names a file that is gone."""
    token = tmp_path / "token"
    token.write_text("one\n")
    with listening() as (url, seen):
        environ = {
            "TRADEWARDEN_SECRET_PROVIDERS": "tradewarden",
            "TRADEWARDEN_URL": url,
            "TRADEWARDEN_TOKEN_FILE": str(token),
        }
        with PlatformSecrets.from_environment(environ, None) as secrets:
            for each in ("one", "two"):
                token.write_text(f"{each}\n")
                with pytest.raises(SecretNotFoundError):
                    secrets.get(each)
            token.unlink()
            with pytest.raises(ConfigurationError, match="TRADEWARDEN_TOKEN_FILE: cannot read"):
                secrets.get("three")
    assert seen == ["Bearer one", "Bearer two"]
    token.write_text("x")
    environ["TRADEWARDEN_CA_FILE"] = str(tmp_path / "none.pem")
    with pytest.raises(ConfigurationError, match=r"TRADEWARDEN_CA_FILE: .* is no PEM file"):
        PlatformSecrets.from_environment(environ, None)


@contextmanager
def listening() -> Iterator[tuple[str, list[str]]]:
    """Run a service that has no secret and keeps the tokens that it is shown."""
    seen: list[str] = []

    class Nothing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["Authorization"])
            body = b'{"code":"secret_not_found","detail":"none","title":"Not found","request_id":"1"}'
            self.send_response(404)
            self.send_header("Content-Type", "application/problem+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Nothing)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    server.server_close()
    thread.join()
