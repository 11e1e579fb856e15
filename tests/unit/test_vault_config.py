"""What a Vault may be configured as, and that nothing of it shows a secret."""

from __future__ import annotations

import ssl
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support.standin_ca import authority
from tradewarden.errors import ConfigurationError
from tradewarden.secrets.providers.vault import connect as opening
from tradewarden.secrets.providers.vault.answers import Answer, AuthBody, SecretIdBody, read_as, seconds
from tradewarden.secrets.providers.vault.config import (
    AppRoleLogin,
    CertificateLogin,
    ClientCertificate,
    KubernetesLogin,
    TokenLogin,
    VaultConfig,
    vault_config,
)
from tradewarden.secrets.providers.vault.lease import Lease
from tradewarden.secrets.providers.vault.numbers import is_exact
from tradewarden.secrets.providers.vault.provider import VaultProvider
from tradewarden.secrets.providers.vault.tls import tls_context
from tradewarden.settings import load_settings
from tradewarden.settings.secret import Secret

TOKEN = TokenLogin(Secret("hvs.hidden"))
PAIR = ClientCertificate(Path("c.pem"), Path("c.key"))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"url": "vault:8200"}, "VAULT_URL: is no http or https address"),
        ({"url": "https://[::1"}, "VAULT_URL: is no http or https address"),
        ({"url": "https://v:x"}, "VAULT_URL: is no http or https address"),
        ({"url": "https://v/?x=1"}, "VAULT_URL: is no http or https address"),
        ({"url": "https://me:pw@v"}, "VAULT_URL: carries a login"),
        ({"url": "http://vault:8200"}, "VAULT_URL: http to vault would send the token in the clear"),
        ({"mount": "../sys"}, "VAULT_MOUNT: is no path"),
        ({"mount": ""}, "VAULT_MOUNT: is no path"),
        ({"prefix": "alphapulse"}, "VAULT_PREFIX: is no path that ends with a slash"),
        ({"prefix": "../"}, "VAULT_PREFIX: is no path"),
        ({"namespace": "a\r\nX-Vault-Token: b"}, "VAULT_NAMESPACE: is no namespace"),
        ({"login": AppRoleLogin(Secret("r"), mount="a/../b")}, "VAULT_AUTH_MOUNT: is no path"),
        ({"login": TokenLogin(Secret(""))}, "VAULT_TOKEN: is empty"),
        ({"login": TokenLogin(Secret("hvs.x\n"))}, "VAULT_TOKEN: is empty, or holds a space or a newline"),
        ({"login": AppRoleLogin(Secret(""))}, "VAULT_ROLE_ID: unset"),
        ({"login": AppRoleLogin(Secret("r"), wrapped=True)}, "VAULT_SECRET_ID: unset"),
        ({"login": KubernetesLogin("")}, "VAULT_ROLE: unset"),
        ({"login": CertificateLogin()}, "VAULT_CLIENT_CERT: unset"),
        (
            {"login": CertificateLogin(), "client_certificate": PAIR, "url": "http://127.0.0.1"},
            "a login by certificate needs https",
        ),
        ({"read_seconds": 0.0}, "VAULT_CLIENT_TIMEOUT"),
        ({"attempts": 0}, "at least 1"),
    ],
)
def test_a_config_that_cannot_work_is_refused(more: dict[str, object], says: str) -> None:
    """Where the mistake is, is named by its variable."""
    with pytest.raises(ConfigurationError, match=says):
        VaultConfig(**{"url": "https://vault:8200", "login": TOKEN, **more})  # type: ignore[arg-type]


def test_plain_http_goes_to_this_machine_or_where_it_was_said_to() -> None:
    """In development a Compose network is allowed; verification of TLS has no switch at all."""
    for url in ("http://127.0.0.1:8200", "http://localhost:8200", "http://[::1]:8200"):
        assert VaultConfig(url=url, login=TOKEN).place == url
    assert VaultConfig(url="http://vault:8200", login=TOKEN, plain_http=True).place == "http://vault:8200"
    chosen = {"VAULT_URL": "http://vault:8200", "VAULT_TOKEN": "t"}
    assert vault_config(load_settings(chosen)).plain_http
    production = {**chosen, "ALPHAPULSE_ENV": "production", "TRADEWARDEN_ROOT_KEY": "env:ROOT"}
    with pytest.raises(ConfigurationError, match="would send the token in the clear"):
        vault_config(load_settings(production))
    assert not [name for name in VaultConfig.__slots__ if "verify" in name or "insecure" in name]


@pytest.mark.parametrize(
    ("chosen", "login"),
    [
        ({"VAULT_TOKEN": "hvs.x"}, TokenLogin(Secret("hvs.x"))),
        (
            {"VAULT_AUTH_METHOD": "approle", "VAULT_ROLE_ID": "r", "VAULT_SECRET_ID": "s"},
            AppRoleLogin(Secret("r"), Secret("s")),
        ),
        (
            {
                "VAULT_AUTH_METHOD": "approle",
                "VAULT_ROLE_ID": "r",
                "VAULT_SECRET_ID": "w",
                "VAULT_SECRET_ID_WRAPPED": "true",
                "VAULT_AUTH_MOUNT": "desk",
            },
            AppRoleLogin(Secret("r"), Secret("w"), wrapped=True, mount="desk"),
        ),
        (
            {"VAULT_AUTH_METHOD": "kubernetes", "VAULT_ROLE": "bots", "VAULT_JWT_PATH": "/run/t"},
            KubernetesLogin("bots", Path("/run/t")),
        ),
        (
            {"VAULT_AUTH_METHOD": "cert", "VAULT_CLIENT_CERT": "c.pem", "VAULT_CLIENT_KEY": "c.key"},
            CertificateLogin(),
        ),
    ],
)
def test_the_environment_chooses_the_login(chosen: dict[str, str], login: object) -> None:
    """Each method has its variables; the rest is as documented."""
    config = vault_config(load_settings({"VAULT_URL": "https://vault:8200", **chosen}))
    assert config.login == login
    assert (config.mount, config.prefix, config.namespace) == ("secret", "alphapulse/", "")


def test_nothing_that_is_printed_shows_a_secret() -> None:
    """Configs, answers and leases may stand in a traceback's frame."""
    wrapped = Answer(200, b'{"data":{"secret_id":"hidden"}}')
    body = b'{"auth":{"client_token":"hidden","lease_duration":1,"renewable":true}}'
    shown = [
        VaultConfig(url="https://v", login=AppRoleLogin(Secret("hidden"), Secret("hidden"))),
        VaultProvider(VaultConfig(url="https://v", login=TokenLogin(Secret("hidden")))),
        wrapped,
        read_as(SecretIdBody, wrapped, "v"),
        read_as(AuthBody, Answer(200, body), "v"),
        Lease("hidden", 0, 1, renewable=True, whole=1),
    ]
    assert "hidden" not in f"{shown!r} {[str(each) for each in shown]}"


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    """When the provider is made, before anything is asked, and all of them together."""
    (tmp_path / "ca.pem").write_text("no certificate")
    config = VaultConfig(url="https://vault:8200", login=TOKEN, ca_file=tmp_path / "ca.pem", client_certificate=PAIR)
    for make in (opening.connect, VaultProvider):
        with pytest.raises(ConfigurationError) as caught:
            make(config)
        assert [each.partition(":")[0] for each in caught.value.mistakes] == [
            "VAULT_CACERT",
            "VAULT_CLIENT_CERT, VAULT_CLIENT_KEY",
        ]


def test_what_is_trusted_is_what_was_configured(tmp_path: Path) -> None:
    """TLS 1.2 at least, always verified; with `VAULT_CACERT` nothing else counts, no bundle of a library either."""
    from tradewarden.secrets.providers.vault.transport import _Pool

    ca = tmp_path / "ca.pem"
    ca.write_bytes(authority("Vault CA").pem)
    context = tls_context(VaultConfig(url="https://vault:8200", login=TOKEN, ca_file=ca))
    assert len(context.get_ca_certs()) == 1
    for each in (context, tls_context(VaultConfig(url="https://vault:8200", login=TOKEN))):
        assert each.minimum_version is ssl.TLSVersion.TLSv1_2
        assert (each.verify_mode, each.check_hostname) == (ssl.CERT_REQUIRED, True)
    connection = SimpleNamespace()
    _Pool(context, 1).cert_verify(connection, "https://vault:8200", verify=True, cert=None)
    assert vars(connection) == {"cert_reqs": "CERT_REQUIRED"}


def test_a_missing_package_is_named_with_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, and not at the first call."""
    monkeypatch.setattr(opening, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"pip install '\.\[vault\]'"):
        VaultProvider(VaultConfig(url="https://v", login=TOKEN))


def test_a_provider_that_is_not_used_loads_nothing() -> None:
    """A chain that starts without Vault does not pay for its client library."""
    program = """if True:
        import sys
        from tradewarden.secrets.providers.vault.config import TokenLogin, VaultConfig
        from tradewarden.secrets.providers.vault.provider import VaultProvider
        from tradewarden.settings.secret import Secret
        VaultProvider(VaultConfig(url="https://v", login=TokenLogin(Secret("t")))).close()
        assert not {"hvac", "requests", "urllib3"} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_lease_is_due_at_two_thirds_and_runs_out_below_a_half() -> None:
    """A token without an end is never due."""
    lease = Lease("t", 100.0, 30.0, renewable=True, whole=30.0)
    assert (lease.due, lease.end, lease.runs_out) == (120.0, 130.0, False)
    assert lease._replace(seconds=14.0).runs_out
    endless = lease._replace(seconds=0.0)
    assert endless.due == endless.end == float("inf")
    assert not endless.runs_out


def test_times_of_vault_have_nanoseconds() -> None:
    """They are read to the microsecond; what is no time is none."""
    assert seconds("2026-11-22T06:32:19.979890701Z") == pytest.approx(1795329139.97989)
    assert seconds("") == seconds("soon") == 0.0


@pytest.mark.parametrize(
    ("value", "exact"),
    [
        ({"a": [1, {"b": 2**53}]}, True),
        ([-(2**53)], True),
        ({"a": 2**53 + 1}, False),
        ([[-(2**60)]], False),
        (1.5, True),
    ],
)
def test_numbers_that_vault_would_round_are_known(value: object, exact: bool) -> None:
    """Beyond 2^53 a double does not hold every whole number."""
    assert is_exact(value) is exact
