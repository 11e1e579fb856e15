"""TradPal's door to Tradewarden: its names over our rooms, without logic of its own (docs/tradpal.md)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.security_service.api import SecurityAPI, create_security_api
    from services.security_service.client import SecurityServiceClient
    from services.security_service.service import JWTToken, SecurityConfig, SecurityService, ServiceCredentials

__all__ = [
    "JWTToken",
    "SecurityAPI",
    "SecurityConfig",
    "SecurityService",
    "SecurityServiceClient",
    "ServiceCredentials",
    "create_security_api",
]
_MODULES = {"SecurityAPI": "api", "SecurityServiceClient": "client", "create_security_api": "api"}


def __getattr__(name: str) -> object:
    """Load a name when it is asked for, so that `python -m services.security_service.api` loads its module once."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'service')}"), name)
