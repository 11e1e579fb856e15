"""Names that a caller made up: what is no name of its kind is not written down as it is (decision 20).

People put passwords and tokens where a name belongs. Looked at only when a call failed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tradewarden.access.principal import service_name
from tradewarden.errors import InvalidInputError
from tradewarden.pki.inventory import serial_of
from tradewarden.secrets.path import path_prefix, secret_path

if TYPE_CHECKING:
    from collections.abc import Callable

    import msgspec

_KINDS: Final[tuple[tuple[str, Callable[[str], str]], ...]] = (
    ("path", secret_path),
    ("prefix", path_prefix),
    ("service_name", service_name),
    ("serial_number", serial_of),
)


def misnamed(command: msgspec.Struct | None, resource: str) -> str:
    """Return the field of a command that names `resource` and is malformed; the empty string when none is."""
    for field, check in _KINDS:
        if resource and getattr(command, field, None) == resource and not _passes(check, resource):
            return field
    return ""


def _passes(check: Callable[[str], str], text: str) -> bool:
    try:
        check(text)
    except InvalidInputError:
        return False
    return True
