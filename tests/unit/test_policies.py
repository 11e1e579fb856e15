"""From settings to rules: where certificates say that others reach this service."""

from __future__ import annotations

import pytest

from tradewarden.errors import ConfigurationError
from tradewarden.policies import acme_policy, listener_names, pki_policy, public_url, warnings
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
    ("given", "url"),
    [
        (STAGING | {"SERVICE_HOST": "ca.example"}, "http://ca.example:8080"),
        (STAGING | {"SERVICE_HOST": "2001:db8::1"}, "http://[2001:db8::1]:8080"),
        (STAGING | {"TRADEWARDEN_PUBLIC_URL": "https://tw.example/x"}, "http://tw.example:8080"),
        (STAGING | {"TRADEWARDEN_PUBLIC_URL": "http://pki.example/tw"}, "http://pki.example/tw"),
        ({"SERVICE_HOST": "ca.example"}, "http://ca.example:8002"),
        (STAGING | {"SERVICE_HOST": "ca.example", "TRADEWARDEN_CA_HTTP_PORT": "0"}, "https://ca.example:8002"),
    ],
)
def test_certificates_point_to_plain_http_where_it_has_a_port(given: dict[str, str], url: str) -> None:
    """In place of https alone, under the same host; ACME's addresses stay as they are."""
    settings = load_settings({"TRADEWARDEN_CA_HTTP_PORT": "8080", **given})
    assert pki_policy(settings).public_url == url
    assert acme_policy(settings).base == public_url(settings)
    warned = [each for each in warnings(settings) if "TRADEWARDEN_CA_HTTP_PORT" in each]
    assert bool(warned) == url.startswith("https:")


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
        ({"TRADEWARDEN_PUBLIC_URL": "https://vault.corp.example.:8002"}, {"vault.corp.example"}),
        ({"TRADEWARDEN_ACME_URL": "https://acme.corp.example:8002"}, {"acme.corp.example"}),
        (
            {"TRADEWARDEN_PUBLIC_URL": "https://a.example", "TRADEWARDEN_ACME_URL": "http://10.0.0.5"},
            {"a.example", "10.0.0.5"},
        ),
        ({"SERVICE_HOST": "::ffff:10.0.0.5"}, {"10.0.0.5"}),
        (STAGING | {"SERVICE_HOST": "ca.example"}, {"ca.example"}),
        (STAGING | {"SERVICE_HOST": "ca.example", "TRADEWARDEN_TRUSTED_PROXIES": "10.0.0.1"}, set()),
    ],
)
def test_what_others_find_this_service_under_is_its_own(given: dict[str, str], names: set[str]) -> None:
    """Its host and its addresses in the web; not loopback, where any service listens, nor what a proxy answers to."""
    settings = load_settings(given)
    assert pki_policy(settings).own_names == names
    assert names <= set().union(*listener_names(settings))
