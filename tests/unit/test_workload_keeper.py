"""What an identity does when, with a clock that stands where it was put."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.pki import SetClock
from tests.support.workload import Issuer
from tradewarden.errors import TradewardenError, UnavailableError
from tradewarden.workload.contexts import Contexts
from tradewarden.workload.directory import IdentityDirectory
from tradewarden.workload.errors import EnrolmentNeededError
from tradewarden.workload.keeper import LONGEST_SECONDS, Keeper, Periods
from tradewarden.workload.pair import Pair
from tradewarden.workload.renewal import Renewal, Source

ISSUER = Issuer()
LIFE = 3000.0


class Asked(Renewal):
    """A renewal that answers what it is told to, and counts."""

    def __init__(self, directory: IdentityDirectory, clock: SetClock) -> None:
        super().__init__(Source("https://127.0.0.1:1"), directory, clock)
        self.directory = directory
        self.answer: TradewardenError | None = None
        self.asked = 0
        self.roots_asked = 0
        self.token = False
        self.told: str | None = ""

    def obtain(self, held: Pair | None) -> Pair | None:
        """Return a new pair, or raise."""
        self.asked += 1
        if self.answer is not None:
            raise self.answer
        return self.directory.put(ISSUER.pair(life=LIFE))

    def roots(self, held: Pair) -> bytes | None:
        """Return the roots there are."""
        self.roots_asked += 1
        return ISSUER.root.pem

    def has_token(self) -> bool:
        """Tell whether a join token came."""
        return self.token

    def standing(self, held: Pair) -> str | None:
        """Return why the certificate counts no more."""
        return self.told


class Kept:
    """A keeper with everything around it."""

    def __init__(self, path: Path, periods: Periods = Periods(0.0)) -> None:  # noqa: B008 - frozen
        self.clock = SetClock(time.time())
        self.directory = IdentityDirectory(path)
        self.directory.prepare()
        self.renewal = Asked(self.directory, self.clock)
        self.changes: list[Pair] = []
        middle = b"\x80" + b"\0" * 6
        self.keeper = Keeper(
            self.directory, self.renewal, Contexts(), periods, self.clock, lambda _: middle, self.changes.append
        )

    def step(self, seconds: float = 0.0) -> float:
        """Let so much time pass, and do what is due."""
        self.clock.time += seconds
        return self.keeper.step()


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """One that has its first certificate."""
    made = Kept(tmp_path / "identity")
    made.step()
    return made


def test_renews_at_two_thirds_and_not_before(kept: Kept) -> None:
    """Nothing is asked before two thirds of the life are over; then once."""
    assert kept.step(1900) <= LONGEST_SECONDS
    assert kept.renewal.asked == 1
    kept.step(120)
    assert kept.renewal.asked == 2
    assert [each.version for each in kept.changes] == ["000001", "000002"]


def test_looks_again_soon_however_far_the_renewal_is(kept: Kept) -> None:
    """A jump of the clock, or another process's renewal, is seen within seconds."""
    assert kept.step() == LONGEST_SECONDS
    other = kept.directory.put(ISSUER.pair(life=LIFE))
    kept.step(LONGEST_SECONDS)
    assert kept.keeper.pair == other
    assert kept.renewal.asked == 1


def test_backs_off_while_it_fails_and_keeps_what_it_has(kept: Kept) -> None:
    """Each failure waits longer, and the pair stays."""
    before = kept.keeper.pair
    away = kept.renewal.answer = UnavailableError("away")
    kept.step(2010)
    waits = []
    for _ in range(5):
        asked = kept.renewal.asked
        waited = 0.0
        while kept.renewal.asked == asked:
            kept.step(0.25)
            waited += 0.25
        waits.append(waited)
    assert waits == pytest.approx([1.5, 3.0, 6.0, 12.0, 24.0], abs=0.25)
    assert kept.keeper.pair is before
    assert kept.keeper.error is away


def test_success_starts_anew(kept: Kept) -> None:
    """Once it succeeds the failure is forgotten."""
    before = kept.keeper.pair
    kept.renewal.answer = UnavailableError("away")
    kept.step(2010)
    kept.renewal.answer = None
    kept.step(60)
    assert kept.keeper.error is None
    assert kept.keeper.pair is not before


def test_goes_on_after_the_end(kept: Kept) -> None:
    """After the certificate's end it is tried at least once a minute, and the old one is not thrown away."""
    kept.renewal.answer = UnavailableError("away")
    kept.step(2010)
    kept.step(LIFE)
    for _ in range(20):
        kept.step(60)
    assert kept.renewal.asked >= 20
    assert not kept.keeper.usable()
    assert kept.keeper.pair is not None


def test_a_join_token_that_came_is_taken_at_once(kept: Kept) -> None:
    """While a person is waited for, the file is looked at each time, whatever the back-off says."""
    kept.renewal.answer = EnrolmentNeededError("write a token")
    kept.step(2 * LIFE)
    for _ in range(8):
        kept.step(120)
    asked = kept.renewal.asked
    kept.step(1)
    assert kept.renewal.asked == asked
    kept.renewal.token, kept.renewal.answer = True, None
    kept.step(1)
    assert kept.renewal.asked == asked + 1


def test_a_certificate_that_comes_due_is_not_asked_for_in_a_loop(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CA that itself ends soon gives certificates that are due at once: there is a pause between them."""
    monkeypatch.setattr("tradewarden.workload.keeper.renewal_time", lambda *_: 0.0)
    kept.step(1)
    asked = kept.renewal.asked
    for _ in range(10):
        kept.step(0.5)
    assert kept.renewal.asked == asked
    kept.step(LONGEST_SECONDS)
    assert kept.renewal.asked == asked + 1


class Ending:
    """A CA that gives nothing beyond its own end, and backdates by a minute."""

    def __init__(self, kept: Kept, life: float) -> None:
        self.kept = kept
        self.ends = int(kept.clock.time + life) + 0.5
        self.made: list[Pair] = []

    def obtain(self, _: Pair | None) -> Pair:
        """Return a pair that begins a minute before the clock of the test and ends with the CA."""
        now = time.time()
        pair = ISSUER.pair(life=self.ends - now, began=now - self.kept.clock.time + 60)
        self.made.append(self.kept.directory.put(pair))
        return self.made[-1]


def test_renewals_in_vain_stay_few(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to the end of a CA that cannot give a longer life there is a handful of renewals, each told once."""
    ending = Ending(kept, 33.0)
    monkeypatch.setattr(kept.renewal, "obtain", ending.obtain)
    kept.keeper.pair = None
    kept.directory.put(ending.obtain(None))
    kept.changes.clear()
    ending.made.clear()
    while kept.clock.time < ending.ends - 1:
        kept.step(0.5)
    assert 1 <= len(ending.made) <= 4
    assert kept.changes[1:] == ending.made


def test_a_ca_that_was_replaced_is_found_after_renewals_in_vain(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the new CA gives is taken with half of the old life left, and from then on all is as usual."""
    ending = Ending(kept, 600.0)
    with monkeypatch.context() as patched:
        patched.setattr(kept.renewal, "obtain", ending.obtain)
        kept.keeper.pair = ending.obtain(None)
        kept.step(500)
    assert len(ending.made) == 2
    before = kept.renewal.asked
    kept.step(40)
    assert kept.renewal.asked == before
    kept.step(15)
    assert kept.renewal.asked == before + 1
    kept.step(1000)
    assert kept.renewal.asked == before + 1


def test_new_roots_from_another_process_are_no_renewal_in_vain(kept: Kept) -> None:
    """Where another process only replaced the roots, the renewal that is due soon is not put off."""
    kept.step(1990)
    assert kept.keeper.pair is not None
    kept.directory.put(kept.keeper.pair.with_roots(ISSUER.root.pem + Issuer().root.pem))
    kept.step(1)
    asked = kept.renewal.asked
    kept.step(20)
    assert kept.renewal.asked == asked + 1


def test_a_clock_that_jumps_ahead_renews(kept: Kept) -> None:
    """After a suspended night the certificate is renewed at the next look."""
    kept.step(10 * LIFE)
    assert kept.renewal.asked == 2


def test_a_certificate_that_counts_no_more_is_renewed_at_once(kept: Kept) -> None:
    """Within a minute it is learned, and a new one asked for after a moment, long before two thirds of the life."""
    before = kept.keeper.pair
    kept.renewal.told = "it is revoked"
    kept.step(70)
    assert kept.keeper.pair is before
    assert kept.keeper.renews_at() == 0.0
    kept.renewal.told = ""
    assert kept.step(2) <= LONGEST_SECONDS
    assert kept.keeper.pair is not before
    assert kept.renewal.asked == 2
    kept.step(100)
    assert kept.renewal.asked == 2


def test_while_nobody_gives_a_new_one_it_is_tried_every_minute(kept: Kept) -> None:
    """One that counts no more is as good as expired: the waits grow to a minute, and a join token is taken at once."""
    kept.renewal.told = "it is revoked"
    kept.renewal.answer = EnrolmentNeededError("write a token")
    for _ in range(600):
        kept.step(1)
    assert 10 <= kept.renewal.asked <= 20
    kept.renewal.token, kept.renewal.answer = True, None
    asked = kept.renewal.asked
    kept.step(1)
    assert kept.renewal.asked == asked + 1


def test_new_certificates_that_are_not_taken_either_stay_few(kept: Kept) -> None:
    """Where something stands in between that refuses every certificate, they are asked for ever more seldom."""
    kept.renewal.told = "the listener refuses it"
    for _ in range(int(LIFE) // 2):
        kept.step(1)
    assert 5 <= kept.renewal.asked <= 12


def test_an_alarm_that_is_over_leaves_no_error(kept: Kept) -> None:
    """Once the service takes the certificate again, nothing is due and nothing is wrong."""
    kept.renewal.told, kept.renewal.answer = "another root", EnrolmentNeededError("write a token")
    for _ in range(80):
        kept.step(1)
    assert "write a token" in str(kept.keeper.error)
    kept.renewal.told = ""
    kept.step(70)
    assert kept.keeper.error is None
    assert kept.keeper.renews_at() > kept.clock.time


def test_silence_about_the_certificate_changes_nothing(kept: Kept) -> None:
    """When nobody can say whether it counts, what was said last holds."""
    kept.renewal.told = None
    kept.step(70)
    assert kept.renewal.asked == 1
    kept.renewal.told, kept.renewal.answer = "it is revoked", UnavailableError("away")
    kept.step(70)
    kept.renewal.told = None
    kept.step(70)
    asked = kept.renewal.asked
    kept.step(70)
    assert kept.renewal.asked == asked + 1


def test_roots_are_asked_for_once_a_period(tmp_path: Path) -> None:
    """Every period, a tenth earlier or later."""
    kept = Kept(tmp_path / "identity", Periods(100.0))
    for _ in range(100):
        kept.step(10)
    assert 9 <= kept.renewal.roots_asked <= 11
