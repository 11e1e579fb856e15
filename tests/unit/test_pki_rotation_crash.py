"""A process that is killed at any instant of a founding or rotation leaves an installation that starts and rotates."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import pytest

from tests.support.rotation import Installation, issue, openssl_accepts, rotate
from tradewarden.pki.cas.rotating import What

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from tradewarden.pki.authority import Authority
    from tradewarden.pki.store import AuthorityRow

P = ParamSpec("P")
T = TypeVar("T")
_STEPS = ("fsync", "link", "replace", "unlink", "rmdir", "mkdir")
_MOST = 200


class KilledError(Exception):
    """Stands for SIGKILL: nothing that is written after it happens."""


class Axe:
    """Kills the process at the nth thing that it does to the disk or the database."""

    def __init__(self, patch: pytest.MonkeyPatch, home: Installation, after: int) -> None:
        self._left = after
        self.fell = False
        for name in _STEPS:
            patch.setattr(os, name, self._guarded(getattr(os, name)))
        change = home.store.change_authorities

        async def guarded(seen: Sequence[AuthorityRow], rows: Sequence[AuthorityRow], entry: bytes) -> None:
            self._step()
            await change(seen, rows, entry)
            self._step()

        patch.setattr(home.store, "change_authorities", guarded)

    def _guarded(self, real: Callable[P, T]) -> Callable[P, T]:
        def step(*args: P.args, **options: P.kwargs) -> T:
            self._step()
            return real(*args, **options)

        return step

    def _step(self) -> None:
        if self._left == 0:
            self.fell = True
            raise KilledError
        self._left -= 1


async def _founded(home: Installation) -> None:
    await (await home.start(first=True)).close()


async def _nothing(home: Installation) -> None:
    del home


async def _overlapping(home: Installation) -> None:
    authority = await home.start(first=True)
    await rotate(authority, What.ROOT)
    await authority.close()


async def _without_root_key(home: Installation) -> None:
    await _founded(home)
    home.file("ca_key.pem").rename(home.directory / "offline.pem")


async def _found(home: Installation) -> None:
    await home.start(first=True)


def _rotating(what: What, **how: bool) -> Callable[[Installation], Awaitable[None]]:
    async def act(home: Installation) -> None:
        await rotate(await home.start(), what, **how)

    return act


@pytest.mark.parametrize(
    ("before", "act"),
    [
        (_nothing, _found),
        (_founded, _rotating(What.ISSUING)),
        (_without_root_key, _rotating(What.ISSUING)),
        (_founded, _rotating(What.ROOT)),
        (_overlapping, _rotating(What.ROOT, finish=True)),
        (_founded, _rotating(What.ROOT, compromised=True)),
    ],
    ids=["founding", "issuing", "issuing-offline", "root", "finish", "compromised"],
)
async def test_killed_at_any_instant_it_starts_again(
    tmp_path: Path, before: Callable[[Installation], Awaitable[None]], act: Callable[[Installation], Awaitable[None]]
) -> None:
    """Whatever stands then belongs together, every key is where its row says, and the next rotation works."""
    prepared = await Installation.make(tmp_path / "prepared")
    await before(prepared)
    for step in range(_MOST):
        home = prepared.copied(tmp_path / f"data-{step}")
        with pytest.MonkeyPatch.context() as patch:
            axe = Axe(patch, home, step)
            try:
                await act(home)
            except KilledError:
                assert axe.fell
        await _stands(home)
        if not axe.fell:
            assert step > 2
            return
    pytest.fail("it never came to its end")


async def _stands(home: Installation) -> None:
    authority = await home.start(first=True)
    _keys_are_there(home, authority)
    made = await issue(authority)
    for _ in range(2):
        assert not (home.directory / "ca.pending").exists()
        assert authority.cas.known.next_issuing is not None or not home.file("ca_key.pem").exists()
        if authority.cas.known.next_issuing is not None:
            await rotate(authority)
    assert not await authority.is_revoked(made.serial_number)
    _keys_are_there(home, authority)
    chain = (await issue(authority)).certificate_chain
    if authority.cas.known.next_root is not None:
        await rotate(authority, What.ROOT, finish=True)
    assert openssl_accepts(home.directory, chain, authority.ca_certificate())
    await authority.close()


def _keys_are_there(home: Installation, authority: Authority) -> None:
    custody, offline = authority.cas._custody, (home.directory / "offline.pem").exists()
    for ca in authority.cas.known.all:
        if ca.row.key and not (offline and ca is authority.cas.known.root):
            custody.keys.load(ca.row.key, ca.certificate)
