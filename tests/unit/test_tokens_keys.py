"""Signing keys: made once, kept wrapped, rotated with overlap; nothing but ours verifies."""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256

import msgspec
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey

from tests.support.tokens import ADMIN, SHARED_SECRET, Room, admin, room, room_over
from tradewarden.access.grant import authorize
from tradewarden.access.permission import PermissionSet
from tradewarden.errors import (
    ConfigurationError,
    ConflictError,
    IntegrityError,
    InvalidInputError,
    PermissionDeniedError,
    TokenError,
)
from tradewarden.storage.memory import MemoryDatabase
from tradewarden.storage.memory_tokens import MemoryTokenStore
from tradewarden.tokens.commands import IssueToken, RefreshToken
from tradewarden.tokens.policy import MAX_TOKEN_CHARACTERS, TokenPolicy
from tradewarden.tokens.store import Wanted
from tradewarden.tokens.tokens import Tokens

DAY = 86_400
DEVELOPMENT = ("read", "write")


async def issued(made: Room, tokens: Tokens | None = None) -> str:
    """Return a fresh token."""
    grant = admin("tokens:issue", "bot")
    return (await (tokens or made.tokens).issue(grant, IssueToken("bot"), made.entry())).token


def header(token: str) -> dict[str, str]:
    """Return a token's header."""
    text = token.partition(".")[0]
    return dict(json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4))))


def another(made: Room, algorithm: str = "HS256") -> Tokens:
    """Return another process's room over the same store and keys."""
    policy = TokenPolicy(algorithm=algorithm, unregistered_ceiling=DEVELOPMENT)
    parts, revoked = made.tokens._parts, made.tokens._revoked
    return Tokens(made.store, made.keys, made.register, policy, made.clock, parts.randomness, made.revisions, revoked)


async def test_the_shared_secret_signs_for_readers_who_share_it() -> None:
    """A platform that knows JWT_SECRET_KEY validates our tokens by its UTF-8 bytes alone."""
    secret = "gehëimnis-" * 4
    made = await room(secret=secret)
    token = await issued(made)
    signed, _, signature = token.rpartition(".")
    expected = hmac.digest(secret.encode(), signed.encode(), sha256)
    assert signature == urlsafe_b64encode(expected).rstrip(b"=").decode()
    claims = jwt.decode(token, OctKey.import_key(secret), algorithms=["HS256"]).claims
    assert claims["service_name"] == "bot"
    assert claims["permissions"] == ["read"]
    assert claims["aud"] == claims["iss"] == "tradewarden"
    assert header(token)["typ"] == "at+jwt"


@pytest.mark.parametrize("secret", ["short", "x" * 31, "ë" * 15])
async def test_a_short_secret_is_refused(secret: str) -> None:
    """Under 32 bytes HS256 can be guessed; the message says what to do and not what it was."""
    with pytest.raises(ConfigurationError) as refused:
        await room(secret=secret)
    assert "JWT_SECRET_KEY" in str(refused.value)
    assert secret not in str(refused.value)


async def test_a_changed_secret_is_a_new_version_and_the_old_one_verifies_on() -> None:
    """After a restart with another JWT_SECRET_KEY new tokens are under it, old ones live to their end."""
    made = await room(secret=SHARED_SECRET)
    old = await issued(made)
    after = another(made)
    await after.open("another-secret-of-more-than-32-bytes!", made.entry())
    new = await issued(made, after)
    assert header(new)["kid"] != header(old)["kid"]
    revisions = await made.revisions()
    for tokens in (after, made.tokens):
        for token in (old, new):
            await tokens.authenticate(token, revisions)
    assert len((await made.store.read(Wanted(keys=True))).keys) == 2


async def test_the_same_secret_is_the_same_key() -> None:
    """A restart with nothing changed makes no key and writes nothing."""
    made = await room(secret=SHARED_SECRET)
    token = await issued(made)
    before = len(made.database.inbox)
    entry = made.entry()
    after = another(made)
    await after.open(SHARED_SECRET, entry)
    assert len(made.database.inbox) == before
    assert not entry.committed
    assert header(await issued(made, after))["kid"] == header(token)["kid"]


async def test_an_algorithm_that_changes_makes_a_new_key() -> None:
    """Another JWT_ALGORITHM signs from the next start on; what the old one signed stays good."""
    made = await room()
    old = await issued(made)
    after = another(made, "ES256")
    await after.open(None, made.entry())
    new = await issued(made, after)
    assert [header(token)["alg"] for token in (old, new)] == ["HS256", "ES256"]
    for token in (old, new):
        await after.authenticate(token, await made.revisions())


async def test_an_unknown_algorithm_is_refused() -> None:
    """Algorithms come from a list of three."""
    with pytest.raises(ConfigurationError):
        await room(TokenPolicy(algorithm="none"))


@pytest.mark.parametrize("algorithm", ["HS256", "ES256", "EdDSA"])
async def test_a_rotation_overlaps(algorithm: str) -> None:
    """After a rotation new tokens have another kid, older ones are still good, in every process."""
    made = await room(TokenPolicy(algorithm=algorithm, unregistered_ceiling=DEVELOPMENT))
    other = another(made, algorithm)
    old = await issued(made)
    await other.authenticate(old, await made.revisions())
    grant = admin("keys:rotate", "tokens")
    async with made.entry() as entry:
        assert await made.tokens.rotate_signing_key(grant, entry) == 2
    assert not made.journal.events
    new = await issued(made)
    assert header(new)["kid"] != header(old)["kid"]
    for token in (old, new):
        await other.authenticate(token, await made.revisions())
    assert header(await issued(made, other))["kid"] == header(new)["kid"]
    narrow = authorize(ADMIN, PermissionSet(("keys:rotate:secrets",)), "keys:rotate", "secrets")
    with pytest.raises(PermissionDeniedError):
        await made.tokens.rotate_signing_key(narrow, made.entry())


async def test_a_given_secret_is_rotated_where_it_is_given() -> None:
    """JWT_SECRET_KEY belongs to the environment: rotating it here would split the platforms from us."""
    made = await room(secret=SHARED_SECRET)
    with pytest.raises(ConflictError, match="JWT_SECRET_KEY"):
        await made.tokens.rotate_signing_key(admin("keys:rotate", "tokens"), made.entry())


async def test_a_retired_key_goes_when_nothing_it_signed_can_be_alive() -> None:
    """It stays while a row names it, and then goes; the one that signs always stays."""
    made = await room()
    old = await issued(made)
    await made.tokens.rotate_signing_key(admin("keys:rotate", "tokens"), made.entry())
    made.clock.move(DAY - 1)
    await made.tokens.sweep()
    await made.authenticate(old)
    made.clock.move(DAY + 2)
    await made.tokens.sweep()
    (left,) = (await made.store.read(Wanted(keys=True))).keys
    assert left.version == 2
    await issued(made)


async def test_two_processes_that_start_together_make_one_key() -> None:
    """Whoever comes second finds the key that the first one made."""
    made = await room()
    other = another(made)
    await other.open(None, made.entry())
    assert len((await made.store.read(Wanted(keys=True))).keys) == 1
    await other.authenticate(await issued(made), await made.revisions())


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
async def test_the_jwks_verifies_our_tokens_and_holds_no_private_part(algorithm: str) -> None:
    """A reader with the published keys alone validates a token (RFC 7517, RFC 7638)."""
    made = await room(TokenPolicy(algorithm=algorithm, unregistered_ceiling=DEVELOPMENT))
    old = await issued(made)
    await made.tokens.rotate_signing_key(admin("keys:rotate", "tokens"), made.entry())
    new = await issued(made)
    published = await made.tokens.jwks()
    assert len(published["keys"]) == 2
    for each in published["keys"]:
        assert set(each) <= {"kty", "crv", "x", "y", "kid", "alg", "use"}
        assert (each["alg"], each["use"]) == (algorithm, "sig")
    keys = KeySet.import_key_set(msgspec.json.decode(msgspec.json.encode(published)))
    assert {key.thumbprint() for key in keys.keys} == {each["kid"] for each in published["keys"]}
    if algorithm == "ES256":  # joserfc warns of the name EdDSA in its own registry
        for token in (old, new):
            assert jwt.decode(token, keys, algorithms=[algorithm]).claims["sub"] == "service:bot"


async def test_a_shared_secret_is_never_published() -> None:
    """With HS256 the key set is empty, and a kid tells nothing about the secret."""
    made = await room(secret=SHARED_SECRET)
    assert await made.tokens.jwks() == {"keys": []}
    thumbprint = OctKey.import_key(SHARED_SECRET).thumbprint()
    assert header(await issued(made))["kid"] != thumbprint


async def test_keys_are_stored_wrapped_and_sealed() -> None:
    """The secret stands nowhere in the rows, and a row that was changed is refused."""
    made = await room(secret=SHARED_SECRET)
    token = await issued(made)
    assert isinstance(made.store, MemoryTokenStore)
    ((kid, row),) = made.store._keys.items()
    encoded = urlsafe_b64encode(SHARED_SECRET.encode()).rstrip(b"=")
    assert SHARED_SECRET.encode() not in row.secret
    assert encoded not in row.secret
    made.store._keys[kid] = msgspec.structs.replace(row, algorithm="ES256")
    with pytest.raises(IntegrityError, match="signing_keys"):
        await another(made).authenticate(token, await made.revisions())


async def test_without_a_key_nothing_is_accepted() -> None:
    """A room that was not opened refuses every token."""
    good = await issued(await room())
    database = MemoryDatabase()
    made = await room_over(MemoryTokenStore(database), database.revisions, TokenPolicy())
    with pytest.raises(TokenError):
        await made.authenticate(good)


async def test_a_renewal_that_is_too_long_to_be_accepted_is_refused_and_spends_nothing() -> None:
    """Another algorithm signs longer: what does not fit any more is refused, and the refresh token stays good."""
    made = await room()
    made.register.add("bot", "read")
    grant = admin("tokens:issue", "bot")
    names = tuple(f"read:{'x' * 100}/{number}" for number in range(51))
    spare = MAX_TOKEN_CHARACTERS - len((await made.tokens.issue(grant, IssueToken("bot", names), made.entry())).token)
    fitting = (*names[:-1], names[-1] + "x" * (spare * 3 // 4 - 1))
    first = await made.tokens.issue(grant, IssueToken("bot", fitting, refresh=True), made.entry())
    assert MAX_TOKEN_CHARACTERS - 4 < len(first.token) <= MAX_TOKEN_CHARACTERS
    restarted = another(made, "ES256")
    await restarted.open(None, made.entry())
    command = RefreshToken(first.refresh_token or "")
    with pytest.raises(InvalidInputError, match="not accepted; ask for fewer permissions"):
        await restarted.refresh(command, made.entry())
    made.register.add("bot", f"read:{'x' * 100}/7")
    assert (await restarted.refresh(command, made.entry())).permissions == (f"read:{'x' * 100}/7",)
