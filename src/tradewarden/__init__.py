"""Tradewarden: secrets, service identities, tokens, permissions and a provable audit log in one service.

`from tradewarden import Warden` opens an installation in this very process; `tradewarden serve` runs the service; a
service that calls it keeps its certificate fresh with `from tradewarden import ServiceIdentity`; a bot reads its
platform's credentials with `from tradewarden import PlatformSecrets` (or `AsyncPlatformSecrets`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tradewarden.app import Warden
    from tradewarden.secrets.platform import AsyncPlatformSecrets, PlatformSecrets
    from tradewarden.settings import Settings, load_settings
    from tradewarden.workload.identity import ServiceIdentity

__all__ = [
    "AsyncPlatformSecrets",
    "PlatformSecrets",
    "ServiceIdentity",
    "Settings",
    "Warden",
    "__version__",
    "load_settings",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Load what is asked for when it is asked for: a command's help must not wait for cryptography."""
    if name == "Warden":
        from tradewarden.app import Warden

        return Warden
    if name in ("Settings", "load_settings"):
        from tradewarden import settings

        return getattr(settings, name)
    if name in ("AsyncPlatformSecrets", "PlatformSecrets"):
        from tradewarden.secrets import platform

        return getattr(platform, name)
    if name == "ServiceIdentity":
        from tradewarden.workload.identity import ServiceIdentity

        return ServiceIdentity
    raise AttributeError(f"module 'tradewarden' has no attribute {name!r}")
