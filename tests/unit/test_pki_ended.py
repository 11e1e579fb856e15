"""A CA whose time is over: what is said of it, which command works then, and that a start goes on without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.pki import DAY, START, entry, own_ca
from tests.support.rotation import Installation, authority, certificates, home, issue, rotate, states
from tradewarden.errors import ConfigurationError, ConflictError, UnavailableError
from tradewarden.pki.cas.ending import minute
from tradewarden.pki.cas.rotating import What
from tradewarden.pki.certificate.pem import certificate_pem
from tradewarden.pki.store import Role, Standing

if TYPE_CHECKING:
    from pathlib import Path

    from tradewarden.audit.entry import Entry
    from tradewarden.pki.authority import Authority

__all__ = ["authority", "home"]

DAYS = 400
"""How long a CA of these tests lives that is brought along."""
ISSUED_NOW = "No certificate can be issued"


async def brought(tmp_path: Path, path_length: int | None = None) -> tuple[Installation, Authority]:
    """Give an installation under a CA of the user's own, and its authority."""
    own = own_ca(tmp_path / "own", path_length=path_length, days=DAYS)
    home = await Installation.make(tmp_path / "data", **own)
    return home, await home.start(first=True)


async def good_chain(home: Installation, authority: Authority) -> None:
    """Issue, and hold the chain against the root that is trusted, by the names and signatures alone."""
    leaf, *above = certificates((await issue(authority)).certificate_chain)
    for each in (*above, authority.cas.known.root.certificate):
        leaf.verify_directly_issued_by(each)
        assert each.not_valid_before_utc.timestamp() <= home.clock.time < each.not_valid_after_utc.timestamp()
        leaf = each


async def nothing_is_done_by_itself(authority: Authority) -> None:
    """Hold that no rotation is begun by itself."""
    known, drawn = authority.cas.known, list[str]()

    def draw(what: str) -> Entry:
        drawn.append(what)
        return entry(what)

    await authority.cas.tend(draw)
    assert (authority.cas.known, drawn) == (known, [])


# -- the root ------------------------------------------------------------------------------------


async def test_a_root_that_has_ended_is_replaced_at_once(home: Installation, authority: Authority) -> None:
    """The plain rotation works, without the old key: a new root alone is trusted, and nothing is revoked for it."""
    old = await issue(authority)
    home.file("ca_key.pem").unlink()
    root = authority.cas.known.root
    home.clock.time = root.ends
    with pytest.raises(UnavailableError, match=f"{ISSUED_NOW}.* check the clock, or see what 'tradewarden status'"):
        await issue(authority)
    cas = await rotate(authority, What.ROOT)
    assert states(cas, Role.ROOT) == [Standing.ACTIVE, Standing.RETIRED]
    assert states(cas, Role.CROSS) == []
    assert states(cas, Role.ISSUING)[:2] == [Standing.ACTIVE, Standing.NEXT]
    assert Standing.REVOKED not in states(cas, Role.ISSUING)
    assert not await authority.is_revoked(old.serial_number)
    assert authority.ca_certificate() == home.file("ca_cert.pem").read_text() != certificate_pem(root.row.certificate)
    await good_chain(home, authority)
    assert await authority.cas.warnings() == ()
    again = await home.start()
    await rotate(again)
    await good_chain(home, again)
    await again.close()


async def test_a_root_that_lives_is_not_replaced_at_once(home: Installation, authority: Authority) -> None:
    """Until its last second a root vouches for the next one, and both are trusted."""
    home.clock.time = authority.cas.known.root.ends - 1
    cas = await rotate(authority, What.ROOT)
    assert states(cas, Role.ROOT) == [Standing.ACTIVE, Standing.NEXT]


@pytest.mark.parametrize("compromised", [False, True])
async def test_no_issuing_ca_comes_under_a_root_that_has_ended(
    home: Installation, authority: Authority, *, compromised: bool
) -> None:
    """The refusal names the command that works, with the root's key here or away, and nothing is tried by itself."""
    home.clock.time = authority.cas.known.root.ends
    for _ in range(2):
        with pytest.raises(ConflictError, match=r"root CA ended on 2036-.*: tradewarden ca rotate root$"):
            await rotate(authority, compromised=compromised)
        home.file("ca_key.pem").unlink(missing_ok=True)
    await nothing_is_done_by_itself(authority)


async def test_no_issuing_ca_is_prepared_under_a_root_that_has_ended(home: Installation, authority: Authority) -> None:
    """With a missing next CA and the root's key back after its end, nothing is tried by itself."""
    offline = home.file("ca_key.pem").rename(home.directory / "offline.pem")
    await rotate(authority)
    assert authority.cas.known.next_issuing is None
    home.clock.time = authority.cas.known.root.ends
    offline.rename(home.file("ca_key.pem"))
    await nothing_is_done_by_itself(authority)


async def test_a_root_that_ends_while_another_is_trusted_gives_way(home: Installation, authority: Authority) -> None:
    """The overlap ends by itself then; before that the warning and the refusal name the command that ends it."""
    old = authority.cas.known.root
    home.clock.time = old.ends - 10 * DAY
    await rotate(authority, What.ROOT)
    await authority.cas.tend(entry)
    assert len(authority.trusted_roots()) == 2
    home.clock.time = old.ends
    told = f"ca: the root CA ended on {minute(old.ends)}; end the overlap of two roots: tradewarden ca rotate root --fi"
    assert [each[: len(told)] for each in await authority.cas.warnings()] == [told]
    with pytest.raises(ConflictError, match="--finish"):
        await rotate(authority, What.ROOT)
    await good_chain_under_the_new_root(authority)
    await authority.cas.tend(entry)
    assert len(authority.trusted_roots()) == 1
    assert await authority.cas.warnings() == ()
    await good_chain(home, authority)


async def good_chain_under_the_new_root(authority: Authority) -> None:
    """Issue, and hold the issuing CA against the new root."""
    newest = authority.cas.known.next_root
    assert newest is not None
    chain = certificates((await issue(authority)).certificate_chain)
    chain[1].verify_directly_issued_by(newest.certificate)


# -- the issuing CA ------------------------------------------------------------------------------


@pytest.mark.parametrize("by_itself", [False, True])
async def test_an_issuing_ca_that_has_ended_is_rotated(
    home: Installation, authority: Authority, *, by_itself: bool
) -> None:
    """While its root lives, by command and by itself, when a service was off for years; the warning says it before."""
    old = authority.cas.known.issuing
    home.clock.time = old.ends + DAY
    (warning,) = await authority.cas.warnings()
    assert warning.startswith(f"ca: the issuing CA ended on {minute(old.ends)}: no certificate is issued, and none of")
    assert warning.endswith("rotate it: tradewarden ca rotate issuing")
    if by_itself:
        await authority.cas.tend(entry)
    else:
        await rotate(authority)
    assert authority.cas.known.issuing.fingerprint != old.fingerprint
    await good_chain(home, authority)
    assert not [each for each in await authority.cas.warnings() if "ended" in each]


async def test_an_issuing_ca_that_has_ended_is_rotated_for_a_short_life_too(tmp_path: Path) -> None:
    """Where the root ends soon after it no rotation is worth it before, but any once nothing is issued."""
    home = await Installation.make(tmp_path / "data", **own_ca(tmp_path / "own", days=5 * 365 + 20))
    authority = await home.start(first=True)
    old = authority.cas.known.issuing
    assert 0 < authority.cas.known.root.ends - old.ends < 30 * DAY
    for now, rotated in ((old.ends - 1, False), (old.ends, True)):
        home.clock.time = now
        await authority.cas.tend(entry)
        assert (authority.cas.known.issuing.fingerprint != old.fingerprint) is rotated
    await good_chain(home, authority)
    await authority.close()


# -- warnings ------------------------------------------------------------------------------------


async def test_a_root_that_ended_is_not_said_to_end(home: Installation, authority: Authority) -> None:
    """Before, the day and the command; after, since when, what it means, and the command that works then."""
    root = authority.cas.known.root
    home.clock.time = root.ends - 1
    soon = (await authority.cas.warnings())[0]
    assert soon.startswith("ca: the root CA ends on 2036-")
    assert soon.endswith("; rotate it: tradewarden ca rotate root")
    home.clock.time = root.ends
    (warning,) = await authority.cas.warnings()
    assert warning == (
        f"ca: the root CA ended on {minute(root.ends)}: no certificate is issued, and none below it is accepted any"
        " more; put a new root in its place, which every client has to be given: tradewarden ca rotate root"
    )


async def test_a_root_whose_key_is_away_is_asked_for_before_its_end(home: Installation, authority: Authority) -> None:
    """While it lives a rotation needs its key, so the warning names the file."""
    home.file("ca_key.pem").unlink()
    home.clock.time = authority.cas.known.root.ends - 1
    assert (
        f"bring {home.file('ca_key.pem')} back, then: tradewarden ca rotate root"
        in ((await authority.cas.warnings())[0])
    )


# -- a CA that was brought along -----------------------------------------------------------------


async def test_a_start_goes_on_with_a_brought_ca_that_has_ended(tmp_path: Path) -> None:
    """The settings still name the active root: it starts, warns and issues nothing; a rotation puts ours in place."""
    home, authority = await brought(tmp_path)
    await authority.close()
    home.clock.time = START + DAYS * DAY
    authority = await home.start()
    (warning,) = await authority.cas.warnings()
    assert "root CA ended on" in warning
    with pytest.raises(UnavailableError, match=ISSUED_NOW):
        await issue(authority)
    await rotate(authority, What.ROOT)
    await authority.close()
    authority = await home.start()  # the variables are still set
    (warning,) = await authority.cas.warnings()
    assert warning == (
        f"ca: CA_CERT_PATH ({tmp_path / 'own/own_cert.pem'}) names a CA that is no root here any more;"
        " unset it and CA_KEY_PATH"
    )
    await good_chain(home, authority)
    await authority.close()
    home.policy = (await Installation.make(tmp_path / "other")).policy
    authority = await home.start()
    assert await authority.cas.warnings() == ()
    await authority.close()


async def test_a_replaced_brought_ca_is_told_of_once_it_is_not_trusted(tmp_path: Path) -> None:
    """While two roots are trusted, nobody is asked to unset what names one of them."""
    _, authority = await brought(tmp_path)
    await rotate(authority, What.ROOT)
    assert await authority.cas.warnings() == ()
    await rotate(authority, What.ROOT, finish=True)
    (warning,) = await authority.cas.warnings()
    assert "unset it and CA_KEY_PATH" in warning
    await authority.close()


async def test_another_ca_that_has_ended_is_another_ca(tmp_path: Path) -> None:
    """That the time of ours is not asked for lets no other one in."""
    home, authority = await brought(tmp_path)
    await authority.close()
    own_ca(tmp_path / "own", days=DAYS)
    home.clock.time = START + DAYS * DAY
    with pytest.raises(ConfigurationError, match=r"CA_CERT_PATH .* another CA"):
        await home.start()


@pytest.mark.parametrize("path_length", [0, 1])
@pytest.mark.parametrize("compromised", [False, True])
async def test_a_brought_ca_that_allows_no_root_below_it_is_replaced(
    tmp_path: Path, path_length: int, *, compromised: bool
) -> None:
    """The warning before its end names no command that is refused; after it, or compromised, a new root takes over."""
    home, authority = await brought(tmp_path, path_length)
    old = await issue(authority)
    root = authority.cas.known.root
    home.clock.time = root.ends - DAY
    found = await authority.cas.warnings()
    assert "its path length allows it to certify no other; from that day on 'tradewarden ca rotate root'" in found[0]
    assert not [each for each in found if "rotate it" in each or "rotate that first" in each]
    with pytest.raises(ConflictError, match="path length"):
        await rotate(authority, What.ROOT)
    if not compromised:
        home.clock.time = root.ends
        with pytest.raises(ConflictError, match=r"root CA ended on .*: tradewarden ca rotate root$"):
            await rotate(authority)
    cas = await rotate(authority, What.ROOT, compromised=compromised)
    assert states(cas, Role.ROOT) == [Standing.ACTIVE, Standing.REVOKED if compromised else Standing.RETIRED]
    assert states(cas, Role.ISSUING)[:2] == [Standing.ACTIVE, Standing.NEXT]
    assert await authority.is_revoked(old.serial_number) is compromised
    await good_chain(home, authority)
    await authority.close()
    again = await home.start()
    await good_chain(home, again)
    await again.close()
