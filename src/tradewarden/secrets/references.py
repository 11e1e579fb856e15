"""References in configuration: `${ALPHAPULSE_BINANCE_API_KEY}` in a YAML, TOML, JSON or INI file stands for a secret.

    config = resolved(yaml.safe_load(path.read_text()))
    parser = ConfigParser(interpolation=References())

Always true here: only variables that begin with `ALPHAPULSE_` are looked at, a reference to what is nowhere is an error
and never an empty text, and the text of a secret is not searched for references again.

Resolve your own files only: who can write what is resolved can ask for every secret.
"""

from __future__ import annotations

import re
from configparser import BasicInterpolation
from types import GeneratorType
from typing import TYPE_CHECKING, Final, TypeVar, cast

from tradewarden.errors import SecretNotFoundError
from tradewarden.secrets.naming import (
    DATA_PROVIDERS,
    DATABASE,
    DATABASE_FIELDS,
    EXCHANGE_FIELDS,
    PREFIX,
    api_key_secret,
    exchange_secret,
)
from tradewarden.secrets.shared import platform_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, MutableMapping

T = TypeVar("T")
_REFERENCE: Final = re.compile(r"\$\{(ALPHAPULSE_[A-Z0-9_]+)\}")


def resolved(document: T, read: Callable[[str], str] | None = None) -> T:
    """Return a copy of `document` with every reference in its texts replaced by the secret.

    Dicts, lists and tuples are gone through, keys are left; what a generator gives (`yaml.safe_load_all`) is resolved
    when it gives it. `read` gives the text of a variable; by default the
    process's providers do. Raises `SecretNotFoundError` naming the variable.
    """
    return cast("T", _resolved(document, read or secret_of_variable))


class References(BasicInterpolation):
    """An interpolation for `configparser` that also resolves references, after `%(name)s`.

    `plain` resolves references and nothing else: for `RawConfigParser`, and in place of `interpolation=None`.
    """

    def __init__(self, *, plain: bool = False) -> None:
        super().__init__()
        self._plain = plain

    def before_get(
        self,
        parser: MutableMapping[str, Mapping[str, str]],
        section: str,
        option: str,
        value: str,
        defaults: Mapping[str, str],
    ) -> str:
        """Return the value as the program sees it."""
        return resolved(value if self._plain else super().before_get(parser, section, option, value, defaults))

    def before_set(self, parser: MutableMapping[str, Mapping[str, str]], section: str, option: str, value: str) -> str:
        """Return the value as the parser keeps it; plain ones take a % as it is."""
        return value if self._plain else super().before_set(parser, section, option, value)


def secret_of_variable(variable: str) -> str:
    """Return the secret that stands behind a variable of `tradewarden.secrets.naming`, from the process's providers."""
    for name, field in _candidates(variable.removeprefix(PREFIX)):
        try:
            return platform_secret(name, field)
        except SecretNotFoundError:
            continue
    raise SecretNotFoundError(variable, reason="no secret stands for this variable")


def _resolved(document: object, read: Callable[[str], str]) -> object:
    if isinstance(document, str):
        return _REFERENCE.sub(lambda found: read(found[1]), document) if "${" in document else document
    if isinstance(document, dict):
        return {key: _resolved(value, read) for key, value in document.items()}
    if isinstance(document, list):
        return [_resolved(value, read) for value in document]
    if isinstance(document, GeneratorType):
        return (_resolved(value, read) for value in document)
    if type(document) is tuple:
        return tuple(_resolved(value, read) for value in document)
    return document


def _candidates(short: str) -> Iterator[tuple[str, str]]:
    """Give the secrets, each with its field, that a variable may stand for, the likeliest first."""
    for field, suffix in DATABASE_FIELDS.items():
        if short == suffix:
            yield DATABASE, field
    whole = (short.lower(), "")
    if whole[0] in map(api_key_secret, DATA_PROVIDERS):
        yield whole
    for field, suffix in EXCHANGE_FIELDS.items():
        if short.endswith(f"_{suffix}"):
            yield exchange_secret(short.removesuffix(f"_{suffix}")), field
    yield whole
