"""What can go wrong with a Vault, each as exactly one error: over a stand-in that can be made to do anything."""

from __future__ import annotations

import os
import threading
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.service import free_port
from tests.support.vault_standin import (
    Handler,
    StandIn,
    Token,
    reset_in_the_middle,
    saying,
    silent,
    standin,
    trickling,
)
from tradewarden.errors import (
    ConflictError,
    InvalidInputError,
    ProviderRefusedError,
    ProviderUnavailableError,
    SecretNotFoundError,
    TradewardenError,
)
from tradewarden.secrets.providers.vault.config import AppRoleLogin, Login, TokenLogin, VaultConfig
from tradewarden.secrets.providers.vault.provider import VaultProvider
from tradewarden.settings.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["standin"]
ROLE = AppRoleLogin(Secret("role-1"), Secret("sid-0001"))


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Second tries come at once."""
    monkeypatch.setattr("tradewarden.secrets.providers.vault.client._FIRST_PAUSE", 0.001)


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Set at the end, so that no thread of a stand-in waits on."""
    event = threading.Event()
    yield event
    event.set()


def provider_of(standin: StandIn, login: Login | None = None, **more: Any) -> VaultProvider:  # noqa: ANN401
    """Return a provider of the stand-in that has read a secret already."""
    standin.approles["role-1"] = "sid-0001"
    standin.secrets.clear()
    provider = VaultProvider(standin.place.config(login, **more))
    provider.put("a", {"password": "hunter2"})
    return provider


def text_of(error: BaseException) -> str:
    """Return everything that an error could show to anyone."""
    assert isinstance(error, TradewardenError)
    return f"{error} {error.reason} {error!r} {error.__cause__!r} {error.__context__!r}"


@pytest.mark.parametrize(
    ("status", "body", "headers", "says"),
    [
        (503, {"errors": ["Vault is sealed"]}, {}, "is sealed"),
        (307, None, {"Location": "https://10.0.0.7:8200/v1/x"}, "another address .* redirects are not followed"),
        (429, {"errors": ["request path quota exceeded"]}, {}, "limits how often"),
        (412, {"errors": ["required index state not present"]}, {}, "is behind"),
        (500, {"errors": ["local node not active but active cluster node not found"]}, {}, "no active node"),
        (502, None, {}, "status 502"),
        (200, {"hello": "world"}, {}, "does not speak as Vault"),
        (404, {"errors": ['no handler for route "x". route entry not found.']}, {}, "no KV engine of version 2"),
    ],
)
def test_an_answer_that_is_no_answer_is_unavailable(
    standin: StandIn, status: int, body: object, headers: dict[str, str], says: str
) -> None:
    """Each says what to look at, for reading and writing; what Vault itself said is in the reason only."""
    provider = provider_of(standin)
    for call in (lambda: provider.get("a"), lambda: provider.put("a", "b"), provider.names):
        standin.faults.extend([saying(status, body, **headers)] * 3)
        with pytest.raises(ProviderUnavailableError, match=says) as caught:
            call()
        assert standin.place.root not in text_of(caught.value)
        assert "hunter2" not in text_of(caught.value)
        standin.faults.clear()
    assert provider.get("a").content == {"password": "hunter2"}


def test_a_read_is_tried_again_a_few_times(standin: StandIn) -> None:
    """Two bad moments in a row are not noticed; a third one is."""
    provider = provider_of(standin)
    for fault in (saying(502), saying(429), saying(412), saying(500, {"errors": ["x"]}), reset_in_the_middle):
        standin.faults.extend([fault] * 2)
        assert provider.get("a").content == {"password": "hunter2"}
        standin.faults.extend([fault] * 3)
        with pytest.raises(ProviderUnavailableError):
            provider.get("a")
        assert not standin.faults


@pytest.mark.parametrize("fault", [saying(502), saying(429), saying(412), reset_in_the_middle])
def test_a_write_is_never_tried_again(standin: StandIn, fault: Callable[[Handler], bool]) -> None:
    """It might be made twice."""
    provider = provider_of(standin)
    standin.seen.clear()
    standin.faults.append(fault)
    with pytest.raises(ProviderUnavailableError):
        provider.put("a", "b")
    assert standin.asked("secret/data") == 1


def test_a_write_of_which_nothing_is_known_says_so(standin: StandIn) -> None:
    """Whoever repeats it reads first; where Vault said no, there is nothing to say."""
    provider = provider_of(standin)
    standin.faults.append(reset_in_the_middle)
    with pytest.raises(ProviderUnavailableError, match="may have been made"):
        provider.put("a", "b")
    standin.faults.append(saying(503, {"errors": ["Vault is sealed"]}))
    with pytest.raises(ProviderUnavailableError) as caught:
        provider.put("a", "b")
    assert "may have been made" not in str(caught.value)


def test_a_sealed_vault_is_not_asked_again(standin: StandIn) -> None:
    """It will not unseal itself within the call."""
    provider = provider_of(standin)
    standin.sealed = True
    standin.seen.clear()
    with pytest.raises(ProviderUnavailableError, match="is sealed"):
        provider.get("a")
    assert len(standin.seen) == 1


def test_nobody_there_and_no_answer_are_told_apart(standin: StandIn, released: threading.Event) -> None:
    """A closed port, a silent server and one that trickles each end in their own time and words."""
    nobody = VaultProvider(VaultConfig(url=f"http://127.0.0.1:{free_port()}", login=TokenLogin(Secret("t"))))
    with pytest.raises(ProviderUnavailableError, match="nobody takes connections"):
        nobody.get("a")
    unknown = VaultProvider(VaultConfig(url="http://vault.invalid", login=TokenLogin(Secret("t")), plain_http=True))
    with pytest.raises(ProviderUnavailableError, match="nobody takes connections"):
        unknown.get("a")
    provider = provider_of(standin, read_seconds=0.1, total_seconds=0.3)
    for fault in (silent(released), trickling(released)):
        standin.faults.append(fault)
        with pytest.raises(ProviderUnavailableError, match="did not answer in time"):
            provider.get("a")
    assert provider.get("a").content == {"password": "hunter2"}


def test_a_redirect_takes_the_token_nowhere(standin: StandIn) -> None:
    """Whoever can answer with a redirect gets no second request."""
    provider = provider_of(standin)
    standin.seen.clear()
    standin.faults.append(saying(307, None, Location=f"{standin.url}/v1/elsewhere"))
    with pytest.raises(ProviderUnavailableError, match="set VAULT_URL to the active node") as caught:
        provider.get("a")
    assert standin.url in caught.value.reason
    assert standin.asked("elsewhere") == 0


def test_the_environment_sends_no_request_elsewhere(standin: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies of the environment are not used: they would see the token."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    assert provider_of(standin).get("a").content == {"password": "hunter2"}


def test_every_request_names_the_namespace(standin: StandIn) -> None:
    """Logins too; without one there is no header."""
    provider = provider_of(standin, ROLE, namespace="trading/bots")
    provider.names()
    assert {headers.get("x-vault-namespace") for _, _, headers in standin.seen} == {"trading/bots"}
    standin.seen.clear()
    provider_of(standin).get("a")
    assert all("x-vault-namespace" not in headers for _, _, headers in standin.seen)


def test_a_secret_that_vault_will_not_show_is_refused_once(standin: StandIn) -> None:
    """The token is looked at and is good: no new login, no second try, and the secret is named."""
    provider = provider_of(standin, ROLE)
    standin.seen.clear()
    standin.faults.append(saying(403, {"errors": ["1 error occurred:\n\t* permission denied\n\n"]}))
    with pytest.raises(ProviderRefusedError, match="does not let our token read secret/data/alphapulse/a"):
        provider.get("a")
    assert [path for _, path, _ in standin.seen] == ["secret/data/alphapulse/a", "auth/token/lookup-self"]


def test_a_revoked_token_is_replaced_by_one_login(standin: StandIn) -> None:
    """The call that met it succeeds, also when many meet it at once."""
    provider = provider_of(standin, ROLE)
    before = standin.asked("approle/login")
    standin.tokens = {standin.place.root: Token()}
    threads = [threading.Thread(target=provider.get, args=("a",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert provider.get("a").content == {"password": "hunter2"}
    assert standin.asked("approle/login") == before + 1


def test_refusals_lead_to_few_logins(standin: StandIn) -> None:
    """A token that may not even look itself up is replaced once, and not at each refusal."""
    provider = provider_of(standin, ROLE)
    standin.may_look_up = False
    before = standin.asked("approle/login")
    for _ in range(4):
        standin.faults.extend([saying(403, {"errors": ["permission denied"]})])
        standin.faults.extend([lambda _: False] * 2 + [saying(403, {"errors": ["permission denied"]})])
        with pytest.raises(ProviderRefusedError):
            provider.get("a")
        standin.faults.clear()
    assert standin.asked("approle/login") == before + 1


def test_a_given_token_that_ended_says_so(standin: StandIn) -> None:
    """It is refused, not unavailable, and the message says what to set; readiness tells it too."""
    standin.tokens["hvs.given"] = Token()
    provider = provider_of(standin, TokenLogin(Secret("hvs.given")))
    del standin.tokens["hvs.given"]
    with pytest.raises(ProviderRefusedError, match=r"has ended, was revoked .* VAULT_TOKEN") as caught:
        provider.get("a")
    assert "hvs.given" not in text_of(caught.value)
    assert provider._open is not None
    assert "has ended" in provider._open[0].fault()


def test_a_login_that_is_refused_says_where_to_look(standin: StandIn) -> None:
    """Neither the role nor its secret is in the message."""
    standin.approles["role-1"] = "another"
    provider = VaultProvider(standin.place.config(ROLE))
    with pytest.raises(ProviderRefusedError, match="VAULT_ROLE_ID, VAULT_SECRET_ID") as caught:
        provider.get("a")
    assert "sid-0001" not in text_of(caught.value)
    standin.sealed = True
    with pytest.raises(ProviderUnavailableError, match="is sealed"):
        provider.get("a")


def test_writes_that_miss_are_a_conflict(standin: StandIn) -> None:
    """Compare-and-set; where the engine asks for it, a plain write brings the current version along."""
    provider = provider_of(standin)
    engine = provider._engine
    with pytest.raises(ConflictError, match="read it again"):
        engine.write("a", b"{}", cas=7)
    standin.faults.append(saying(400, {"errors": ["check-and-set parameter required for this call"]}))
    assert engine.write("a", b"{}").number == 2
    standin.faults.append(saying(400, {"errors": ["something else"]}))
    with pytest.raises(InvalidInputError) as caught:
        engine.write("a", b"{}")
    assert "something else" in caught.value.reason


def test_an_engine_of_version_1_is_not_written_to(standin: StandIn) -> None:
    """It would take the write as a secret called data/…; nor is its 404 believed."""
    provider = VaultProvider(standin.place.config())
    version_1 = saying(200, {"data": {"type": "kv", "options": {}}})
    standin.faults.extend([lambda _: False, version_1])
    with pytest.raises(ProviderUnavailableError, match="no KV engine of version 2"):
        provider.put("a", "b")
    assert not standin.secrets
    standin.faults.extend([saying(404, {"errors": []}), version_1])
    with pytest.raises(ProviderUnavailableError, match="no KV engine of version 2"):
        provider.get("a")
    with pytest.raises(SecretNotFoundError):
        provider.get("a")


def test_an_answer_of_any_size_is_not_taken(standin: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is ours."""
    provider = provider_of(standin)
    monkeypatch.setattr("tradewarden.secrets.providers.vault.transport.MAX_BYTES", 100)
    standin.faults.extend([saying(200, {"data": "x" * 300_000})] * 3)
    with pytest.raises(ProviderUnavailableError, match="larger than we take"):
        provider.get("a")


def test_only_so_many_connections_are_open(standin: StandIn) -> None:
    """Sixteen threads share two connections and all get their answer."""
    provider = provider_of(standin, connections=2)
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(provider.get("a").content)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [{"password": "hunter2"}] * 16


def test_a_forked_child_has_a_token_of_its_own(standin: StandIn) -> None:
    """It speaks on its own connections, and ending does not end its parent's token."""
    provider = provider_of(standin, ROLE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forking beside threads, as this is
        child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if provider.get("a").content == {"password": "hunter2"} else 2
            provider.close()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert standin.asked("approle/login") == 2
    assert provider.get("a").content == {"password": "hunter2"}
    assert standin.asked("approle/login") == 2


def test_closing_ends_the_token_of_our_own_login(standin: StandIn) -> None:
    """A token that was given to us is left alone."""
    provider = provider_of(standin, ROLE)
    assert len(standin.tokens) == 2
    provider.close()
    assert len(standin.tokens) == 1
    provider_of(standin).close()
    assert len(standin.tokens) == 1
