"""A token of Vault is kept alive by a thread and by those who use it, and replaced where it can be."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import pytest

from tests.support.service import wait_until
from tradewarden.errors import ProviderRefusedError, ProviderUnavailableError
from tradewarden.secrets.providers.vault.answers import Answer
from tradewarden.secrets.providers.vault.keeper import Keeper
from tradewarden.secrets.providers.vault.lease import Lease

SPAN = 0.15


class Vault:
    """Stands in for `Logins`: leases of a fraction of a second."""

    def __init__(self, *, again: bool, renewable: bool = True, seconds: float = SPAN) -> None:
        self.again = again
        self.renewable = renewable
        self.seconds = seconds
        self.logins = self.renewals = 0
        self.revoked: list[str] = []
        self.renewal: Answer | None = None
        self.shrinks = 1.0
        self.known = False
        self.slow = threading.Event()
        self.slow.set()

    def begin(self) -> Lease:
        """Log in."""
        self.logins += 1
        return Lease(f"t{self.logins}", time.monotonic(), self.seconds, self.renewable, self.seconds)

    def renew(self, lease: Lease) -> Lease | Answer:
        """Renew."""
        self.renewals += 1
        self.slow.wait(5)
        if self.renewal is not None:
            return self.renewal
        return lease._replace(began=time.monotonic(), seconds=lease.seconds * self.shrinks)

    def knows(self, token: str) -> bool:
        """Tell what was set."""
        return self.known

    def revoke(self, token: str) -> None:
        """Note it."""
        self.revoked.append(token)


def keeper_of(vault: Vault) -> Keeper:
    """Return a keeper that has a token."""
    keeper = Keeper(vault, "https://v")  # type: ignore[arg-type]
    assert keeper.token() == "t1"
    return keeper


def test_a_thread_renews_while_nobody_calls() -> None:
    """Again and again, for as long as the keeper is there; then the thread ends."""
    vault = Vault(again=False)
    keeper = keeper_of(vault)
    wait_until(lambda: vault.renewals >= 3, "nothing was renewed")
    assert (keeper.token(), vault.logins) == ("t1", 1)
    thread, alive = keeper._watch, weakref.ref(keeper)
    keeper.close()
    assert thread is not None
    thread.join(5)
    assert not thread.is_alive()
    assert vault.revoked == []  # it was given to us
    del keeper
    gc.collect()
    assert alive() is None


def test_a_token_without_an_end_needs_no_thread() -> None:
    """A root token in development is such a one."""
    keeper = keeper_of(Vault(again=False, seconds=0))
    assert keeper._watch is None


def test_a_login_replaces_what_cannot_be_renewed_any_further() -> None:
    """A token that is not renewable, one that Vault refuses to renew, and one that renews for less and less."""
    for vault in (Vault(again=True, renewable=False), Vault(again=True), Vault(again=True)):
        if vault.renewable:
            vault.renewal = Answer(403)
        keeper = keeper_of(vault)
        wait_until(lambda vault=vault: vault.logins >= 2, "there was no new login")  # type: ignore[misc]
        assert keeper.token() != "t1"
        keeper.close()
        assert vault.revoked
    vault = Vault(again=True)
    vault.shrinks = 0.4
    keeper = keeper_of(vault)
    wait_until(lambda: vault.logins >= 2, "there was no new login")
    keeper.close()


def test_a_vault_that_is_away_leaves_the_token_in_use() -> None:
    """It is tried again before the token ends; no login is spent on it."""
    vault = Vault(again=True, seconds=3.0)
    vault.renewal = Answer(503)
    keeper = keeper_of(vault)
    lease = keeper._lease
    assert lease is not None
    keeper._lease = lease._replace(began=lease.began - 2.5)  # 0.5 s are left
    assert keeper.token() == keeper.token() == "t1"
    assert (vault.renewals, vault.logins) == (1, 1)
    vault.renewal = None
    wait_until(lambda: keeper.token() == "t1" and vault.renewals >= 2, "it was not tried again")
    assert vault.logins == 1
    keeper.close()


def test_a_token_that_cannot_be_helped_is_left_alone() -> None:
    """Once Vault will not renew a given token it is asked no more; what it is good for, the next call shows."""
    vault = Vault(again=False)
    vault.renewal = Answer(403)
    keeper = keeper_of(vault)
    wait_until(lambda: vault.renewals == 1, "it was not renewed")
    time.sleep(2 * SPAN)  # beyond its end: what must not happen has no condition to wait for
    assert (keeper.token(), vault.renewals) == ("t1", 1)
    keeper.close()


def test_one_failed_login_is_told_to_all_who_waited() -> None:
    """Else each of them would wait for the same time-out, one after the other; who comes later tries anew."""
    vault = Vault(again=True)
    tried: list[float] = []

    def fail() -> Lease:
        tried.append(time.monotonic())
        vault.slow.wait(5)
        raise ProviderUnavailableError("away", reason="why")

    vault.begin = fail  # type: ignore[method-assign]
    vault.slow.clear()
    keeper = Keeper(vault, "https://v")  # type: ignore[arg-type]
    raised: list[str] = []

    def ask() -> None:
        try:
            keeper.token()
        except ProviderUnavailableError as error:
            raised.append(error.reason)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(tried) == 1, "nobody logs in")
    time.sleep(0.1)  # all are there by then; a late one would only try once more, and fail the test's count
    vault.slow.set()
    for thread in threads:
        thread.join()
    assert (len(tried), raised) == (1, ["why"] * 6)
    ask()
    assert len(tried) == 2


def test_others_go_on_while_one_renews() -> None:
    """Nobody waits for a renewal as long as the token is good."""
    vault = Vault(again=True, seconds=3.0)
    keeper = keeper_of(vault)
    vault.slow.clear()
    lease = keeper._lease
    assert lease is not None
    keeper._lease = lease._replace(began=lease.began - 2.5)
    renewing = threading.Thread(target=keeper.token)
    renewing.start()
    wait_until(lambda: vault.renewals == 1, "nobody renews")
    began = time.monotonic()
    assert keeper.token() == "t1"
    assert time.monotonic() - began < 0.4
    vault.slow.set()
    renewing.join()
    keeper.close()


def test_a_refusal_is_told_from_a_token_that_ended() -> None:
    """Vault knows the token: a policy said no. It does not: a new login, or the end of a given token."""
    vault = Vault(again=True, seconds=60)
    keeper = keeper_of(vault)
    assert keeper.doubt("t0", "read a") == "t1"  # somebody replaced it meanwhile
    vault.known = True
    with pytest.raises(ProviderRefusedError, match="does not let our token read a"):
        keeper.doubt("t1", "read a")
    vault.known = False
    assert keeper.doubt("t1", "read a") == "t2"
    with pytest.raises(ProviderRefusedError, match="does not let our token"):
        keeper.doubt("t2", "read a")  # so soon after a login it is the policy
    given = keeper_of(Vault(again=False, seconds=60))
    with pytest.raises(ProviderRefusedError, match="VAULT_TOKEN"):
        given.doubt("t1", "read a")
    assert "VAULT_TOKEN" in given.fault
    keeper.close()
    given.close()


def test_a_login_that_fails_is_raised_once_the_token_is_gone() -> None:
    """Not before: until then there is a token that works."""
    vault = Vault(again=True, renewable=False, seconds=0.5)
    keeper = keeper_of(vault)

    def fail() -> Lease:
        raise ProviderUnavailableError("away")

    vault.begin = fail  # type: ignore[method-assign]
    lease = keeper._lease
    assert lease is not None
    keeper._lease = lease._replace(began=lease.began - 0.35)
    assert keeper.token() == "t1"

    def raised() -> bool:
        try:
            keeper.token()
        except ProviderUnavailableError:
            return True
        return False

    wait_until(raised, "a token that ended was given out")
    keeper.close()
