"""Tradewarden as a library: the rooms of one installation in this very process.

Run it anywhere; it makes a development installation below the working directory:

    python examples/library.py
"""

import asyncio

from tradewarden import Warden
from tradewarden.audit.query import Filter
from tradewarden.errors import ConflictError, PermissionDeniedError, SecretNotFoundError, TokenError


async def secrets(warden: Warden) -> None:
    """Versioned values, written with compare-and-set."""
    room = warden.local.secrets
    first = await room.put("exchanges/binance", {"api_key": "made-up", "secret_key": "made-up"})
    try:
        await room.put("exchanges/binance", {"api_key": "too-late"}, cas=first.version - 1)
    except ConflictError as error:
        print(f"not written: {error}")
    found = await room.get("exchanges/binance")
    print(f"version {found.version} has {', '.join(found.value())}")
    try:
        await room.get("exchanges/nowhere")
    except SecretNotFoundError as error:
        print(error)


async def tokens(warden: Warden) -> None:
    """A registered service, a token cut to its register, and its end."""
    name = f"orders-{warden.randomness(4).hex()}"
    await warden.local.services.register(name, ["secrets:read:exchanges/*"])
    token = await warden.local.tokens.issue(name, ["read", "write"])
    print(f"asked for read and write, granted {', '.join(token.permissions)}")
    await warden.local.tokens.revoke(token=token.token)
    try:
        await warden.local.tokens.validate(token.token)
    except TokenError as error:
        print(f"{error} ({error.reason})")
    try:
        await warden.local.tokens.issue(name, ["write"])
    except PermissionDeniedError as error:
        print(error)


async def certificates(warden: Warden) -> None:
    """A certificate for mutual TLS, with its key, its chain and the root to trust."""
    made = await warden.local.credentials.issue("orders", dns_names=["orders.internal"], ttl_hours=24)
    print(f"{made.spiffe_id} for {(made.expires_at - made.issued_at) / 3600:.0f} hours")


async def audit(warden: Warden) -> None:
    """Every call above is in the log, the refused ones too."""
    entries: list[dict[str, object]] = []
    while not entries:  # what just happened is numbered, and then found, within a second
        await asyncio.sleep(0.1)
        entries = await warden.local.audit.search(Filter(resource="exchanges/nowhere"))
    newest = entries[0]
    print(f"{newest['event_type']} {newest['action']} {newest['resource']}: {newest['result']}")


async def main() -> None:
    """Visit the rooms."""
    async with Warden.open() as warden:
        for room in (secrets, tokens, certificates, audit):
            await room(warden)


if __name__ == "__main__":
    asyncio.run(main())
