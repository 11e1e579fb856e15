"""Vault as a provider, over a real server: logins, tokens that end or are renewed, policies, TLS, sealing, versions."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.support.service import wait_until
from tests.support.vault import Place, Server, program, served, vault, vault_server
from tests.support.vault_logins import Files, approle, kubernetes, service_account_token, wrapped
from tradewarden.errors import (
    ConflictError,
    ProviderRefusedError,
    ProviderUnavailableError,
    SecretNotFoundError,
)
from tradewarden.secrets.providers.vault.config import (
    AppRoleLogin,
    CertificateLogin,
    KubernetesLogin,
    TokenLogin,
)
from tradewarden.secrets.providers.vault.connect import connect
from tradewarden.secrets.providers.vault.provider import VaultProvider
from tradewarden.settings.secret import Secret

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["vault", "vault_server"]


def own_token(provider: VaultProvider) -> str:
    """Return the token that a provider uses now."""
    assert provider._open is not None
    return provider._open[0]._here().keeper.token()


def test_tokens_are_renewed_and_replaced_before_they_end(vault: Place) -> None:
    """A given one is renewed for as long as Vault lets it; a login whose token meets its largest life logs in anew."""
    given = vault.issued(ttl="3s", renewable=True, explicit_max_ttl="30s")
    by_token = VaultProvider(vault.config(TokenLogin(Secret(given))))
    role = approle(vault, token_ttl="1s", token_max_ttl="2s")
    by_role = VaultProvider(vault.config(role.login()))
    by_token.put("renewed", "content")
    assert by_role.get("renewed").content == "content"
    began, first = time.monotonic(), own_token(by_role)
    while time.monotonic() - began < 3.4:  # longer than either token lives without us
        assert by_role.get("renewed").content == "content"
        time.sleep(0.1)  # the condition is the time that passes
    assert by_token.get("renewed").content == "content"  # it slept all the while: a thread renewed its token
    assert own_token(by_token) == given
    assert own_token(by_role) != first
    by_role.close()
    by_token.close()


def test_a_given_token_that_ends_is_refused_with_a_word_on_it(vault: Place) -> None:
    """It cannot be replaced by us, so the message says who can."""
    provider = VaultProvider(vault.config(TokenLogin(Secret(vault.issued(ttl="1s", renewable=False)))))
    provider.put("ending", "content")

    def ended() -> bool:
        try:
            provider.get("ending")
        except ProviderRefusedError as error:
            return "put a new one into VAULT_TOKEN" in str(error)
        return False

    wait_until(ended, "the token did not end", 5)


def test_what_the_policy_does_not_allow_is_refused(vault: Place) -> None:
    """Reading, writing and listing, each by name; the allowed part goes on working."""
    VaultProvider(vault.config()).put("other/b", "content")
    rules = """
        path "secret/data/alphapulse/mine/*" { capabilities = ["create", "read", "update"] }
        path "secret/metadata/alphapulse/mine/*" { capabilities = ["read"] }
    """
    provider = VaultProvider(vault.config(approle(vault, rules).login()))
    provider.put("mine/a", "content")
    with pytest.raises(ProviderRefusedError, match="read secret/data/alphapulse/other/b; look at the policies"):
        provider.get("other/b")
    with pytest.raises(ProviderRefusedError, match="write secret/data/alphapulse/other/b"):
        provider.put("other/b", "content")
    with pytest.raises(ProviderRefusedError, match="list secret/metadata/alphapulse"):
        provider.names()
    assert provider.get("mine/a").content == "content"


def test_an_approle_logs_in_with_a_wrapped_secret_once(vault: Place) -> None:
    """A second use of the wrapping token is refused, and so is one that wraps something else."""
    role = approle(vault)
    login = role.login(wrap="60s")
    provider = VaultProvider(vault.config(login))
    provider.put("wrapped", "content")
    vault.ask("POST", "auth/token/revoke", {"token": own_token(provider)})
    assert provider.get("wrapped").content == "content"  # the secret ID that came out serves the next login too
    with pytest.raises(ProviderRefusedError, match="good once and for a short time"):
        VaultProvider(vault.config(login)).get("wrapped")
    planted = wrapped(vault, "sys/wrapping/wrap", "60s")
    login = AppRoleLogin(Secret(role.role_id), Secret(planted), wrapped=True)
    with pytest.raises(ProviderRefusedError, match="was not made by the auth method approle"):
        VaultProvider(vault.config(login)).get("wrapped")
    with pytest.raises(ProviderRefusedError, match="VAULT_ROLE_ID"):
        VaultProvider(vault.config(AppRoleLogin(Secret(role.role_id), Secret("wrong")))).get("wrapped")


def test_a_pod_logs_in_with_its_service_account(vault: Place, tmp_path: Path) -> None:
    """The token is read anew at each login; one that Kubernetes does not know, or none, says where to look."""
    first, second = service_account_token("bot"), service_account_token("bot")
    token_file = tmp_path / "token"
    token_file.write_text(first)
    accepted = {first: "bot"}
    with kubernetes(accepted) as api:
        mount = f"kubernetes-{tmp_path.name}"
        ca = Files(tmp_path).roots.read_text()  # asked for, and not used over http
        vault.ask("POST", f"sys/auth/{mount}", {"type": "kubernetes"})
        config = {"kubernetes_host": api, "kubernetes_ca_cert": ca, "token_reviewer_jwt": first}
        vault.ask("POST", f"auth/{mount}/config", config)
        vault.ask("PUT", "sys/policies/acl/pods", {"policy": 'path "secret/*" { capabilities = ["read", "create"] }'})
        bound = {"bound_service_account_names": ["bot"], "bound_service_account_namespaces": ["trading"]}
        vault.ask("POST", f"auth/{mount}/role/bots", {**bound, "audience": "vault", "token_policies": ["pods"]})
        provider = VaultProvider(vault.config(KubernetesLogin("bots", token_file, mount)))
        VaultProvider(vault.config()).put("pod", "content")
        assert provider.get("pod").content == "content"
        token_file.write_text(second)
        accepted[second] = "bot"
        del accepted[first]
        vault.ask("POST", "auth/token/revoke", {"token": own_token(provider)})
        assert provider.get("pod").content == "content"
        accepted.clear()
        with pytest.raises(ProviderRefusedError, match=r"Kubernetes; look at VAULT_ROLE \(bots\)"):
            VaultProvider(vault.config(KubernetesLogin("bots", token_file, mount))).get("pod")
    token_file.unlink()
    with pytest.raises(ProviderUnavailableError, match="VAULT_JWT_PATH"):
        VaultProvider(vault.config(KubernetesLogin("bots", token_file, mount))).get("pod")


def test_a_client_certificate_logs_in_over_verified_tls(tmp_path: Path) -> None:
    """Of the right CA; a server that shows another's certificate is not spoken to."""
    program()
    ca = Files(tmp_path)
    with served(ca.server()) as server:
        place = server.place
        place.ask("POST", "sys/auth/cert", {"type": "cert"})
        place.ask("PUT", "sys/policies/acl/all", {"policy": 'path "secret/*" { capabilities = ["read", "create"] }'})
        trusted = {"certificate": ca.roots.read_text(), "allowed_common_names": ["bot"], "token_policies": ["all"]}
        place.ask("POST", "auth/cert/certs/bots", trusted)
        VaultProvider(place.config()).put("a", "content")
        good = place.config(CertificateLogin("bots"), client_certificate=ca.issue("bot"))
        assert VaultProvider(good).get("a").content == "content"
        with pytest.raises(ProviderRefusedError, match="login by certificate; look at VAULT_CLIENT_CERT"):
            VaultProvider(place.config(CertificateLogin("bots"), client_certificate=ca.issue("eve"))).get("a")
        pair = ca.issue("bot")
        renewed = VaultProvider(place.config(CertificateLogin("bots"), client_certificate=pair))
        assert renewed.get("a").content == "content"
        place.ask("POST", "auth/token/revoke", {"token": own_token(renewed)})
        kept = pair.certificate.read_text()
        pair.certificate.write_text("damaged")
        with pytest.raises(ProviderUnavailableError, match="VAULT_CLIENT_CERT"):
            renewed.get("a")
        pair.certificate.write_text(kept)
        assert renewed.get("a").content == "content"
        other = Files(tmp_path, "another-ca")
        for elsewhere in (place.config(ca_file=other.roots), place.config(ca_file=None)):
            with pytest.raises(ProviderUnavailableError, match="TLS failed; look at VAULT_CACERT"):
                VaultProvider(elsewhere).get("a")


def test_a_sealed_vault_is_unavailable_until_it_is_unsealed(vault_server: Server) -> None:
    """The same provider goes on afterwards; a server that is gone, or was never initialised, says so."""
    provider = VaultProvider(vault_server.place.config())
    provider.put("a", "content")
    assert provider._open is not None
    client = provider._open[0]
    vault_server.seal()
    with pytest.raises(ProviderUnavailableError, match=r"is sealed .*vault operator unseal"):
        provider.get("a")
    with pytest.raises(ProviderUnavailableError, match="is sealed"):
        provider.put("a", "other")
    assert "is sealed" in client.fault()
    vault_server.unseal()
    assert provider.get("a").content == "content"
    assert client.fault() == ""
    vault_server.kill()
    with pytest.raises(ProviderUnavailableError, match="nobody takes connections"):
        provider.get("a")
    vault_server.start()
    vault_server.unseal()
    assert provider.get("a").content == "content"


def test_a_vault_that_was_never_initialised_says_so(tmp_path: Path) -> None:
    """Its operator is told what to run."""
    program()
    server = Server(tmp_path)
    server.start()
    try:
        client, engine = connect(server.place._replace(root="none").config())
        assert "is not initialised; run 'vault operator init'" in client.fault()
        with pytest.raises(ProviderUnavailableError, match="not initialised"):
            engine.read("a")
    finally:
        server.kill()


def test_versions_are_kept_hidden_shown_and_destroyed(vault: Place) -> None:
    """As KV version 2 has them: compare-and-set, metadata of our own, and no more versions than wanted."""
    client, engine = connect(vault.config(mount=vault.mounted(), prefix=""))
    assert [engine.write("a/b", msgspec.json.encode({"n": n})).number for n in (1, 2, 3)] == [1, 2, 3]
    assert engine.write("new", b"{}", cas=0).number == 1
    with pytest.raises(ConflictError):
        engine.write("a/b", b"{}", cas=1)
    assert msgspec.json.decode(engine.read("a/b", 2).data) == {"n": 2}
    engine.delete("a/b", [2, 3])
    for version in (None, 2, 3):
        with pytest.raises(SecretNotFoundError) as caught:
            engine.read("a/b", version)
        assert "is deleted" in caught.value.reason
    engine.undelete("a/b", [2])
    assert msgspec.json.decode(engine.read("a/b", 2).data) == {"n": 2}
    engine.destroy("a/b", [2])
    with pytest.raises(SecretNotFoundError) as caught:
        engine.read("a/b", 2)
    assert "is destroyed" in caught.value.reason
    engine.set_metadata("a/b", custom={"owner": "desk"})
    engine.set_metadata("a/b", max_versions=2)
    engine.write("a/b", b"{}")
    found = engine.metadata("a/b")
    assert (found.current, found.max_versions, found.custom) == (4, 2, {"owner": "desk"})
    assert [each.number for each in found.versions] == [3, 4]
    assert found.versions[0].deleted_at > found.created_at - 1 > 1.7e9
    client.close()


def test_numbers_come_back_as_they_went_in(vault: Place) -> None:
    """Also those that OpenBao would round: such an object is kept as its text."""
    provider = VaultProvider(vault.config())
    content: dict[str, object] = {"order": 2**53 + 1, "price": 0.1, "count": 2**53}
    provider.put("numbers", content)
    assert provider.get("numbers").content == content
    assert list(vault.ask("GET", "secret/data/alphapulse/numbers")["data"]["data"]) == ["value"]


def test_names_come_in_order_and_from_where_they_are_asked(vault: Place) -> None:
    """By code point over all folders, whatever sorts between a folder and its slash; `after` skips what was told."""
    client, engine = connect(vault.config(mount=vault.mounted(), prefix="deep/er/"))
    names = ["a", "a-b", "a.b", "a/b", "a/b/c", "a/c d", "a0", "b/x/y/z", "B", "b"]
    for name in names:
        engine.write(name, b"{}")
    ordered = sorted(names)
    assert list(engine.names()) == ordered
    for after in (*ordered, "a/", "a/b/", "zz"):
        assert list(engine.names("", after)) == [name for name in ordered if name > after]
    for prefix in ("a", "a/", "a/b", "b/x", "none", "none/"):
        assert list(engine.names(prefix)) == [name for name in ordered if name.startswith(prefix)]
    client.close()


def test_a_namespace_has_secrets_of_its_own(vault: Place) -> None:
    """Where the server has namespaces; one that does not exist is told apart from a missing secret."""
    if not vault.has_namespaces():
        pytest.skip("this Vault has no namespaces")
    with pytest.raises(ProviderUnavailableError, match="VAULT_NAMESPACE"):
        VaultProvider(vault.config(namespace="nowhere")).get("a")
    vault.ask("POST", "sys/namespaces/desk", {})
    vault.ask("POST", "desk/sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
    wait_until(lambda: vault._answers("desk/secret/config"), "the KV engine did not become ready")
    inside = VaultProvider(vault.config(namespace="desk"))
    inside.put("only_here", "content")
    assert inside.names("only") == ["only_here"]
    with pytest.raises(SecretNotFoundError):
        VaultProvider(vault.config()).get("only_here")
