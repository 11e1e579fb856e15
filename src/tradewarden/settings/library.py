"""What a program needs that reads a platform's secrets: where they are, and nothing of the service's own settings.

Always true here: the rows, their rules and their messages are those of `table`; a host of a bot has no root key and
needs none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tradewarden.errors import ConfigurationError
from tradewarden.settings import rules, table
from tradewarden.settings.secret import Secret
from tradewarden.settings.sources import Reader, read_dotenv
from tradewarden.settings.table import ENVIRONMENTS, Environment, SecretProvider
from tradewarden.settings.vault import VaultAccess, read_vault

PROVIDERS: Mapping[Environment, tuple[SecretProvider, ...]] = {
    "development": ("environment", "files"),
    "staging": ("vault", "environment"),
    "production": ("aws", "environment"),
}
"""Where secrets are when nothing else is said, as AlphaPulse documents it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """Checked settings of a program that reads secrets; each field is one row of `table`, times are seconds."""

    environment: Environment
    providers: tuple[SecretProvider, ...]
    secrets_dir: Path
    encryption_key: Secret | None
    cache_seconds: int
    stale_seconds: int
    access_log: Path | None
    aws_region: str | None
    aws_endpoint_url: str | None
    aws_prefix: str
    service_url: str | None
    service_token: Secret | None
    service_token_file: Path | None
    service_ca: Path | None
    vault: VaultAccess

    @property
    def development(self) -> bool:
        """Whether defaults that are fit for one developer's machine only are in force."""
        return self.environment == "development"


def load_provider_settings(
    environ: Mapping[str, str], dotenv: Path | None = None, environment: str | None = None
) -> ProviderSettings:
    """Returns what `environ`, and below it the file `dotenv`, say about where secrets are.

    `environment` takes the place of `ALPHAPULSE_ENV`. What only the service needs is not looked at.

    Raises:
        ConfigurationError: lists every mistake; each names the variable, what is wrong and what
            to do, and shows no secret.
    """
    mistakes: list[str] = []
    file_values = read_dotenv(dotenv, mistakes)
    reader = Reader(environ, file_values, mistakes)
    settings = _build(reader, _environment(reader, environment), environ, file_values)
    mistakes += _unset(settings)
    mistakes += rules.placeholders(settings.environment, reader.given)
    mistakes += rules.library_from_dotenv(settings.environment, file_values)
    mistakes += rules.unknown({*environ, *file_values}, environ.get(table.ROOT_KEY.name, ""))
    if mistakes:
        raise ConfigurationError(mistakes)
    return settings


def named_environment(environ: Mapping[str, str]) -> Environment:
    """Returns what `ALPHAPULSE_ENV`, or the file that `ALPHAPULSE_ENV_FILE` names, says; development when neither does.

    Raises `ConfigurationError`.
    """
    mistakes: list[str] = []
    reader = Reader(environ, {}, mistakes)
    found = reader.read(table.ENVIRONMENT)
    if mistakes:
        raise ConfigurationError(mistakes)
    return found


def _environment(reader: Reader, chosen: str | None) -> Environment:
    if chosen is None:
        return reader.read(table.ENVIRONMENT)
    try:
        return table.ENVIRONMENT.kind.parse(chosen)
    except ValueError:
        reader.mistakes.append(f"environment: {chosen[:60]!r} is not one of {', '.join(ENVIRONMENTS)}; choose one")
        return table.ENVIRONMENT.default


def _build(
    reader: Reader, environment: Environment, environ: Mapping[str, str], dotenv: Mapping[str, str]
) -> ProviderSettings:
    read = reader.read
    token_file = environ.get(_TOKEN_FILE) or ("" if environ.get(table.SERVICE_TOKEN.name) else dotenv.get(_TOKEN_FILE))
    return ProviderSettings(
        environment=environment,
        providers=read(table.PROVIDERS) or PROVIDERS[environment],
        secrets_dir=read(table.SECRETS_DIR),
        encryption_key=read(table.ENCRYPTION_KEY),
        cache_seconds=read(table.CACHE_SECONDS),
        stale_seconds=read(table.LAST_KNOWN_SECONDS),
        access_log=read(table.ACCESS_LOG),
        aws_region=read(table.AWS_REGION),
        aws_endpoint_url=read(table.AWS_ENDPOINT_URL),
        aws_prefix=read(table.AWS_PREFIX),
        service_url=read(table.SERVICE_URL),
        service_token=read(table.SERVICE_TOKEN),
        service_token_file=Path(token_file) if token_file else None,
        service_ca=read(table.SERVICE_CA),
        vault=read_vault(reader),
    )


_TOKEN_FILE = f"{table.SERVICE_TOKEN.name}_FILE"


def _unset(settings: ProviderSettings) -> Iterator[str]:
    """Yields what a chosen provider needs and does not have."""
    chosen = settings.providers
    else_ = f"or choose other providers in {table.PROVIDERS.name} than {','.join(chosen)}"
    if "vault" in chosen:
        yield from (f"{name}: unset, and secrets are read from Vault; set it, {else_}" for name in settings.vault.unset)
    if "tradewarden" in chosen and settings.service_url is None:
        yield f"{table.SERVICE_URL.name}: unset, and secrets are read from Tradewarden; set it, {else_}"
    if "tradewarden" in chosen and settings.service_token is None:
        yield f"{table.SERVICE_TOKEN.name}: unset, and secrets are read from Tradewarden; set it, {else_}"
    if "files" in chosen and settings.encryption_key is None and not settings.development:
        yield (
            f"{table.ENCRYPTION_KEY.name}: unset, and in {settings.environment} no key is made up for encrypted files; "
            f"set it, {else_}"
        )
