"""What a token is given: asked ∩ the caller's own ∩ the registered maximum (decision 1)."""

from __future__ import annotations

import msgspec
import pytest

from tests.support.tokens import ADMIN, START, admin, room, service
from tradewarden.access.grant import Credential, Grant, authorize
from tradewarden.access.permission import ALL, PermissionSet
from tradewarden.access.principal import OWN_NAME, Kind, Principal
from tradewarden.errors import (
    AuthenticationError,
    InvalidInputError,
    PermissionDeniedError,
    RefreshRefusedError,
    TokenError,
    TradewardenError,
)
from tradewarden.tokens.bootstrap import BOOTSTRAP, RIGHTS
from tradewarden.tokens.commands import IssueToken, RefreshToken
from tradewarden.tokens.minting import token_digest
from tradewarden.tokens.policy import MAX_TOKEN_CHARACTERS, TokenPolicy
from tradewarden.tokens.rights import with_own
from tradewarden.tokens.store import Wanted

ISSUE = "tokens:issue"


async def test_a_token_repeats_the_names_as_asked_for() -> None:
    """The answer shows the permissions by the names in which they were asked for, and its term."""
    made = await room()
    made.register.add("bot", "read", "write")
    async with made.entry() as entry:
        command = IssueToken("bot", ("read",), ttl_seconds=60)
        issued = await made.tokens.issue(admin(ISSUE, "bot"), command, entry)
    assert issued.permissions == ("read",)
    assert issued.token_type == "Bearer"
    assert issued.issued_at == "2027-01-15T08:00:00.000000Z"
    assert issued.expires_at == "2027-01-15T08:01:00.000000Z"
    assert issued.expires_in == 60
    assert issued.refresh_token is None
    answer = msgspec.json.decode(msgspec.json.encode(issued))
    assert answer["token_type"] == "Bearer"
    assert "refresh_token" not in answer
    assert issued.token not in repr(issued)


@pytest.mark.parametrize(
    ("asked", "own", "registered", "granted"),
    [
        (("read", "write"), ("admin",), ("read",), ("read",)),
        (("read",), ("secrets:read:api_keys/*", "tokens:issue"), ("read",), ("secrets:read:api_keys/*",)),
        (("admin",), ("admin",), ("read", "trades:view"), ("read", "trades:view")),
        (("secrets:read:a/b",), ("admin",), ("secrets:read:a/*",), ("secrets:read:a/b",)),
        (None, ("admin",), ("write", "read"), ("write", "read")),
        (None, ("read", "tokens:issue"), ("read", "write"), ("read",)),
        ((), ("admin",), ("read",), ()),
    ],
)
async def test_rights_are_cut_on_all_three_sides(
    asked: tuple[str, ...] | None,
    own: tuple[str, ...],
    registered: tuple[str, ...],
    granted: tuple[str, ...],
) -> None:
    """Nobody gets more than they asked for, than the caller holds, or than is registered."""
    made = await room()
    made.register.add("bot", *registered)
    grant = authorize(ADMIN, PermissionSet(own), ISSUE, "bot")
    issued = await made.tokens.issue(grant, IssueToken("bot", asked), made.entry())
    assert issued.permissions == granted
    found = await made.authenticate(issued.token)
    assert found.names == granted
    assert not found.permissions.allows("pki:issue", "x")


@pytest.mark.parametrize(
    ("asked", "registered"), [(("write",), ("read",)), (("admin",), ()), (("trades:view",), ("read",))]
)
async def test_nothing_left_is_a_denial(asked: tuple[str, ...], registered: tuple[str, ...]) -> None:
    """When something was asked for and nothing of it may be granted, no token is made."""
    made = await room()
    made.register.add("bot", *registered)
    with pytest.raises(PermissionDeniedError):
        await made.tokens.issue(admin(ISSUE, "bot"), IssueToken("bot", asked), made.entry())
    assert await made.tokens.counts() == 0


async def test_an_unregistered_name_gets_read_and_write_in_development_only() -> None:
    """Outside development a name that is not registered gets nothing, and what it had is void."""
    made = await room()
    issued = await made.tokens.issue(admin(ISSUE, "bot"), IssueToken("bot", ("admin",)), made.entry())
    assert issued.permissions == ("read", "write")
    plain = await made.tokens.issue(admin(ISSUE, "bot"), IssueToken("bot"), made.entry())
    assert plain.permissions == ("read",)
    strict = await room(TokenPolicy())
    with pytest.raises(PermissionDeniedError):
        await strict.tokens.issue(admin(ISSUE, "bot"), IssueToken("bot"), strict.entry())
    made.policy = TokenPolicy()
    made.tokens._parts.policy = made.policy
    with pytest.raises(TokenError) as refused:
        await made.authenticate(issued.token)
    assert refused.value.reason == "service is not registered"


async def test_a_service_asks_for_itself_and_for_nobody_else() -> None:
    """A proven service may have tokens of its own name, with what it is registered for."""
    made = await room()
    made.register.add("bot", "read")
    made.register.add("other", "read")
    own = with_own("bot", ("read",))
    grant = service("bot", own, ISSUE, "bot")
    assert (await made.tokens.issue(grant, IssueToken("bot"), made.entry())).permissions == ("read",)
    with pytest.raises(PermissionDeniedError):
        service("bot", own, ISSUE, "other")
    with pytest.raises(PermissionDeniedError):
        await made.tokens.issue(grant, IssueToken("other"), made.entry())


async def test_rights_over_its_own_tokens_are_not_handed_on() -> None:
    """What a service may do with its own tokens cannot be asked into a token."""
    made = await room()
    made.register.add("bot", "read")
    grant = service("bot", with_own("bot", ("read",)), ISSUE, "bot")
    command = IssueToken("bot", ("read", "tokens:issue:bot"))
    assert (await made.tokens.issue(grant, command, made.entry())).permissions == ("read",)


OVER_ITSELF = ("tokens:issue", "tokens:read", "tokens:revoke", "tokens:introspect")


def weak_for_strong(*permissions: str) -> Grant:
    """Return the grant of a service that may issue to others."""
    return service("weak", with_own("weak", (ISSUE, *permissions)), ISSUE, "strong")


async def test_a_token_that_another_service_asked_for_gives_no_rights_over_its_service() -> None:
    """Who may issue for others reads, ends and makes nothing of theirs with what it was given; a refresh is no way."""
    made = await room()
    made.register.add("strong", "read", "write")
    command = IssueToken("strong", ("read", "write"), refresh=True)
    issued = await made.tokens.issue(weak_for_strong("read"), command, made.entry())
    again = await made.tokens.refresh(RefreshToken(issued.refresh_token or ""), made.entry())
    for token in (issued.token, again.token):
        found = await made.authenticate(token)
        assert found.permissions.names == ("read", "tokens:validate:strong")
        assert not any(found.permissions.allows_some(action) for action in OVER_ITSELF)


@pytest.mark.parametrize("issuer", ["itself", "an administrator", "the bootstrap rule", "local"])
async def test_every_other_token_of_a_service_gives_rights_over_itself(issuer: str) -> None:
    """A service that proved itself, an administrator and the rule on the developer's machine speak for the name."""
    made = await room()
    if issuer != "the bootstrap rule":
        made.register.add("bot", "read")
    grant = {
        "itself": service("bot", with_own("bot", ("read",)), ISSUE, "bot"),
        "an administrator": admin(ISSUE, "bot"),
        "the bootstrap rule": authorize(BOOTSTRAP, RIGHTS, ISSUE, "bot"),
        "local": authorize(Principal(Kind.LOCAL, "1000"), ALL, ISSUE, "bot"),
    }[issuer]
    issued = await made.tokens.issue(grant, IssueToken("bot"), made.entry())
    found = await made.authenticate(issued.token)
    assert all(found.permissions.allows(action, "bot") for action in OVER_ITSELF)


async def test_a_token_that_another_service_asked_for_gets_none_with_those_rights() -> None:
    """A second token, asked for with the first, is no way around it, even where issuing was handed on."""
    made = await room()
    made.register.add("strong", "read", ISSUE)
    made.register.add("third", "read")
    issued = await made.tokens.issue(weak_for_strong("read"), IssueToken("strong", ("read", ISSUE)), made.entry())
    proven = await made.authenticate(issued.token)
    grant = service("strong", proven.permissions, ISSUE, "strong")
    with pytest.raises(PermissionDeniedError) as refused:
        await made.tokens.issue(grant, IssueToken("strong", ("read",)), made.entry())
    assert refused.value.reason.startswith("a token that another service asked for")
    grant = service("strong", proven.permissions, ISSUE, "third")
    given = await made.tokens.issue(grant, IssueToken("third", ("read",)), made.entry())
    assert (await made.authenticate(given.token)).permissions.names == ("read", "tokens:validate:third")


@pytest.mark.parametrize(("registered", "asked"), [(("read",), ()), ((), None), ((), ())], ids=str)
async def test_an_empty_token_is_for_oneself(registered: tuple[str, ...], asked: tuple[str, ...] | None) -> None:
    """A token that grants nothing is a service's own or an administrator's to ask for, and no other service's."""
    made = await room()
    made.register.add("strong", *registered)
    command = IssueToken("strong", asked)
    with pytest.raises(PermissionDeniedError):
        await made.tokens.issue(weak_for_strong("read"), command, made.entry())
    assert await made.tokens.counts() == 0
    for grant in (admin(ISSUE, "strong"), service("strong", with_own("strong", registered), ISSUE, "strong")):
        assert (await made.tokens.issue(grant, command, made.entry())).permissions == ()


async def test_our_own_name_has_no_tokens() -> None:
    """Nobody becomes `service:tradewarden`: not without credentials, and not as an administrator's mistake."""
    made = await room()
    with pytest.raises(AuthenticationError) as refused:
        await made.tokens.issue(authorize(BOOTSTRAP, RIGHTS, ISSUE, OWN_NAME), IssueToken(OWN_NAME), made.entry())
    assert refused.value.reason == "bootstrap: the name is this service's own"
    with pytest.raises(InvalidInputError, match="'tradewarden' is this service's own"):
        await made.tokens.issue(admin(ISSUE, OWN_NAME), IssueToken(OWN_NAME), made.entry())
    assert await made.tokens.counts() == 0


async def test_a_grant_for_something_else_issues_nothing() -> None:
    """A room checks the grant itself."""
    made = await room()
    with pytest.raises(PermissionDeniedError):
        await made.tokens.issue(admin("tokens:revoke", "bot"), IssueToken("bot"), made.entry())


@pytest.mark.parametrize(
    "command",
    [
        IssueToken("Bot"),
        IssueToken(""),
        IssueToken("../x"),
        IssueToken("bot\n"),
        IssueToken("bot", ttl_seconds=0),
        IssueToken("bot", ttl_seconds=-5),
        IssueToken("bot", ("no such thing",)),
        IssueToken("bot", tuple(f"a:b{n}" for n in range(65))),
    ],
)
async def test_what_is_not_understood_is_refused(command: IssueToken) -> None:
    """Names, lifetimes and permissions outside the documented shape are the caller's mistake."""
    made = await room()
    grant = authorize(ADMIN, ALL, ISSUE)
    with pytest.raises(InvalidInputError):
        await made.tokens.issue(grant, command, made.entry())


async def test_a_lifetime_is_cut_to_the_policy() -> None:
    """Nobody gets a longer life than the settings allow, however large the number."""
    made = await room(TokenPolicy(lifetime_seconds=3600, unregistered_ceiling=("read",)))
    command = IssueToken("bot", ttl_seconds=10**18)
    issued = await made.tokens.issue(admin(ISSUE, "bot"), command, made.entry())
    assert issued.expires_in == 3600


async def test_no_token_extends_itself() -> None:
    """With a live token its holder gets no token, and no refresh family, that outlives it."""
    made = await room()
    made.register.add("bot", "read")
    credential = Credential("token", "bot", ("read",), START + 100)
    principal = Principal(Kind.SERVICE, "bot")
    grant = authorize(principal, with_own("bot", ("read",)), ISSUE, "bot", credential)
    issued = await made.tokens.issue(grant, IssueToken("bot", refresh=True), made.entry())
    assert issued.expires_in == 100
    made.clock.move(100)
    with pytest.raises(TokenError):
        await made.tokens.refresh(RefreshToken(issued.refresh_token or ""), made.entry())


async def test_issuing_is_recorded_with_its_rows_and_without_the_token() -> None:
    """The entry is committed with the token, carries its row's digest, and no text of it."""
    made = await room()
    before = len(made.database.inbox)
    async with made.entry("tokens:issue") as entry:
        issued = await made.tokens.issue(admin(ISSUE, "bot"), IssueToken("bot", refresh=True), entry)
    (line,) = made.database.inbox[before:]
    event = msgspec.json.decode(line)
    assert event["resource"] == "bot"
    assert len(event["rows"]) == 3
    assert issued.token.encode() not in line
    assert (issued.refresh_token or "-").encode() not in line
    assert not made.journal.events


async def test_a_token_is_stored_as_a_digest_only() -> None:
    """No row holds the token or the refresh token itself."""
    made = await room()
    issued = await made.tokens.issue(admin(ISSUE, "bot"), IssueToken("bot", refresh=True), made.entry())
    refresh = issued.refresh_token or "-"
    state = await made.store.read(Wanted(token=token_digest(issued.token), refresh=token_digest(refresh)))
    text = repr(state)
    assert issued.token not in text
    assert refresh not in text


# The bootstrap rule's limits.


async def test_bootstrap_gives_read_and_write_for_a_day() -> None:
    """Without credentials there is `read` and `write`, a day at most, whatever is asked for."""
    made = await room(TokenPolicy(lifetime_seconds=30 * 86_400, unregistered_ceiling=("admin",)))
    grant = authorize(BOOTSTRAP, RIGHTS, ISSUE, "bot")
    command = IssueToken("bot", ("read", "write", "admin", "tokens:issue"), ttl_seconds=10**6)
    issued = await made.tokens.issue(grant, command, made.entry())
    assert set(issued.permissions) == {"read", "write"}
    assert issued.expires_in == 86_400


@pytest.mark.parametrize(
    ("registered", "command", "error", "reason"),
    [
        (True, IssueToken("bot"), AuthenticationError, "bootstrap: the name is registered"),
        (False, IssueToken("bot", refresh=True), PermissionDeniedError, "bootstrap: no refresh"),
    ],
)
async def test_bootstrap_never_gives_a_registered_name_or_a_refresh_token(
    registered: bool, command: IssueToken, error: type[TradewardenError], reason: str
) -> None:
    """A registered service proves itself; and nothing without credentials renews itself."""
    made = await room()
    if registered:
        made.register.add("bot", "read")
    grant = authorize(BOOTSTRAP, RIGHTS, ISSUE, "bot")
    with pytest.raises(error) as refused:
        await made.tokens.issue(grant, command, made.entry())
    assert refused.value.reason.startswith(reason)


async def test_what_came_of_bootstrap_never_gets_a_refresh_token() -> None:
    """A token of the rule, and one that was asked for with it, give tokens to their end and no refresh token."""
    made = await room(TokenPolicy(unregistered_ceiling=("read", "write")))
    issued = await made.tokens.issue(authorize(BOOTSTRAP, RIGHTS, ISSUE, "bot"), IssueToken("bot"), made.entry())
    for _ in range(3):
        proven = await made.authenticate(issued.token)
        assert proven.bootstrap
        credential = Credential("token", "bot", proven.names, proven.expires_at, bootstrap=proven.bootstrap)
        grant = authorize(proven.principal, proven.permissions, ISSUE, "bot", credential)
        with pytest.raises(RefreshRefusedError, match="without credentials") as refused:
            await made.tokens.issue(grant, IssueToken("bot", refresh=True), made.entry())
        assert refused.value.reason == "bootstrap: no refresh token is given"
        made.clock.move(60)
        issued = await made.tokens.issue(grant, IssueToken("bot"), made.entry())
    assert issued.expires_in == 86_400 - 180


async def test_a_token_that_somebody_proven_gave_may_ask_for_a_refresh_token() -> None:
    """The rule's limit holds for its own tokens alone, not for an unregistered name's that an admin gave."""
    made = await room(TokenPolicy(unregistered_ceiling=("read", "write")))
    issued = await made.tokens.issue(admin(ISSUE, "bot"), IssueToken("bot"), made.entry())
    proven = await made.authenticate(issued.token)
    assert not proven.bootstrap
    credential = Credential("token", "bot", proven.names, proven.expires_at, bootstrap=proven.bootstrap)
    grant = authorize(proven.principal, proven.permissions, ISSUE, "bot", credential)
    again = await made.tokens.issue(grant, IssueToken("bot", refresh=True), made.entry())
    assert again.refresh_token


async def test_a_token_that_is_too_long_to_be_accepted_is_not_issued() -> None:
    """Up to 8 KiB a token is issued and accepted; beyond, nothing is issued and the caller learns what to do."""
    made = await room()
    made.register.add("bot", "read")
    answers = []
    for count in range(50, 56):
        names = tuple(f"read:{'x' * 100}/{number}" for number in range(count))
        try:
            issued = await made.tokens.issue(admin(ISSUE, "bot"), IssueToken("bot", names, refresh=True), made.entry())
        except InvalidInputError as refused:
            answers.append(str(refused))
        else:
            assert len(issued.token) <= MAX_TOKEN_CHARACTERS
            assert (await made.authenticate(issued.token)).names == names
    assert 0 < len(answers) < 6
    assert await made.tokens.counts() == 6 - len(answers)
    assert answers[-1].startswith("A token of these 55 permissions has 8,")
    assert answers[-1].endswith("more than 8,192 are not accepted; ask for fewer permissions, or for wider scopes")
