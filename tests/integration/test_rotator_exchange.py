"""The guided rotation of exchange keys, through the real ccxt against a stand-in that checks signatures."""

from __future__ import annotations

import base64
import hashlib
import logging
import re
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.exchange import Exchange, Key, exchange
from tests.support.rotators import Drive
from tradewarden.errors import (
    ConfigurationError,
    InvalidInputError,
    RotationFailedError,
    RotationWaitsError,
    UnavailableError,
)
from tradewarden.secrets.rotation.rotators import exchange_session
from tradewarden.secrets.rotation.rotators.exchange import ExchangeRotator
from tradewarden.secrets.rotation.rotators.outbound import Outbound

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("binance", "bybit", "coinbase", "kraken")
OLD, NEW = "old-key-of-the-account-0001", "new-key-of-the-account-0002"


@pytest.fixture(scope="module")
def running() -> Iterator[Exchange]:
    """Run the stand-in."""
    with exchange() as made:
        yield made


@pytest.fixture
def there(running: Exchange) -> Iterator[Exchange]:
    """Give the stand-in with the old and the new key, well-behaved."""
    running.keys = {OLD: Key(secret_of(OLD)), NEW: Key(secret_of(NEW))}
    running.mode, running.ahead = "", 0.0
    running.seen, running.signatures = [], []
    running.go_on.clear()
    yield running
    running.go_on.set()


def secret_of(api_key: str) -> str:
    """Return the secret of a key, in the form that Kraken gives out and the others take; not that of a cloud key."""
    return base64.b64encode(hashlib.sha384(api_key.encode()).digest()).decode()


def value_of(api_key: str, **more: object) -> dict[str, object]:
    """Return what stands in the secret."""
    return {"api_key": api_key, "api_secret": secret_of(api_key), "passphrase": "of-the-account", **more}


def drive(there: Exchange, name: str = "binance", **parameters: str) -> Drive:
    """Return a hand-over from the old key to the new one."""
    rotator = ExchangeRotator(Outbound([("127.0.0.1", there.port)]))
    run = Drive(rotator, {"exchange": name, "url": there.url} | parameters, value_of(OLD))
    run.supplied = value_of(NEW)
    return run


@pytest.mark.parametrize("name", NAMES)
async def test_a_key_is_handed_over(there: Exchange, name: str) -> None:
    """The new key is tried with a signed request, becomes current, and the old one is seen to be gone."""
    run = drive(there, name)
    with pytest.raises(RotationWaitsError, match="delete the key that ends in 0001"):
        await run.rotate()
    assert run.current == value_of(NEW)
    assert there.signatures
    del there.keys[OLD]
    await run.step("finish")
    await run.step("finish")


@pytest.mark.parametrize("name", NAMES)
async def test_a_wrong_key_or_secret_is_not_taken(there: Exchange, name: str) -> None:
    """A key that the exchange does not know, and a secret of another key, are told apart where it tells them apart."""
    run = drive(there, name)
    run.supplied = value_of(NEW) | {"api_secret": secret_of("another")}
    with pytest.raises(RotationFailedError, match=r"signature is wrong|not accepted"):
        await run.rotate()
    assert len(run.versions) == 1
    del there.keys[NEW]
    with pytest.raises(RotationFailedError, match="not accepted"):
        await run.rotate()
    assert len(run.versions) == 1


@pytest.mark.parametrize("name", ["binance", "bybit", "coinbase"])
async def test_a_key_that_may_withdraw_is_refused(there: Exchange, name: str) -> None:
    """Where the exchange tells what a key may do, one that may withdraw is not taken, unless the policy says so."""
    there.keys[NEW].withdraws = True
    run = drive(there, name)
    with pytest.raises(RotationFailedError, match="may withdraw"):
        await run.rotate()
    run.parameters |= {"withdrawals": "allow", "old_key": "leave"}
    await run.rotate(repeat=2)
    assert run.current["api_key"] == NEW


@pytest.mark.parametrize(
    ("name", "misbehaviour", "word"),
    [
        ("binance", {"ahead": 3600.0}, r"clock.*-1021"),
        ("bybit", {"ahead": -3600.0}, r"clock.*10002"),
        ("kraken", {"ahead": 3600.0}, "clock"),
        ("bybit", {"from_here": False}, r"IP address is not on its list.*10010"),
        ("binance", {"from_here": False}, r"IP address is not on its list.*-2015"),
        ("bybit", {"reads": False}, r"lacks the permission.*10005"),
        ("kraken", {"reads": False}, "lacks the permission"),
        ("binance", {"mode": "redirect"}, "redirect"),
        ("binance", {"mode": "huge"}, "larger"),
        ("binance", {"mode": "odd"}, "whole"),
    ],
)
async def test_a_failure_says_what_to_look_at(
    there: Exchange,
    caplog: pytest.LogCaptureFixture,
    name: str,
    misbehaviour: dict[str, object],
    word: str,
) -> None:
    """Clock, address, permission and address are told apart, and neither key nor signature comes through anywhere."""
    await refused(there, caplog, name, misbehaviour, word, RotationFailedError)


@pytest.mark.parametrize(
    ("mode", "word"),
    [("503", "out of order"), ("429", "too often"), ("reset", "cannot be reached"), ("slow", "in time")],
)
async def test_an_exchange_in_trouble_can_be_tried_again(
    there: Exchange, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, mode: str, word: str
) -> None:
    """An exchange that is down, busy, slow or breaks off is a reason to try again, not a failure."""
    monkeypatch.setattr(exchange_session, "REQUEST_SECONDS", 0.2)
    await refused(there, caplog, "binance", {"mode": mode}, word, UnavailableError)


async def refused(
    there: Exchange,
    caplog: pytest.LogCaptureFixture,
    name: str,
    misbehaviour: dict[str, object],
    word: str,
    kind: type[Exception],
) -> None:
    """See that a rotation fails in this way, and that nothing secret is said."""
    caplog.set_level(logging.DEBUG)
    for what, how in misbehaviour.items():
        setattr(there if hasattr(there, what) else there.keys[NEW], what, how)
    run = drive(there, name)
    with pytest.raises(kind, match=word) as caught:
        await run.rotate()
    assert len(run.versions) == 1
    assert there.seen
    error: BaseException | None = caught.value
    said = caplog.text
    while error is not None:
        said += str(error) + repr(error)
        error = error.__cause__ or error.__context__
    for text in (OLD, NEW, secret_of(OLD), secret_of(NEW), "of-the-account", "signature=", *there.signatures):
        assert not text or text not in said


async def test_nothing_is_logged_when_it_works(there: Exchange, caplog: pytest.LogCaptureFixture) -> None:
    """With every logger at DEBUG, the addresses of signed requests are in no log."""
    caplog.set_level(logging.DEBUG)
    await drive(there, old_key="leave").rotate()
    assert there.signatures
    assert "/api/v3/account" not in caplog.text
    assert not [each for each in there.signatures if each in caplog.text]


async def test_what_is_not_listed_is_not_called(there: Exchange) -> None:
    """With another host or port in the list, or none, the exchange is not called."""
    for allowed in ([], [("127.0.0.1", there.port + 1)], [("localhost", there.port)]):
        run = drive(there)
        run.rotator = ExchangeRotator(Outbound(allowed))
        with pytest.raises(RotationFailedError, match="TRADEWARDEN_ROTATION_HOSTS"):
            await run.rotate()
    assert not there.seen


@pytest.mark.parametrize(
    ("parameters", "supplied", "place"),
    [
        ({"exchange": "binance"}, {}, "api.binance.com:443"),
        ({"exchange": "binance", "sandbox": "yes"}, {}, "testnet.binance.vision:443"),
        ({"exchange": "binance"}, {"testnet": True}, "testnet.binance.vision:443"),
        ({"exchange": "bybit", "sandbox": "yes"}, {}, "api-testnet.bybit.com:443"),
        ({"exchange": "bybit", "hostname": "bytick.com"}, {}, "api.bytick.com:443"),
    ],
)
async def test_the_sandbox_is_where_ccxt_has_it(
    parameters: dict[str, str], supplied: dict[str, object], place: str
) -> None:
    """A policy or a secret of the sandbox leads to the exchange's sandbox; nothing else is called."""
    run = Drive(ExchangeRotator(Outbound([])), parameters)
    run.supplied = value_of(NEW) | supplied
    with pytest.raises(RotationFailedError, match=place):
        await run.rotate()


async def test_an_exchange_without_sandbox_says_so() -> None:
    """An exchange that has no sandbox, and one that there is not, are said."""
    for name, word in (("kraken", "no sandbox"), ("nobody", "knows no exchange")):
        run = Drive(ExchangeRotator(Outbound([])), {"exchange": name, "sandbox": "yes"})
        run.supplied = value_of(NEW)
        with pytest.raises(RotationFailedError, match=word):
            await run.rotate()


async def test_the_key_in_use_is_not_taken(there: Exchange) -> None:
    """What was supplied must be another key with another secret; without anything, it is said what to do."""
    run = drive(there)
    for supplied in (value_of(OLD), value_of(OLD) | {"api_key": NEW}, value_of(NEW) | {"api_key": OLD}):
        run.supplied = supplied
        with pytest.raises(RotationFailedError, match="the key in use"):
            await run.rotate()
    run.supplied = None
    with pytest.raises(RotationFailedError, match="Make a new key at binance"):
        await run.rotate()
    assert not there.seen


@pytest.mark.parametrize(
    ("name", "supplied", "word"),
    [
        ("binance", {"api_key": NEW}, "api_secret"),
        ("binance", {"api_secret": "x"}, "api_key"),
        ("okx", {"api_key": NEW, "api_secret": "x"}, "passphrase"),
        ("binance", {"api_key": f" {NEW}", "api_secret": "x"}, "white space"),
    ],
)
async def test_a_missing_field_is_named(there: Exchange, name: str, supplied: dict[str, object], word: str) -> None:
    """What the exchange needs and was not supplied is named, never by its value."""
    run = drive(there, name)
    run.supplied = supplied
    with pytest.raises(RotationFailedError, match=word) as caught:
        await run.rotate()
    assert NEW not in str(caught.value)


async def test_fields_keep_their_names(there: Exchange) -> None:
    """The new key stands under the names that the old one had; what else is in the secret stays."""
    run = drive(there, old_key="leave")
    run.versions = [{"apiKey": OLD, "secret": secret_of(OLD), "note": "kept", "account": "main"}]
    run.supplied = {"api_key": NEW, "api_secret": secret_of(NEW), "account": "second"}
    await run.rotate()
    assert run.current == {"apiKey": NEW, "secret": secret_of(NEW), "note": "kept", "account": "second"}


async def test_a_wallet_keeps_its_address(there: Exchange) -> None:
    """At an exchange of wallets the private key is what changes."""
    run = drive(there, "hyperliquid")
    run.versions = [{"walletAddress": "0x" + "1" * 40, "privateKey": "0x" + "2" * 64}]
    run.supplied = {"wallet_address": "0x" + "1" * 40, "private_key": "0x" + "3" * 64}
    run.begin()
    await run.step("create")
    assert run.pending == {"walletAddress": "0x" + "1" * 40, "privateKey": "0x" + "3" * 64}


async def test_an_old_key_that_is_in_use_elsewhere_is_still_there(there: Exchange) -> None:
    """A refusal that only a known key gets does not end the rotation; nor does an exchange that is down."""
    run = drive(there, "kraken", old_key="check")
    with pytest.raises(RotationWaitsError):
        await run.rotate()
    there.ahead = 3600.0
    with pytest.raises(RotationWaitsError):
        await run.step("finish")
    there.ahead, there.mode = 0.0, "503"
    with pytest.raises(UnavailableError):
        await run.step("finish")


async def test_tls_that_fails_is_said(there: Exchange) -> None:
    """An address that does not speak TLS, or shows a certificate that is not accepted, is said to be that."""
    with pytest.raises(RotationFailedError, match="TLS"):
        await drive(there, url=f"https://127.0.0.1:{there.port}").rotate()


async def test_a_missing_extra_is_named(there: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ccxt the rotator says what to install."""
    monkeypatch.setitem(sys.modules, "ccxt", None)
    with pytest.raises(ConfigurationError, match=re.escape("pip install '.[exchange]'")):
        await drive(there).rotate()


async def test_a_first_key(there: Exchange) -> None:
    """A secret without a value gets what was supplied, and there is no old key to look for."""
    run = drive(there)
    run.versions = []
    await run.rotate(repeat=2)
    assert run.current == value_of(NEW)


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({"exchange": ""}, "exchange"),
        ({"exchange": "../x"}, "exchange"),
        ({"url": "http://exchange.example"}, "url"),
        ({"url": "https://user:pass@exchange.example"}, "url"),
        ({"hostname": "a/b"}, "hostname"),
        ({"hostname": "a.example", "url": "https://b.example"}, "hostname"),
        ({"withdrawals": "maybe"}, "withdrawals"),
        ({"secret": "x"}, "secret"),
    ],
)
def test_a_wrong_parameter_is_named(parameters: dict[str, str], word: str) -> None:
    """A policy with a parameter that is missing, wrong or unknown is refused by the name of it."""
    rotator = ExchangeRotator(Outbound([]))
    rotator.check({"exchange": "binance"})
    with pytest.raises(InvalidInputError, match=word):
        rotator.check({"exchange": "binance"} | parameters)
