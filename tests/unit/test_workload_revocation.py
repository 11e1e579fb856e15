"""Revocation lists that peers are checked against: all that the service has, and never an older one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.standin_ca import StandIn, authority, stand_in
from tests.support.workload import Issuer
from tradewarden.errors import IntegrityError, StorageUnavailableError
from tradewarden.workload.directory import IdentityDirectory
from tradewarden.workload.door import Fetched
from tradewarden.workload.revocation import Revocation

PAIR = Issuer().pair()
OTHER = authority("another issuing CA", authority("root"))


def fresh(pem: bytes, tag: str = "") -> Fetched:
    """Return lists as they are fetched."""
    return Fetched(pem, tag, fresh=True)


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


def test_all_lists_of_the_service_are_held(directory: IdentityDirectory, ca: StandIn) -> None:
    """Of the CA that issues now and of others, and after a restart too."""
    lists = Revocation(directory)
    given = ca.crl() + ca.crl(OTHER)
    assert lists.refresh(PAIR, lambda *_: fresh(given))
    assert lists.pem == given
    again = Revocation(directory)
    again.load()
    assert again.pem == given


def test_lists_that_are_held_are_not_sent_again(directory: IdentityDirectory, ca: StandIn) -> None:
    """They are asked for by their tag, and an answer without a content changes nothing."""
    given, tags = ca.crl(), list[str]()

    def fetch(_pair: object, tag: str) -> Fetched:
        tags.append(tag)
        return Fetched(b"", tag, fresh=False) if tag else fresh(given, '"one"')

    lists = Revocation(directory)
    assert lists.refresh(PAIR, fetch)
    assert not lists.refresh(PAIR, fetch)
    assert tags == ["", '"one"']
    assert lists.pem == given


def test_an_older_list_is_not_taken(directory: IdentityDirectory, ca: StandIn) -> None:
    """A list from before cannot bring a revoked certificate back; one of another CA is none from before."""
    old, new, other = ca.crl(), ca.crl(), ca.crl(OTHER)
    lists = Revocation(directory)
    assert lists.refresh(PAIR, lambda *_: fresh(new))
    assert not lists.refresh(PAIR, lambda *_: fresh(old))
    assert not lists.refresh(PAIR, lambda *_: fresh(new + old))
    assert lists.refresh(PAIR, lambda *_: fresh(old + other))
    assert lists.pem == new + other


def test_a_list_that_is_no_more_is_forgotten(directory: IdentityDirectory, ca: StandIn) -> None:
    """The list of a CA that the service has let go leaves disk and memory; without any list everybody is refused."""
    lists, other = Revocation(directory), ca.crl(OTHER)
    lists.refresh(PAIR, lambda *_: fresh(ca.crl() + other))
    assert lists.refresh(PAIR, lambda *_: fresh(other))
    assert lists.pem == directory.crls() == other
    assert lists.refresh(PAIR, lambda *_: None)
    assert lists.pem == directory.crls() == b""


def test_a_roots_list_is_kept_while_the_root_is_trusted(directory: IdentityDirectory, ca: StandIn) -> None:
    """An answer without it does not make the CAs forgotten that it names; a root that is let go takes it along."""
    issuer = Issuer()
    lists, of_root = Revocation(directory), ca.crl(issuer.root)
    lists.refresh(issuer.pair(), lambda *_: fresh(ca.crl() + of_root))
    other = ca.crl(OTHER)
    assert lists.refresh(issuer.pair(), lambda *_: fresh(other))
    assert lists.pem == directory.crls() == of_root + other
    assert lists.refresh(issuer.pair(), lambda *_: None)
    assert lists.pem == of_root
    assert lists.refresh(issuer.pair().with_roots(authority("root 2").pem), lambda *_: None)
    assert lists.pem == b""


def test_damaged_lists_on_disk_let_nobody_in_and_stop_nothing(directory: IdentityDirectory, ca: StandIn) -> None:
    """They are left out, and fetched again."""
    whole = ca.crl()
    for damaged in (b"nonsense", whole[:200] + b"!" + whole[200:]):
        directory.put_crls(damaged)
        again = Revocation(directory)
        again.load()
        assert again.pem == b""
        assert again.refresh(PAIR, lambda *_: fresh(whole))
        assert again.pem == whole


def test_a_full_disk_does_not_keep_lists_from_being_used(
    directory: IdentityDirectory, ca: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A revocation counts although it could not be written down."""

    def full(*_: object) -> None:
        raise StorageUnavailableError("no space left")

    monkeypatch.setattr(directory, "put_crls", full)
    lists = Revocation(directory)
    assert lists.refresh(PAIR, lambda *_: fresh(ca.crl()))
    assert lists.pem


@pytest.mark.parametrize("answer", [b"nonsense", b"", b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"])
def test_what_is_no_list_replaces_nothing(directory: IdentityDirectory, ca: StandIn, answer: bytes) -> None:
    """An answer that cannot be read is an error, and the lists stay."""
    lists = Revocation(directory)
    lists.refresh(PAIR, lambda *_: fresh(ca.crl()))
    held = lists.pem
    with pytest.raises(IntegrityError):
        lists.refresh(PAIR, lambda *_: fresh(answer))
    assert lists.pem == held
