"""A tour of the service in TradPal's words: `python services/security_service/demo.py`.

Everything is real and lies in the data directory afterwards (`cache/security` unless settings say otherwise); a
service that runs on the same directory sees it at once.
"""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from services.security_service import SecurityConfig, SecurityService
from tradewarden.audit.query import Filter
from tradewarden.clock import rfc3339
from tradewarden.errors import TradewardenError

NAME = "trading_bot_service"
PATH = "api_keys/demo_exchange"
MISSING = "api_keys/nowhere"
PATIENCE_SECONDS = 3
"""A process that ended as the log's leader may hold the lead for a few seconds more; then the list is shorter."""


async def show_certificate(service: SecurityService) -> None:
    """Issue a certificate and say what is in it."""
    made = await service.issue_service_credentials(NAME)
    print(f"A certificate for {NAME}")
    print(f"  identity     {made.spiffe_id}")
    print(f"  serial       {made.serial_number}")
    print(f"  valid until  {made.expires_at:%Y-%m-%d}")
    print(f"  trusted by   {service.config.ca_cert_path}")
    print(f"  private key  {len(made.private_key)} characters of PEM, kept nowhere but here")


async def show_token(service: SecurityService) -> None:
    """Issue a token, have it checked, and have a changed one refused."""
    token = await service.generate_jwt_token(NAME, permissions=["read", "write"])
    valid = await service.validate_jwt_token(token.token)
    header, payload, signature = token.token.split(".")
    forged = await service.validate_jwt_token(f"{header}.{payload}.{signature[::-1]}")
    print(f"\nA token for {NAME}")
    print(f"  grants       {', '.join(valid.permissions) if valid else 'nothing'}")
    print(f"  valid until  {token.expires_at:%Y-%m-%d %H:%M} UTC")
    print(f"  its forgery  {'refused' if forged is None else 'ACCEPTED'}")


async def show_secret(service: SecurityService) -> None:
    """Store a made-up secret, read it back, and ask for one that is not there."""
    await service.store_secret(PATH, {"api_key": "made-up", "secret_key": "made-up"})
    found = await service.retrieve_secret(PATH) or {}
    print(f"\nA secret at {PATH}")
    print(f"  fields       {', '.join(found)} (their values are not shown)")
    print(f"  elsewhere    {await service.retrieve_secret(MISSING)}")


async def show_audit(service: SecurityService, since: str) -> None:
    """Show what the log says about all this, once it has numbered it."""
    wanted = Filter(since=since, resource=MISSING, oldest_first=True)
    audit = service.warden.local.audit
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await audit.search(wanted):  # noqa: ASYNC110 - another process may be the one that numbers
                await asyncio.sleep(0.05)
    health = await service.health_check()
    print(f"\nThe service is {health['status']}. What just happened, from the audit log:")
    for entry in await audit.search(Filter(since=since, resource="*", oldest_first=True)):
        if entry["resource"]:
            when, what = str(entry["timestamp"])[11:19], f"{entry['event_type']} {entry['action']}"
            print(f"  {when}  {what:<22} {entry['result']:<8} {entry['resource']}")


async def main() -> None:
    """Go through all of it."""
    service = SecurityService(SecurityConfig())
    await service.start()
    since = rfc3339(time.time())
    try:
        await show_certificate(service)
        await show_token(service)
        await show_secret(service)
        await show_audit(service, since)
    finally:
        await service.stop()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except TradewardenError as error:
        sys.exit(f"demo: {error.detail}")
