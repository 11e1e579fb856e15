"""Revocation lists that peers are checked against: which are fetched, and never an older one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.standin_ca import StandIn, stand_in
from tests.support.workload import Issuer
from tradewarden.errors import IntegrityError, StorageUnavailableError
from tradewarden.workload.directory import IdentityDirectory
from tradewarden.workload.door import Fetched
from tradewarden.workload.pair import fingerprint
from tradewarden.workload.revocation import Revocation

ISSUER = Issuer()
PAIR = ISSUER.pair()
OWN = f"{fingerprint(ISSUER.issuing.certificate)[:20]}.crl"


def fresh(der: bytes, tag: str = "") -> Fetched:
    """Return a list as it is fetched."""
    return Fetched(der, tag, fresh=True)


@pytest.fixture
def directory(tmp_path: Path) -> IdentityDirectory:
    """An empty one."""
    made = IdentityDirectory(tmp_path / "identity")
    made.prepare()
    return made


@pytest.fixture
def ca(tmp_path: Path) -> Iterator[StandIn]:
    """What signs lists."""
    yield from stand_in(tmp_path)


def test_fetches_those_of_the_active_the_next_and_its_own_ca(directory: IdentityDirectory, ca: StandIn) -> None:
    """The three lists are asked for, kept, and there after a restart."""
    asked: list[str] = []

    def fetch(_pair: object, name: str, _tag: str) -> Fetched:
        asked.append(name)
        return fresh(ca.crl())

    lists = Revocation(directory)
    assert lists.refresh(PAIR, fetch)
    assert sorted(asked) == ["", OWN, "next.crl"]
    again = Revocation(directory)
    again.load()
    assert sorted(again.pem) == sorted(lists.pem)
    assert again.pem.count(b"BEGIN X509 CRL") == 3


def test_a_list_that_is_held_is_not_sent_again(directory: IdentityDirectory, ca: StandIn) -> None:
    """It is asked for by its tag, and an answer without a content changes nothing."""
    der = ca.crl()
    tags: list[str] = []

    def fetch(_pair: object, _name: str, tag: str) -> Fetched:
        tags.append(tag)
        return Fetched(b"", tag, fresh=False) if tag else fresh(der, '"one"')

    lists = Revocation(directory)
    assert lists.refresh(PAIR, fetch)
    held = lists.pem
    assert held.count(b"BEGIN X509 CRL") == 1
    assert not lists.refresh(PAIR, fetch)
    assert tags == ["", "", "", '"one"', '"one"', '"one"']
    assert lists.pem == held


def test_an_older_list_is_not_taken(directory: IdentityDirectory, ca: StandIn) -> None:
    """A list from before cannot bring a revoked certificate back."""
    old, new = ca.crl(), ca.crl()
    lists = Revocation(directory)
    assert lists.refresh(PAIR, lambda *_: fresh(new))
    held = lists.pem
    assert not lists.refresh(PAIR, lambda *_: fresh(old))
    assert not lists.refresh(PAIR, lambda *_: fresh(new))
    assert lists.pem == held


def test_a_list_that_is_no_more_is_forgotten(directory: IdentityDirectory, ca: StandIn) -> None:
    """The list of a CA that the service has let go leaves disk and memory; without any list everybody is refused."""
    lists = Revocation(directory)
    lists.refresh(PAIR, lambda *_: fresh(ca.crl()))
    assert lists.refresh(PAIR, lambda *_: None)
    assert lists.pem == b""
    assert directory.crls() == {}


def test_a_damaged_list_on_disk_lets_nobody_in_and_stops_nothing(directory: IdentityDirectory, ca: StandIn) -> None:
    """It is left out, and fetched again."""
    lists = Revocation(directory)
    lists.refresh(PAIR, lambda *_: fresh(ca.crl()))
    directory.put_crl("active.crl", b"nonsense")
    again = Revocation(directory)
    again.load()
    assert again.pem.count(b"BEGIN X509 CRL") == 2
    assert again.refresh(PAIR, lambda *_: fresh(ca.crl()))
    assert again.pem.count(b"BEGIN X509 CRL") == 3


def test_a_full_disk_does_not_keep_a_list_from_being_used(
    directory: IdentityDirectory, ca: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A revocation counts although it could not be written down."""

    def full(*_: object) -> None:
        raise StorageUnavailableError("no space left")

    monkeypatch.setattr(directory, "put_crl", full)
    lists = Revocation(directory)
    assert lists.refresh(PAIR, lambda *_: fresh(ca.crl()))
    assert lists.pem


def test_what_is_no_list_replaces_nothing(directory: IdentityDirectory, ca: StandIn) -> None:
    """An answer that cannot be read is an error, and the list stays."""
    lists = Revocation(directory)
    lists.refresh(PAIR, lambda *_: fresh(ca.crl()))
    held = lists.pem
    with pytest.raises(IntegrityError):
        lists.refresh(PAIR, lambda *_: fresh(b"nonsense"))
    assert lists.pem == held
