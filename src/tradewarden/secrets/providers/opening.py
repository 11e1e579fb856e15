"""From settings to the providers of a chain. What a provider needs is imported when it is chosen, never before."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from tradewarden.errors import ConfigurationError
from tradewarden.settings.table import SecretProvider

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, MutableMapping
    from pathlib import Path

    from tradewarden.secrets.providers.provider import Provider
    from tradewarden.settings.library import ProviderSettings


def open_providers(
    settings: ProviderSettings, environ: MutableMapping[str, str], dotenv: Path | None = None
) -> list[Provider]:
    """Return the chosen providers in their order; nobody is called yet.

    `environ` and `dotenv` are what the provider `environment` reads. Raises `ConfigurationError` for an extra that is
    not installed, a key or a CA file that cannot be used; what was opened by then is closed.
    """
    with ExitStack() as opened:
        providers = []
        for name in settings.providers:
            provider = _open(name, settings, environ, dotenv)
            opened.callback(provider.close)
            providers.append(provider)
        opened.pop_all()
    return providers


def _open(
    name: SecretProvider, settings: ProviderSettings, environ: MutableMapping[str, str], dotenv: Path | None
) -> Provider:
    match name:
        case "environment":
            from tradewarden.secrets.providers.environment import EnvironmentProvider

            return EnvironmentProvider(environ, dotenv=dotenv)
        case "files":
            return _files(settings)
        case "vault":
            return _vault(settings)
        case "aws":
            from tradewarden.secrets.providers.aws.aws import AwsProvider

            return AwsProvider(
                region=settings.aws_region, endpoint_url=settings.aws_endpoint_url, prefix=settings.aws_prefix
            )
        case "tradewarden":
            return _service(settings)


def _files(settings: ProviderSettings) -> Provider:
    from tradewarden.secrets.providers.files.files import EncryptedFilesProvider
    from tradewarden.secrets.providers.files.key import FilesKey

    directory, given = settings.secrets_dir, settings.encryption_key
    if given is None:
        return EncryptedFilesProvider(directory, lambda: FilesKey.in_directory(directory))
    return EncryptedFilesProvider(directory, FilesKey.from_fernet(given.reveal()))


def _vault(settings: ProviderSettings) -> Provider:
    from tradewarden.secrets.providers.vault.config import vault_config
    from tradewarden.secrets.providers.vault.provider import VaultProvider

    return VaultProvider(vault_config(settings))


def _service(settings: ProviderSettings) -> Provider:
    from tradewarden.secrets.providers.service import ServiceProvider

    token: str | Callable[[], str] = "" if settings.service_token is None else settings.service_token.reveal()
    if settings.service_token_file is not None:
        token = _FileToken(settings.service_token_file)
    return ServiceProvider(settings.service_url or "", token=token, context=_context(settings.service_ca))


class _FileToken:
    """A token that somebody else replaces in time: read at each call."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self) -> str:
        try:
            return self._path.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "not ASCII"
            raise ConfigurationError(f"TRADEWARDEN_TOKEN_FILE: cannot read {self._path} ({why})") from None


def _context(ca: Path | None) -> ssl.SSLContext | None:
    if ca is None:
        return None
    import ssl

    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        why = error.strerror or type(error).__name__
        raise ConfigurationError(f"TRADEWARDEN_CA_FILE: {ca} is no PEM file that can be read ({why})") from None
