"""From settings to rules: where certificates say that others reach this service."""

from __future__ import annotations

import pytest

from tradewarden.errors import ConfigurationError
from tradewarden.policies import pki_policy, public_url
from tradewarden.settings import load_settings

STAGING = {"ALPHAPULSE_ENV": "staging", "TRADEWARDEN_ROOT_KEY": "env:ROOT", "ROOT": "x"}


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "http://127.0.0.1:8002"),
        ({"SERVICE_HOST": "ca.example", "SERVICE_PORT": "80"}, "http://ca.example:80"),
        ({"SERVICE_HOST": "::1"}, "http://[::1]:8002"),
        ({"SERVICE_PORT": "0"}, ""),
        ({"SERVICE_HOST": "0.0.0.0"}, ""),  # noqa: S104 - only parsed
        ({"SERVICE_HOST": "::"}, ""),
        (STAGING | {"SERVICE_HOST": "ca.example"}, "https://ca.example:8002"),
        (STAGING | {"SERVICE_HOST": "ca.example", "TRADEWARDEN_TRUSTED_PROXIES": "10.0.0.1"}, "http://ca.example:8002"),
        ({"TRADEWARDEN_TLS_CERT": "a", "TRADEWARDEN_TLS_KEY": "b"}, "https://127.0.0.1:8002"),
        ({"SERVICE_PORT": "0", "TRADEWARDEN_PUBLIC_URL": "http://pki.example/tw/"}, "http://pki.example/tw"),
    ],
)
def test_certificates_point_to_where_the_service_is_reached(given: dict[str, str], url: str) -> None:
    """The setting decides; without it scheme, host and port do, and nothing where they name no one place."""
    settings = load_settings(given)
    assert public_url(settings) == url
    assert pki_policy(settings).public_url == url


@pytest.mark.parametrize(
    "url", ["ftp://x", "http://x/?a", "http://x/#a", "http://x/ä", "http://x/ y", "x", "http://u:p@x"]
)
def test_an_address_that_cannot_stand_in_a_certificate_is_refused(url: str) -> None:
    """Only plain http and https addresses in ASCII can be pointed to."""
    with pytest.raises(ConfigurationError, match="TRADEWARDEN_PUBLIC_URL"):
        load_settings({"TRADEWARDEN_PUBLIC_URL": url})


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, set()),
        ({"SERVICE_HOST": "10.0.0.5"}, {"10.0.0.5"}),
        ({"TRADEWARDEN_PUBLIC_URL": "https://Vault.corp.example:8002"}, {"vault.corp.example"}),
        (STAGING | {"SERVICE_HOST": "ca.example"}, {"ca.example"}),
        (STAGING | {"SERVICE_HOST": "ca.example", "TRADEWARDEN_TRUSTED_PROXIES": "10.0.0.1"}, set()),
    ],
)
def test_what_others_find_this_service_under_is_its_own(given: dict[str, str], names: set[str]) -> None:
    """Its host and public address; not loopback, where any service listens, nor what a proxy in front answers to."""
    assert pki_policy(load_settings(given)).own_names == names
