"""Opens the targets of a method, and refuses those that git would pick up (decision 24)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tradewarden.errors import ConfigurationError, UnavailableError
from tradewarden.migrate.git import git_directory, repository
from tradewarden.migrate.targets import Method, Target
from tradewarden.secrets.naming import ENCRYPTION_KEY
from tradewarden.secrets.providers.dotenv_file import quoted
from tradewarden.secrets.providers.environment import EnvironmentProvider
from tradewarden.secrets.providers.opening import open_providers
from tradewarden.settings.library import load_provider_settings
from tradewarden.settings.secret import Secret
from tradewarden.settings.table import PROVIDERS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tradewarden.settings.library import ProviderSettings

OUTPUT: Final = ".env.secure"
SECRETS_DIR: Final = ".secrets"
KEY_FILE: Final = "key"
"""What stands in a directory of encrypted files and must never be committed, as their key is in it."""


def open_targets(
    method: Method, environ: Mapping[str, str], dotenv: Path, *, output: Path, secrets_dir: Path
) -> list[Target]:
    """Return the targets of a method; nothing is made on the disk, and nobody is called yet.

    `environ` and `dotenv` say where providers are and how to log in there. Raises `ConfigurationError` for a file or
    directory that git does not ignore, and for missing settings.
    """
    targets: list[Target] = []
    if method in (Method.ENV, Method.BOTH):
        refuse_tracked(output)
        targets.append(_env(output, alone=method is Method.ENV))
    if method in (Method.ENCRYPTED, Method.BOTH):
        refuse_tracked(secrets_dir / KEY_FILE)
        targets.append(_encrypted(secrets_dir, environ, dotenv))
    if not targets:
        targets.append(_remote(method, environ, dotenv))
    return targets


def refuse_tracked(path: Path) -> None:
    """Raise `ConfigurationError` when a commit could take `path` along, or what it is a link to."""
    if path.is_symlink():
        refuse_tracked(path.resolve())
    inside = git_directory(path.absolute().parent)
    if inside is None:
        return
    top = inside[0]
    name = path.absolute().parent.resolve() / path.name
    shown = name.relative_to(top).as_posix()
    if not _is_ignored(top, shown):
        raise ConfigurationError(
            f"{path} lies in the work tree {top} and git would pick it up; nothing was written. "
            f"Add the line /{_line(shown)} to {top / '.gitignore'}, or name a place outside of the work tree"
        )


def _line(shown: str) -> str:
    return f"{shown.removesuffix(f'/{KEY_FILE}')}/" if shown.endswith(f"/{KEY_FILE}") else shown


def _is_ignored(top: Path, path: str) -> bool:
    with repository(top) as repo:
        if repo is None:
            return False
        # Ignored, and not tracked: a tracked file stays tracked, whatever .gitignore says.
        try:
            if repo.run("ls-files", "--cached", "--", path):
                return False
            repo.run("--no-literal-pathspecs", "check-ignore", "--no-index", "-q", "--", path)
        except UnavailableError:
            return False
    return True


def _env(output: Path, *, alone: bool) -> Target:
    """Return an env file; `alone`, programs read its variables themselves and not through a provider."""
    provider = EnvironmentProvider({}, dotenv=output)
    if alone:
        return Target(provider, str(output), output, _refused_alone)
    # Beside encrypted files the variable of this name is their key; another key under it would lock them.
    return Target(provider, str(output), output, reserved=ENCRYPTION_KEY)


def _refused_alone(value: str) -> str:
    text = quoted(value)
    plain = text[1:-1] if text[0] in "'\"" else text
    return "" if plain == value else "no .env file says it the same to every reader; another method can hold it"


def _encrypted(directory: Path, environ: Mapping[str, str], dotenv: Path) -> Target:
    settings = replace(_settings("files", environ, dotenv), secrets_dir=directory)
    key = settings.encryption_key

    def refused(value: str) -> str:
        same = key is not None and key == Secret(value)
        return "it is the key of the encrypted files, which cannot lie among them" if same else ""

    return Target(open_providers(settings, {})[0], f"{directory}/", directory, refused, is_directory=True)


def _remote(method: Method, environ: Mapping[str, str], dotenv: Path) -> Target:
    settings = _settings(method.value, environ, dotenv)
    places = {
        Method.VAULT: f"Vault at {settings.vault.url}",
        Method.AWS: f"AWS Secrets Manager in {settings.aws_region or 'the default region'}",
        Method.TRADEWARDEN: f"Tradewarden at {settings.service_url}",
    }
    return Target(open_providers(settings, {})[0], places[method])


def _settings(provider: str, environ: Mapping[str, str], dotenv: Path) -> ProviderSettings:
    return load_provider_settings({**environ, PROVIDERS.name: provider}, dotenv)
