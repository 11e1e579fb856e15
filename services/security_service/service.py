"""TradPal's `SecurityService`: the rooms of one installation in this process, under the names that TradPal calls.

Thin: every call is one of `Warden.local`, with its checks and its audit entry. Where TradPal expects None (a token
that is not valid, a secret that is not there) it gets None; every other failure is a typed error of
`tradewarden.errors`.
"""

from __future__ import annotations

import os
import time
from base64 import urlsafe_b64decode
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tradewarden import Settings, Warden, __version__, load_settings
from tradewarden.clock import rfc3339
from tradewarden.errors import SecretNotFoundError, TokenError, UnavailableError
from tradewarden.http.endpoints.health import Components, Health, health_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_FROM_ENVIRONMENT: Any = None
"""Not given: the variable of the field's name in capitals decides, then `.env`, then the variable's default."""


@dataclass(frozen=True)
class SecurityConfig:
    """TradPal's settings. What is not given comes from the environment, `.env`, or the documented default.

    Each field is the variable of its name in capitals (`enable_mtls`: `ENABLE_MTLS`) and is checked like it. A
    `jwt_secret_key`, `vault_url` or `vault_token` that nobody gives stays None. Raises `ConfigurationError` listing
    every mistake.
    """

    enable_mtls: bool = _FROM_ENVIRONMENT
    enable_jwt: bool = _FROM_ENVIRONMENT
    enable_vault: bool = _FROM_ENVIRONMENT
    jwt_secret_key: str | None = field(default=None, repr=False)
    jwt_algorithm: str = _FROM_ENVIRONMENT
    jwt_expiration_hours: int = _FROM_ENVIRONMENT
    ca_cert_path: str = _FROM_ENVIRONMENT
    ca_key_path: str = _FROM_ENVIRONMENT
    vault_url: str | None = None
    vault_token: str | None = field(default=None, repr=False)
    cert_validity_days: int = _FROM_ENVIRONMENT
    settings: Settings = field(init=False, repr=False, compare=False)
    """What the fields and the environment come to."""

    def __post_init__(self) -> None:
        settings = load_settings(self._environment(), Path(".env"))
        secret, token = settings.jwt_secret, settings.vault.token
        standing = {
            "enable_mtls": settings.enable_mtls,
            "enable_jwt": settings.enable_jwt,
            "enable_vault": settings.enable_vault,
            "jwt_secret_key": secret.reveal() if secret else None,
            "jwt_algorithm": settings.jwt_algorithm,
            "jwt_expiration_hours": settings.jwt_expiration_hours,
            "ca_cert_path": str(settings.ca_cert_path),
            "ca_key_path": str(settings.ca_key_path),
            "vault_url": settings.vault.url,
            "vault_token": token.reveal() if token else None,
            "cert_validity_days": settings.cert_validity_days,
            "settings": settings,
        }
        for name, value in standing.items():
            object.__setattr__(self, name, value)

    def _environment(self) -> Mapping[str, str]:
        """Return the environment with the given fields in the place of their variables."""
        environ = dict(os.environ)
        for each in fields(self):
            value = getattr(self, each.name) if each.init else None
            if value is not None:
                environ.pop(f"{each.name.upper()}_FILE", None)
                environ[each.name.upper()] = str(value).lower() if isinstance(value, bool) else str(value)
        return environ


@dataclass(frozen=True)
class ServiceCredentials:
    """A service's certificate and private key (PEM). The key is kept by nobody but the holder of this object."""

    service_name: str
    certificate: str = field(repr=False)
    private_key: str = field(repr=False)
    ca_certificate: str = field(repr=False)
    certificate_chain: str = field(repr=False)
    serial_number: str
    fingerprint_sha256: str
    spiffe_id: str
    issued_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class JWTToken:
    """A token and what it is good for; printing it shows no token."""

    token: str = field(repr=False)
    service_name: str
    permissions: list[str]
    issued_at: datetime
    expires_at: datetime


class SecurityService:
    """An installation, open in this process from `start` to `stop`; beside a running service, too."""

    def __init__(self, config: SecurityConfig | None = None, *, settings: Settings | None = None) -> None:
        """Take the configuration; `settings` is what is opened in the place of `config.settings`."""
        self.config = config or SecurityConfig()
        self.service_credentials: dict[str, ServiceCredentials] = {}
        """What this object issued, the newest of each service, by its name."""
        self._settings = settings or self.config.settings
        self._tokens: dict[str, JWTToken] = {}
        self._open = AsyncExitStack()
        self._warden: Warden | None = None

    async def start(self) -> None:
        """Open the installation; a fresh one is made in development. Raises `ConfigurationError`."""
        if self._warden is None:
            self._warden = await self._open.enter_async_context(Warden.open(self._settings))

    async def stop(self) -> None:
        """Finish what is under way and let everything go."""
        self._warden = None
        await self._open.aclose()

    @property
    def is_running(self) -> bool:
        """Whether calls are answered: `start` was called, `stop` not yet."""
        return self._warden is not None

    @property
    def warden(self) -> Warden:
        """Tradewarden's own interface to what is open here; raises `UnavailableError` before `start`."""
        if self._warden is None:
            raise UnavailableError("The security service is not started; call 'await service.start()' first")
        return self._warden

    @property
    def active_tokens(self) -> dict[str, JWTToken]:
        """What this object issued and has not expired, by the token's `jti`; `/health` counts those of everybody."""
        self._forget_expired()
        return dict(self._tokens)

    async def issue_service_credentials(self, service_name: str) -> ServiceCredentials:
        """Issue a certificate for a key made here. Raises `InvalidInputError` for a name that is refused."""
        made = await self.warden.local.credentials.issue(service_name)
        credentials = msgspec.convert(made, ServiceCredentials, from_attributes=True, strict=False)
        self.service_credentials[service_name] = credentials
        return credentials

    async def generate_jwt_token(self, service_name: str, permissions: Sequence[str] | None = None) -> JWTToken:
        """Issue a token; None asks for all that the service is registered for (`read` when it is not).

        It grants what was asked for, cut to what the service may have. Raises `PermissionDeniedError` when nothing
        is left of it.
        """
        made = await self.warden.local.tokens.issue(service_name, permissions)
        token = msgspec.convert(made, JWTToken, from_attributes=True)
        self._forget_expired()
        self._tokens[_claims(token.token).jti] = token
        return token

    async def validate_jwt_token(self, token: str) -> JWTToken | None:
        """Return what a token is good for now; None when it is not valid (why is in the audit log)."""
        try:
            valid = await self.warden.local.tokens.validate(token)
        except TokenError:
            return None
        issued_at = datetime.fromtimestamp(_claims(token).iat, UTC)
        expires_at = datetime.fromisoformat(valid.expires_at)
        return JWTToken(token, valid.service_name, list(valid.permissions), issued_at, expires_at)

    async def store_secret(self, path: str, data: Mapping[str, object]) -> bool:
        """Write a new version of a secret; True once it is durable, an error otherwise."""
        await self.warden.local.secrets.put(path, data)
        return True

    async def retrieve_secret(self, path: str) -> dict[str, object] | None:
        """Return a secret's current value; None when there is none."""
        try:
            return (await self.warden.local.secrets.get(path)).value()
        except SecretNotFoundError:
            return None

    async def health_check(self) -> dict[str, object]:
        """Return what `GET /health` answers; its status is `stopped` while this is not running."""
        health = self._stopped() if self._warden is None else await health_of(self._warden)
        answer: dict[str, object] = msgspec.to_builtins(health)
        return answer

    def _stopped(self) -> Health:
        settings = self._settings
        components = Components(settings.enable_mtls, settings.enable_jwt, vault=False, storage=False, audit=False)
        return Health("security_service", "stopped", rfc3339(time.time()), __version__, components, 0, 0)

    def _forget_expired(self) -> None:
        # All live equally long, so the oldest come first.
        now = datetime.now(UTC)
        while self._tokens and next(iter(self._tokens.values())).expires_at <= now:
            del self._tokens[next(iter(self._tokens))]


class _Claims(msgspec.Struct):
    jti: str
    iat: int


def _claims(token: str) -> _Claims:
    """Read a token that is known to be good."""
    payload = token.split(".")[1]
    return msgspec.json.decode(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)), type=_Claims)
