"""What a start tells a newcomer can be copied and run."""

from __future__ import annotations

import pytest

from tradewarden.http.banner import banner
from tradewarden.http.binding import Port
from tradewarden.settings import Settings, load_settings

PRODUCTION = {"ALPHAPULSE_ENV": "production", "TRADEWARDEN_ROOT_KEY": "env:ROOT", "TRADEWARDEN_DATA_DIR": "/data"}
BOTH = {Port.API: 40001, Port.MUTUAL: 40002}


def _settings(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Settings:
    return load_settings(environment, tmp_path_factory.mktemp("empty") / ".env")


def test_development_shows_plain_calls_and_the_bootstrap(tmp_path_factory: pytest.TempPathFactory) -> None:
    """In development the calls are plain HTTP, and one asks for a token without credentials."""
    text = banner(_settings(tmp_path_factory, {}), {Port.API: 8002})
    assert "curl http://127.0.0.1:8002/health" in text
    assert "/tokens/generate" in text


def test_our_own_certificate_is_named_to_curl(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Outside development the calls trust the CA that signed the listener's certificate, and nobody is let in bare."""
    text = banner(_settings(tmp_path_factory, PRODUCTION), {Port.API: 8002})
    assert "curl --cacert /data/ca/ca_cert.pem https://127.0.0.1:8002/health" in text
    assert "/tokens/generate" not in text


def test_behind_a_proxy_the_calls_are_plain(tmp_path_factory: pytest.TempPathFactory) -> None:
    """With listed proxies and no certificate the listener speaks plain HTTP, and the calls say so."""
    settings = _settings(tmp_path_factory, {**PRODUCTION, "TRADEWARDEN_TRUSTED_PROXIES": "10.0.0.1"})
    text = banner(settings, {Port.API: 8002})
    assert "curl http://127.0.0.1:8002/health" in text


def test_both_listeners_are_named_with_the_ports_they_have(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The mTLS listener stands beside the HTTP API, each with the port that was bound; or that it is off."""
    settings = _settings(tmp_path_factory, {"SERVICE_PORT": "0", "TRADEWARDEN_MTLS_PORT": "0"})
    assert "mTLS:        https://127.0.0.1:40002  (client certificate required)" in banner(settings, BOTH)
    assert "Tradewarden listens on http://127.0.0.1:40001\n" in banner(settings, BOTH)
    assert "mTLS:        off\n" in banner(settings, {Port.API: 40001})
    assert "Lists, OCSP" not in banner(settings, BOTH)
    assert "Lists, OCSP: http://127.0.0.1:40003\n" in banner(settings, {**BOTH, Port.CA: 40003})
