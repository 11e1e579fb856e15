"""Which root source a URI names (`TRADEWARDEN_ROOT_KEY`)."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tradewarden.crypto.pkcs11 import NO_TOKENS, Access
from tradewarden.errors import ConfigurationError
from tradewarden.keys.root_env import EnvRoot
from tradewarden.keys.root_file import FileRoot
from tradewarden.keys.root_passphrase import passphrase_from_environment, passphrase_from_file
from tradewarden.keys.root_pkcs11 import TokenRoot
from tradewarden.keys.store import LONGEST_URI
from tradewarden.settings.pkcs11 import TokenUri, is_token_uri, parse_token_uri

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tradewarden.keys.root import RootSource

PASSPHRASE_VARIABLE: Final = "TRADEWARDEN_PASSPHRASE"  # noqa: S105
_LATER: Final = ("awskms", "vault-transit")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_FORMS: Final = "file:PATH, env:NAME, passphrase:, passphrase:env:NAME, passphrase:file:PATH or pkcs11:token=NAME"


def root_source(uri: str, environment: Mapping[str, str], access: Access = NO_TOKENS) -> RootSource:
    """Return the source that `uri` names; raises `ConfigurationError` for one that is not understood.

    `root_source("env:ALPHAPULSE_ENCRYPTION_KEY", os.environ)`. The message never repeats more than the scheme, because
    someone may have put the key itself where its URI belongs.
    """
    source = _named(uri, environment, access)
    if len(source.uri) > LONGEST_URI or not source.uri.isprintable():
        raise ConfigurationError(
            f"TRADEWARDEN_ROOT_KEY: a path may have printable characters only, {LONGEST_URI} with all its directories"
        )
    return source


class RootSources:
    """The root source that this process is configured with, and any other that its environment lets it open."""

    def __init__(self, uri: str, environment: Mapping[str, str], access: Access = NO_TOKENS) -> None:
        self.configured = root_source(uri, environment, access)
        self._environment = environment
        self._access = access
        self._token = parse_token_uri(uri) if is_token_uri(uri) else None

    def named(self, uri: str) -> RootSource:
        """Return the source that `uri` names; raises `ConfigurationError`.

        Callers and the database may name a token and a key, never the code that is loaded or the file that is read for
        a PIN: those are this process's own settings.
        """
        if is_token_uri(uri):
            asked = _token_uri(uri)
            if asked.module_path is not None or asked.pin_source is not None:
                raise ConfigurationError(
                    "TRADEWARDEN_ROOT_KEY: module-path and pin-source cannot be named here; set"
                    " TRADEWARDEN_PKCS11_MODULE and TRADEWARDEN_PKCS11_PIN for the service"
                )
            if self._token is not None:
                ours = (self._token.module_path, self._token.pin_source)
                return TokenRoot(replace(asked, module_path=ours[0], pin_source=ours[1]), self._access)
        return root_source(uri, self._environment, self._access)


def _named(uri: str, environment: Mapping[str, str], access: Access) -> RootSource:
    scheme, colon, rest = uri.partition(":")
    if scheme == "file" and rest:
        return FileRoot(Path(rest).absolute())
    if scheme == "env" and _VARIABLE.fullmatch(rest):
        return EnvRoot(rest, environment)
    if scheme == "passphrase" and colon:
        return _passphrase(rest, environment)
    if is_token_uri(uri):
        return TokenRoot(_token_uri(uri), access)
    if scheme in _LATER:
        raise ConfigurationError(
            f"TRADEWARDEN_ROOT_KEY: {scheme}: is planned and not in this version yet; use {_FORMS}"
        )
    raise ConfigurationError(f"TRADEWARDEN_ROOT_KEY is not understood; use {_FORMS}")


def _token_uri(uri: str) -> TokenUri:
    try:
        return parse_token_uri(uri)
    except ValueError as error:
        raise ConfigurationError(f"TRADEWARDEN_ROOT_KEY: the value {error}") from error


def _passphrase(rest: str, environment: Mapping[str, str]) -> RootSource:
    kind, _, where = rest.partition(":")
    if not rest:
        return passphrase_from_environment(PASSPHRASE_VARIABLE, environment)
    if kind == "env" and _VARIABLE.fullmatch(where):
        return passphrase_from_environment(where, environment)
    if kind == "file" and where:
        return passphrase_from_file(Path(where).absolute())
    raise ConfigurationError(f"TRADEWARDEN_ROOT_KEY is not understood after passphrase:; use {_FORMS}")
