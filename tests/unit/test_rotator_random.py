"""The rotator of random values: strength, what is kept, and what it refuses."""

from __future__ import annotations

import re

import pytest
from cryptography.fernet import Fernet, MultiFernet

from tests.support.rotators import Drive
from tradewarden.clock import system_randomness
from tradewarden.errors import InvalidInputError, RotationFailedError
from tradewarden.secrets.credentials.encryption_key import EncryptionKey
from tradewarden.secrets.credentials.signing_key import SigningKey
from tradewarden.secrets.rotation.rotators.generated import generated
from tradewarden.secrets.rotation.rotators.random import RandomRotator
from tradewarden.secrets.rotation.untouched import untouched


def drive(current: dict[str, object] | None = None, **parameters: str) -> Drive:
    """Return a rotation of a random value."""
    return Drive(RandomRotator(system_randomness), parameters, current)


@pytest.mark.parametrize(
    ("parameters", "field", "form"),
    [
        ({"make": "password"}, "password", r"[A-Za-z][A-Za-z0-9._~-]{43}"),
        ({"make": "token"}, "token", r"[A-Za-z0-9_-]{43}"),
        ({"make": "token", "bits": "128"}, "token", r"[A-Za-z0-9_-]{22}"),
        ({"make": "hex", "bits": "512"}, "key", r"[0-9a-f]{128}"),
        ({"make": "base64url"}, "key", r"[A-Za-z0-9_-]{43}"),
        ({"make": "fernet"}, "key", r"[A-Za-z0-9_-]{43}="),
    ],
)
async def test_each_make_has_its_strength(parameters: dict[str, str], field: str, form: str) -> None:
    """Each make gives the form and the length that its bits ask for, new each time, and other fields stay."""
    run = drive({"user": "app", field: "before"}, **parameters)
    await run.rotate()
    await run.rotate()
    values = [str(each[field]) for each in run.versions]
    assert re.fullmatch(form, values[-1])
    assert len(set(values)) == 3
    assert run.current["user"] == "app"


def test_a_password_has_every_kind_of_character() -> None:
    """A password has a lower and an upper letter, a digit and a symbol, and begins with a letter."""
    for _ in range(200):
        text = generated("password", 128, system_randomness)
        assert all(re.search(group, text) for group in ("^[A-Za-z]", "[a-z]", "[A-Z]", "[0-9]", "[._~-]"))


def test_characters_are_drawn_evenly() -> None:
    """Bytes that would make some characters likelier are thrown away."""
    asked = iter([bytes([255, 254, 198, 0] * 50), bytes([26, 52, 62] * 50)])
    assert set(generated("password", 128, lambda size, /: next(asked)[:size])) == {"a", "A", "0", "-"}


async def test_several_fields_at_once() -> None:
    """Each field that is named gets a value of its own."""
    run = drive({"api": "x", "web": "y"}, make="token", fields="api, web")
    await run.rotate()
    assert len({*run.current.values(), "x", "y"}) == 4
    assert set(run.current) == {"api", "web"}


async def test_a_signing_key_keeps_the_one_before_it() -> None:
    """A verifier that reads the secret knows the new key and the one before by their ids, and no more than that."""
    run = drive(make="hex")
    for _ in range(3):
        await run.rotate(repeat=2)
    now, before = run.versions[-1], run.versions[-2]
    key = SigningKey.from_content("jwt_secret", now)
    assert key.verifying() == [now["key"], before["key"]]
    assert (now["previous"], now["previous_kids"]) == ([before["key"]], [before["kid"]])
    assert now["kid"] != before["kid"]


async def test_what_the_old_fernet_key_encrypted_opens_with_the_new_secret() -> None:
    """A decrypter that reads the secret opens what every key that is kept has encrypted."""
    run = drive(make="fernet", keep="2")
    await run.rotate()
    tokens = [Fernet(str(run.current["key"])).encrypt(b"position")]
    for _ in range(2):
        await run.rotate()
        tokens.append(Fernet(str(run.current["key"])).encrypt(b"position"))
    keys = MultiFernet([Fernet(each) for each in EncryptionKey.from_content("encryption_key", run.current).fernet()])
    assert [keys.decrypt(token) for token in tokens] == [b"position"] * 3


async def test_a_compromised_signing_key_is_not_kept() -> None:
    """Where the key in use may be in wrong hands, nothing before the new one verifies; what decrypts is kept."""
    for parameters, kept in (({"make": "hex", "keep": "3"}, 0), ({"make": "fernet", "keep": "3"}, 2)):
        run = drive(None, **parameters)
        await run.rotate()
        await run.rotate()
        run.urgent = True
        await run.rotate()
        assert len(SigningKey.from_content("s", run.current).previous) == kept


async def test_a_key_without_an_id_gets_one() -> None:
    """A key that was written by hand, with one before it as a text, is kept with ids beside it."""
    run = drive({"key": "k" * 40, "previous": "j" * 40}, make="base64url", keep="3")
    await run.rotate()
    assert run.current["previous"] == ["k" * 40, "j" * 40]
    kids = run.current["previous_kids"]
    assert isinstance(kids, list)
    assert len({run.current["kid"], *kids}) == 3


async def test_a_key_that_is_no_text_is_not_thrown_away() -> None:
    """A key of another form stops the rotation: it could not be kept as the one before."""
    run = drive({"key": {"kty": "oct", "k": "c2VjcmV0"}}, make="hex")
    with pytest.raises(RotationFailedError, match="not a text") as caught:
        await run.rotate()
    assert "c2VjcmV0" not in str(caught.value)


async def test_a_new_value_that_is_not_new_is_not_taken() -> None:
    """The test step sees a value that stayed the same, and a key before that was lost."""
    run = drive({"key": "before"}, make="hex")
    run.begin()
    await run.step("create")
    assert run.pending is not None
    good = run.pending
    for wrong in ({**good, "key": "before"}, {**good, "key": ""}, {**good, "previous": []}):
        run.pending = wrong
        with pytest.raises(RotationFailedError):
            await run.step("test")


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({}, "make"),
        ({"make": "md5"}, "make"),
        ({"make": "hex", "bits": "127"}, "bits"),
        ({"make": "fernet", "bits": "512"}, "bits"),
        ({"make": "token", "fields": "a,a"}, "fields"),
        ({"make": "token", "fields": "previous"}, "fields"),
        ({"make": "token", "fields": "a b"}, "fields"),
        ({"make": "hex", "fields": "a,b", "keep": "1"}, "keep"),
        ({"make": "hex", "keep": "11"}, "keep"),
        ({"make": "hex", "length": "5"}, "length"),
    ],
)
def test_a_wrong_parameter_is_named(parameters: dict[str, str], word: str) -> None:
    """A policy with a parameter that is missing, wrong or unknown is refused by the name of it."""
    with pytest.raises(InvalidInputError, match=word):
        RandomRotator(system_randomness).check(parameters)


async def test_an_address_that_repeats_the_password_gets_the_new_one() -> None:
    """What else holds the old value in a way that is understood is replaced with it; the rest is refused by name."""
    run = drive(
        {"user": "a", "password": "p@ss-word-1", "url": "redis://a:p%40ss-word-1@cache:6379/0"}, make="password"
    )
    await run.rotate()
    assert run.current["url"] == f"redis://a:{run.current['password']}@cache:6379/0"
    for field in ("host=db password=p@ss-word-1", "Bearer p@ss-word-1", "https://x/?key=p%40ss-word-1"):
        run = drive({"password": "p@ss-word-1", "dsn": field}, make="password")
        with pytest.raises(RotationFailedError, match="Field 'dsn'"):
            await run.rotate()
    run = drive({"password": "app", "host": "app.example", "dsn": "app://app.example/x"}, make="password")
    await run.rotate()
    assert run.current["host"] == "app.example"


def test_what_a_rotation_left_is_named() -> None:
    """Texts that stayed and may be secret are named; what says where and who is not."""
    before: dict[str, object] = {
        "password": "old",
        "api_secret": "s",
        "host": "h",
        "user": "u",
        "port": 5,
        "url": "https://h:1/",
        "dsn": "postgres://u:p@h/d",
        "more": {"token": "t"},
        "previous": [],
    }
    assert untouched(before, {**before, "password": "new"}) == ("api_secret", "dsn", "more")
