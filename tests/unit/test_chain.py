"""The chain of providers: who is asked when, what is given, what is kept, what is said when there is nothing."""

from __future__ import annotations

import copy
import json
import pickle
import traceback
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.support.chain import Bench, ToldProvider, broken, refused, unreachable
from tradewarden.errors import (
    AuditUnavailableError,
    ConfigurationError,
    DecryptionError,
    IntegrityError,
    InvalidInputError,
    NameNotHeldError,
    ProviderRefusedError,
    ProviderUnavailableError,
    SecretNotFoundError,
    TradewardenError,
    UnavailableError,
)
from tradewarden.secrets.chain.chain import Chain
from tradewarden.secrets.chain.decision import Said, Step, next_step
from tradewarden.secrets.chain.policy import ChainPolicy
from tradewarden.secrets.naming import Kind

if TYPE_CHECKING:
    from tradewarden.secrets.providers.provider import Content

VALUE = "hunter2-is-the-value"
NAME, KEY = "database_credentials", "jwt_secret"


def two() -> tuple[ToldProvider, ToldProvider, Bench]:
    """Return an empty provider, one that has both a credential and a key, and a chain of the two."""
    first, second = ToldProvider("vault"), ToldProvider("environment", {NAME: {"password": VALUE}, KEY: VALUE})
    return first, second, Bench(first, second)


@pytest.mark.parametrize(
    ("said", "kind", "last_known", "step"),
    [
        (Said.FOUND, Kind.KEY, False, Step.GIVE),
        (Said.NOT_FOUND, Kind.KEY, True, Step.GO_ON),
        (Said.NOT_FOUND, Kind.CREDENTIAL, True, Step.GO_ON),
        (Said.REFUSED, Kind.CREDENTIAL, True, Step.FAIL),
        (Said.BROKEN, Kind.CREDENTIAL, True, Step.FAIL),
        (Said.UNREACHABLE, Kind.CREDENTIAL, True, Step.GIVE_LAST_KNOWN),
        (Said.UNREACHABLE, Kind.KEY, True, Step.GIVE_LAST_KNOWN),
        (Said.UNREACHABLE, Kind.CREDENTIAL, False, Step.GO_ON),
        (Said.UNREACHABLE, Kind.KEY, False, Step.FAIL),
    ],
)
def test_what_comes_next(said: Said, kind: Kind, last_known: bool, step: Step) -> None:
    """Decision 23, row by row."""
    assert next_step(said, kind, last_known=last_known) is step


def test_the_first_provider_that_has_it_gives_it() -> None:
    """A name that the first has comes from the first, one that it has not from the second."""
    first, _, bench = two()
    first.held["slack_webhook"] = "url"
    assert bench.chain.get("slack_webhook").provider == "vault"
    answer = bench.chain.get(NAME)
    assert (answer.provider, answer.version, answer.content) == ("environment", "1", {"password": VALUE})
    assert (answer.read_at, answer.stale, answer.stale_since) == (bench.clock.now(), False, None)


def test_not_found_is_said_when_every_provider_said_so() -> None:
    """The message is the documented one; the reason names each provider."""
    _, _, bench = two()
    with pytest.raises(SecretNotFoundError) as caught:
        bench.chain.get("missing")
    assert str(caught.value) == "Secret 'missing' not found"
    assert caught.value.reason == "vault: not found; environment: not found"


@pytest.mark.parametrize(("failing", "expected"), [(refused, ProviderRefusedError), (broken, DecryptionError)])
@pytest.mark.parametrize("name", [NAME, KEY])
def test_refused_and_damaged_never_fall_through(failing: object, expected: type[TradewardenError], name: str) -> None:
    """The second provider has the secret and is not asked."""
    first, second, bench = two()
    first.failing = failing  # type: ignore[assignment]
    with pytest.raises(expected):
        bench.chain.get(name)
    assert second.calls == []


def test_a_credential_falls_through_to_the_next_when_one_does_not_answer() -> None:
    """The stand-in's answer names it, is recorded as such, and the first is asked again soon."""
    first, second, bench = two()
    first.failing = unreachable
    assert bench.chain.get(NAME).provider == "environment"
    assert bench.notes.outcomes(NAME) == ["environment fell_through"]
    assert "nobody answered" in bench.notes.all[-1].reason
    first.failing = None
    first.held[NAME] = {"password": "from vault"}
    bench.later(bench.chain.policy.retry_seconds)
    bench.chain.get(NAME)
    assert bench.chain.get(NAME).provider == "vault"
    assert len(second.calls) == 1


def test_a_key_is_never_taken_from_another_provider_when_one_does_not_answer() -> None:
    """The error says who did not answer and why nobody else is asked."""
    first, second, bench = two()
    first.failing = unreachable
    with pytest.raises(ProviderUnavailableError) as caught:
        bench.chain.get(KEY)
    assert str(caught.value) == (
        "Secret 'jwt_secret' cannot be read now. vault: unreachable (nobody answered within 2 s). "
        "What signs or encrypts is taken from no other provider."
    )
    assert second.calls == []


def test_unreachable_along_the_way_is_not_called_missing() -> None:
    """When one did not answer and the rest have nothing, nobody knows whether the secret exists."""
    first, second, bench = two()
    first.failing = unreachable
    second.held.clear()
    with pytest.raises(ProviderUnavailableError) as caught:
        bench.chain.get(NAME)
    assert "vault: unreachable (nobody answered within 2 s); environment: not found" in str(caught.value)
    assert bench.notes.outcomes(NAME) == ["vault unreachable"]


def test_a_value_is_kept_for_its_time() -> None:
    """Within its time to live the provider is asked once; afterwards again, and the caller gets what is new."""
    _, second, bench = two()
    bench.chain.get(NAME)
    bench.later(239)
    second.held[NAME] = {"password": "new"}
    assert bench.chain.get(NAME).content == {"password": VALUE}
    assert second.calls == [f"get {NAME}"]
    bench.later(61)
    assert bench.chain.get(NAME).content == {"password": "new"}


def test_a_value_is_read_again_ahead_of_its_end_without_making_anyone_wait() -> None:
    """From 0.8 of its time on a read gives what is kept, and one reading is under way behind it."""
    _, second, bench = two()
    bench.chain.get(NAME)
    second.held[NAME] = {"password": "new"}
    bench.later(240)
    bench.threads.at_once = False
    assert [bench.chain.get(NAME).content for _ in range(3)] == [{"password": VALUE}] * 3
    assert (len(second.calls), len(bench.threads.waiting)) == (1, 1)
    bench.threads.work()
    assert bench.chain.get(NAME).content == {"password": "new"}
    assert bench.notes.outcomes(NAME)[-1] == "environment changed"


def test_a_missing_name_is_remembered_for_a_little_while() -> None:
    """Asking again at once costs no provider call; soon after it does."""
    first, second, bench = two()
    for _ in range(3):
        with pytest.raises(SecretNotFoundError, match="Secret 'missing' not found"):
            bench.chain.get("missing")
    assert len(second.calls) == 1
    bench.later(bench.chain.policy.negative_seconds)
    first.held["missing"] = "here now"
    assert bench.chain.get("missing").content == "here now"


@pytest.mark.parametrize("name", [NAME, KEY])
def test_the_last_known_value_is_given_through_an_outage_and_marked(name: str) -> None:
    """Past its time to live it is stale since the first failure, until the bound, counted from its last reading."""
    first, _, bench = two()
    first.held[name] = "from vault"
    read_at = bench.clock.now()
    bench.chain.get(name)
    first.failing = unreachable
    bench.later(300)
    answer = bench.chain.get(name)
    assert (answer.content, answer.provider, answer.stale) == ("from vault", "vault", True)
    assert (answer.read_at, answer.stale_since) == (read_at, read_at + 300)
    bench.later(3299)
    assert bench.chain.get(name).stale
    bench.later(1)
    if name == KEY:
        with pytest.raises(ProviderUnavailableError):
            bench.chain.get(name)
    else:
        assert bench.chain.get(name).provider == "environment"
    assert "from vault" not in [a.content for a in [bench.chain._readings.cache.value(name)] if a]


def test_without_a_bound_nothing_stale_is_given() -> None:
    """`stale_seconds` 0: a value is given for its time to live, through an outage too, and not a second longer."""
    provider = ToldProvider("vault", {KEY: "x"})
    bench = Bench(provider, policy=ChainPolicy(stale_seconds=0))
    bench.chain.get(KEY)
    provider.failing = unreachable
    bench.later(299)
    bench.chain.run_due()
    assert not bench.chain.get(KEY).stale
    assert not bench.chain.get(KEY).stale
    bench.later(1)
    with pytest.raises(ProviderUnavailableError):
        bench.chain.get(KEY)


def test_an_outage_noticed_ahead_makes_nobody_wait_at_the_end_of_the_time() -> None:
    """When the reading ahead failed, the value turns stale at its end and the provider is tried behind it."""
    first, _, bench = two()
    first.held[NAME] = "from vault"
    bench.chain.get(NAME)
    first.failing = unreachable
    bench.later(240)
    assert not bench.chain.get(NAME).stale
    bench.later(50)
    assert not bench.chain.get(NAME).stale
    bench.threads.at_once = False
    bench.later(10)
    answer = bench.chain.get(NAME)
    assert (answer.content, answer.stale, answer.stale_since) == ("from vault", True, bench.clock.now() - 60)
    first.failing = None
    bench.threads.work()
    assert not bench.chain.get(NAME).stale


def test_who_asks_long_after_the_last_try_is_not_given_the_old_value() -> None:
    """The provider may be back, and the secret may have been rotated there: it is asked first."""
    first, _, bench = two()
    first.held[NAME] = "old"
    bench.chain.get(NAME)
    first.failing = unreachable
    bench.later(300)
    assert bench.chain.get(NAME).stale
    first.failing, first.held[NAME] = None, "new"
    bench.later(40)
    answer = bench.chain.get(NAME)
    assert (answer.content, answer.stale) == ("new", False)


def test_damage_found_while_reading_is_no_missing_secret() -> None:
    """What a place cannot make sense of, or does not take, ends the walk: no other place stands in."""
    first, second, bench = two()
    second.held[NAME] = second.held[KEY] = "of another place"
    for error in (IntegrityError("it names a field twice"), InvalidInputError("it does not take this (400)")):
        first.failing = lambda _, error=error: error
        for name in (NAME, KEY):
            with pytest.raises(type(error), match=str(error)[:20]):
                bench.chain.get(name)


@pytest.mark.parametrize("name", ["jwt-secret", "jwt.secret", "JWT SECRET", "jwt/secret", "bots/Signing-Key"])
def test_a_key_is_a_key_however_it_is_spelt(name: str) -> None:
    """What signs or encrypts is never taken from another provider in an outage."""
    first, second, bench = two()
    second.held[name] = "x"
    first.failing = unreachable
    with pytest.raises(ProviderUnavailableError):
        bench.chain.get(name)


def test_stale_answers_are_all_counted() -> None:
    """Each answer of the last known value is in the audit, by number."""
    first, _, bench = two()
    first.held[NAME] = "from vault"
    bench.chain.get(NAME)
    first.failing = unreachable
    bench.later(300)
    for _ in range(5):
        assert bench.chain.get(NAME).stale
    bench.chain.flush()
    assert bench.notes.outcomes(NAME).count("vault stale") == 5


def test_what_the_provider_deleted_is_not_given_when_a_later_one_is_down() -> None:
    """A last known value stands in for its own provider, not after that one said that it has none."""
    first, second, bench = two()
    first.held[NAME] = "from vault"
    bench.chain.get(NAME)
    del first.held[NAME]
    second.failing = unreachable
    bench.later(300)
    with pytest.raises(ProviderUnavailableError, match="vault: not found; environment: unreachable"):
        bench.chain.get(NAME)


@pytest.mark.parametrize("failing", [refused, broken])
def test_a_value_that_may_not_be_read_any_more_is_dropped(failing: object) -> None:
    """A refusal or damage found when reading ahead ends what was kept, at once."""
    first, _, bench = two()
    first.held[NAME] = "from vault"
    bench.chain.get(NAME)
    first.failing = failing  # type: ignore[assignment]
    bench.later(240)
    bench.chain.get(NAME)
    with pytest.raises((ProviderRefusedError, IntegrityError)):
        bench.chain.get(NAME)


def test_a_dead_provider_is_left_alone_and_tried_by_one() -> None:
    """After three unanswered calls it is not asked until the breaker's time is over; then it is, once."""
    first, _, bench = two()
    first.failing = unreachable
    for number in range(6):
        with pytest.raises(ProviderUnavailableError):
            bench.chain.get(f"private_key/{number}/jwt_secret")
    assert len(first.calls) == 3
    assert bench.chain.status()[0].breaker.value == "open"
    with pytest.raises(ProviderUnavailableError, match="did not answer before, and is tried again in 15 s"):
        bench.chain.get(KEY)
    bench.later(15)
    assert bench.chain.status()[0].breaker.value == "half_open"
    for _ in range(3):
        with pytest.raises(ProviderUnavailableError):
            bench.chain.get(KEY)
    assert len(first.calls) == 4
    first.failing = None
    bench.later(15)
    assert bench.chain.get(KEY).provider == "environment"
    status = bench.chain.status()[0]
    assert (status.breaker.value, status.last_outcome, status.last_success) == (
        "closed",
        "not_found",
        bench.clock.now(),
    )


def test_a_refusal_is_an_answer() -> None:
    """A provider that says no is reachable: its breaker stays closed, and its status says refused."""
    first, _, bench = two()
    first.failing = refused
    for _ in range(5):
        with pytest.raises(ProviderRefusedError):
            bench.chain.get(NAME)
    status = bench.chain.status()[0]
    assert (len(first.calls), status.breaker.value, status.last_outcome) == (5, "closed", "refused")
    assert (status.last_answer, status.last_success) == (bench.clock.now(), None)


def test_get_many_asks_each_provider_once() -> None:
    """What the first has not, the second is asked for; what is missing is left out; then all is kept."""
    first, second, bench = two()
    first.held["slack_webhook"] = "url"
    found = bench.chain.get_many([NAME, "slack_webhook", "missing"])
    assert {name: answer.provider for name, answer in found.items()} == {NAME: "environment", "slack_webhook": "vault"}
    assert first.calls == [f"get_many {NAME},slack_webhook,missing"]
    assert second.calls == [f"get_many {NAME},missing"]
    bench.chain.get_many([NAME, "slack_webhook"])
    assert (len(first.calls), len(second.calls)) == (1, 1)


def test_get_many_finds_out_which_name_is_refused() -> None:
    """One refused name in a batch is an error for that one; the others are read one by one."""
    first, _, bench = two()
    first.held |= {"a": "1", "b": "2"}
    first.failing = lambda name: refused(name) if "b" in name else SecretNotFoundError(name)
    with pytest.raises(ProviderRefusedError, match="'b'"):
        bench.chain.get_many(["a", "b"])
    assert first.calls == ["get_many a,b", "get a", "get b"]


def test_a_place_that_cannot_hold_a_name_has_no_such_secret() -> None:
    """Variables take no paths: the next provider is asked, alone and in a batch; a write there stays an error."""
    first, second, bench = two()
    second.held["api_keys/binance"] = "k"
    first.failing = lambda name: NameNotHeldError("no paths") if "/" in name else SecretNotFoundError(name)
    assert bench.chain.get("api_keys/binance").provider == "environment"
    assert sorted(bench.chain.get_many(["api_keys/binance", NAME, "a/b"])) == ["api_keys/binance", NAME]
    with pytest.raises(InvalidInputError):
        bench.chain.put("a/b", "x")
    assert bench.notes.outcomes("a/b")[-1] == "vault failed"


def test_get_many_in_an_outage_decides_name_by_name() -> None:
    """A credential falls through, a key does not, in one call."""
    first, _, bench = two()
    first.failing = unreachable
    assert bench.chain.get_many([NAME])[NAME].provider == "environment"
    with pytest.raises(ProviderUnavailableError, match="jwt_secret"):
        bench.chain.get_many([KEY, "other"])


def test_names_are_those_of_all_and_never_half() -> None:
    """A listing joins all providers; one that does not answer makes it an error."""
    first, _, bench = two()
    first.held |= {"api/a": "1", "api/b": "2"}
    assert bench.chain.names() == ["api/a", "api/b", NAME, KEY]
    assert bench.chain.names("api/") == ["api/a", "api/b"]
    first.failing = unreachable
    with pytest.raises(ProviderUnavailableError):
        bench.chain.names()


def test_a_write_goes_to_the_first_provider_and_shows_at_once() -> None:
    """What was kept of the name is forgotten, a missing one too; the other provider is not touched."""
    first, second, bench = two()
    bench.chain.get(NAME)
    assert bench.chain.put(NAME, "new") == "2"
    assert bench.chain.get(NAME).content == "new"
    assert second.held[NAME] == {"password": VALUE}
    bench.chain.delete(NAME)
    assert bench.chain.get(NAME).provider == "environment"
    with pytest.raises(SecretNotFoundError):
        bench.chain.delete(NAME)
    assert [(a.action.value, a.outcome.value) for a in bench.notes.all if a.action.value != "read"] == [
        ("write", "done"),
        ("delete", "done"),
        ("delete", "not_found"),
    ]
    assert first.calls.count(f"delete {NAME}") == 2


def test_a_write_that_fails_is_an_error_and_goes_nowhere_else() -> None:
    """An unreachable first provider is not replaced by the second; what was kept is forgotten all the same."""
    first, second, bench = two()
    bench.chain.get(NAME)
    first.failing = unreachable
    with pytest.raises(ProviderUnavailableError):
        bench.chain.put(NAME, "new")
    assert "put" not in " ".join(second.calls)
    bench.chain.get(NAME)
    assert len(second.calls) == 2


def test_a_reading_that_a_write_overtook_is_not_kept() -> None:
    """Who asked before the write may get the old value; nobody gets it afterwards."""
    first, _, bench = two()
    first.held[NAME] = "old"
    bench.threads.at_once = False
    flight = bench.chain._readings.begin([NAME])[NAME]
    bench.chain.forget(NAME)
    bench.threads.work()
    assert flight.wait().content == "old"  # type: ignore[union-attr]
    first.held[NAME] = "new"
    bench.threads.at_once = True
    assert bench.chain.get(NAME).content == "new"


def test_forget_asks_anew() -> None:
    """One name, or all."""
    _, second, bench = two()
    bench.chain.get(NAME)
    bench.chain.get(KEY)
    bench.chain.forget(NAME)
    bench.chain.get(NAME)
    bench.chain.get(KEY)
    assert len(second.calls) == 3
    bench.chain.forget()
    bench.chain.get(NAME)
    bench.chain.get(KEY)
    assert len(second.calls) == 5


def test_what_is_kept_is_bounded() -> None:
    """The value that was read longest ago leaves first; a watched one stays; missing names are bounded too."""
    provider = ToldProvider("vault", {f"n{i}": "x" for i in range(5)})
    bench = Bench(provider, policy=ChainPolicy(max_entries=3))
    with bench.chain.subscribe("n0", lambda _: None):
        for number in range(5):
            bench.chain.get(f"n{number}")
        assert list(bench.chain._readings.cache._slots) == ["n0", "n3", "n4"]
    for number in range(10):
        with pytest.raises(SecretNotFoundError):
            bench.chain.get(f"missing{number}")
    assert len(bench.chain._readings.cache._missing) == 3


def test_no_value_stays_in_memory_past_its_bound() -> None:
    """The time-keeper drops what nobody may be given any more."""
    _, _, bench = two()
    bench.chain.get(NAME)
    bench.later(3600)
    bench.chain.run_due()
    assert not bench.chain._readings.cache.names()
    assert bench.threads.keeps_time


def test_an_answer_shows_its_value_to_nobody_who_does_not_ask() -> None:
    """Not in repr, str, format, JSON, pickles or copies; only in `content`."""
    _, _, bench = two()
    answer = bench.chain.get(NAME)
    assert VALUE not in f"{answer!r} {answer} {[answer]} {bench.chain!r} {bench.notes.all}"
    with pytest.raises(TypeError):
        pickle.dumps(answer)
    with pytest.raises(TypeError):
        json.dumps(answer)
    with pytest.raises(TypeError):
        msgspec.json.encode(answer)
    with pytest.raises(AttributeError):
        answer.version = "3"
    assert copy.deepcopy(answer) is answer


def test_what_a_caller_does_to_an_answer_reaches_nobody_else() -> None:
    """Content is the caller's own, however deep."""
    provider = ToldProvider("vault", {"a": {"hosts": ["one"], "tls": {"on": True}}})
    bench = Bench(provider)
    mine = bench.chain.get("a").content
    assert isinstance(mine, dict)
    mine["hosts"].append("evil")  # type: ignore[attr-defined]
    mine["tls"] = None
    provider.held["a"]["hosts"].clear()  # type: ignore[attr-defined, index]
    assert bench.chain.get("a").content == {"hosts": ["one"], "tls": {"on": True}}


def test_a_foreign_exception_does_not_leave_and_does_not_fall_through() -> None:
    """What a provider must not raise may quote a value: it becomes an error of ours without its text and frames."""
    first, second, bench = two()
    first.failing = lambda _: ValueError(f"cannot parse {VALUE}")  # type: ignore[assignment, return-value]
    with pytest.raises(IntegrityError) as caught:
        bench.chain.get(NAME)
    shown = "".join(traceback.format_exception(caught.value))
    assert VALUE not in shown
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert second.calls == []


def test_a_name_that_is_no_path_reaches_no_provider() -> None:
    """Names are checked before anything is asked."""
    first, _, bench = two()
    for name in ("", "../etc/passwd", "a//b", "x" * 600):
        with pytest.raises(InvalidInputError):
            bench.chain.get(name)
    with pytest.raises(InvalidInputError):
        bench.chain.put("..", "x")
    assert first.calls == []


def test_without_a_record_there_is_no_answer() -> None:
    """An access that cannot be recorded is not answered and not kept; neither is a change made."""
    first, second, bench = two()
    bench.notes.full = True
    with pytest.raises(AuditUnavailableError):
        bench.chain.get(NAME)
    with pytest.raises(AuditUnavailableError):
        bench.chain.put(NAME, "new")
    assert "put" not in " ".join(first.calls)
    bench.notes.full = False
    bench.chain.get(NAME)
    assert second.calls == [f"get {NAME}"] * 2


def test_a_change_that_was_made_and_not_recorded_says_so() -> None:
    """The record fails between the look before the change and the entry after it: the error tells what happened."""

    class Filling(ToldProvider):
        def put(self, name: str, content: Content) -> str:
            bench.notes.full = True
            return super().put(name, content)

    first = Filling("vault")
    bench = Bench(first)
    with pytest.raises(AuditUnavailableError, match="The write of 'database_credentials' was carried out"):
        bench.chain.put(NAME, "new")
    assert first.held[NAME] == "new"


def test_a_window_that_cannot_be_recorded_ends_cached_answers() -> None:
    """Counted reads are owed: until they are recorded nothing is given, and none of them is lost."""
    _, _, bench = two()
    for _ in range(8):
        bench.chain.get(NAME)
    bench.notes.full = True
    bench.later(60)
    bench.chain.run_due()
    with pytest.raises(AuditUnavailableError):
        bench.chain.get(NAME)
    bench.notes.full = False
    assert bench.chain.get(NAME).content == {"password": VALUE}
    assert bench.notes.outcomes(NAME) == ["environment found", *["environment cached"] * 7, "environment refreshed"]


def test_a_recorder_that_breaks_has_not_recorded() -> None:
    """Any exception of a recorder stops the answer."""

    class Breaking:
        def ready(self) -> None: ...

        def record(self, access: object) -> None:
            raise ValueError

        def close(self) -> None: ...

    bench = Bench(ToldProvider("vault", {"a": "1"}), record=Breaking())
    with pytest.raises(AuditUnavailableError):
        bench.chain.get("a")


def test_a_closed_chain_gives_nothing_and_closed_everything_once() -> None:
    """Counted reads are recorded at the end; providers and recorder are closed once, however often it is called."""
    first, second, bench = two()
    with bench.chain:
        bench.chain.get(NAME)
        bench.chain.get(NAME)
    bench.chain.close()
    assert (first.closed, second.closed, bench.notes.closed) == (1, 1, 1)
    assert bench.notes.outcomes(NAME) == ["environment found", "environment cached"]
    for call in (lambda: bench.chain.get(NAME), lambda: bench.chain.put(NAME, "x"), bench.chain.names):
        with pytest.raises(UnavailableError, match="closed"):
            call()
    with pytest.raises(UnavailableError, match="closed"):
        bench.chain.subscribe(NAME, lambda _: None)


def test_everything_is_closed_even_when_the_last_window_cannot_be_recorded() -> None:
    """The error is raised, and no provider stays open."""
    first, second, bench = two()
    bench.chain.get(NAME)
    bench.chain.get(NAME)
    bench.notes.full = True
    with pytest.raises(AuditUnavailableError):
        bench.chain.close()
    assert (first.closed, second.closed) == (1, 1)


def test_a_policy_that_makes_no_sense_is_refused_as_a_whole() -> None:
    """Every mistake is named at once; a chain needs a provider."""
    with pytest.raises(ConfigurationError) as caught:
        ChainPolicy(ttl_seconds=0, stale_seconds=-1, refresh_ahead=1.5, max_entries=0, poll_seconds=0)
    assert len(caught.value.mistakes) == 5
    with pytest.raises(ConfigurationError, match="at least one provider"):
        Chain([])
