"""A tour of the service in TradPal's words: `python services/security_service/demo.py`.

Everything is real and lies in the data directory afterwards (`cache/security` unless settings say otherwise); a
service that runs on the same directory sees it at once.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from services.security_service import SecurityConfig, SecurityService
from tradewarden.errors import TradewardenError

NAME = "trading_bot_service"
PATH = "api_keys/demo_exchange"


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
    print(f"  elsewhere    {await service.retrieve_secret('api_keys/nowhere')}")


async def show_audit(service: SecurityService) -> None:
    """Show what the log says about all this."""
    health = await service.health_check()
    print(f"\nThe service is {health['status']}; what just happened is in the audit log:")
    for entry in reversed(await service.warden.local.audit.search(limit=6)):
        words = (entry["timestamp"], entry["event_type"], entry["action"], entry["resource"], entry["result"])
        print("  " + "  ".join(str(word) for word in words))


async def main() -> None:
    """Go through all of it."""
    service = SecurityService(SecurityConfig())
    await service.start()
    try:
        for show in (show_certificate, show_token, show_secret, show_audit):
            await show(service)
    finally:
        await service.stop()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except TradewardenError as error:
        sys.exit(f"demo: {error.detail}")
