"""The extra that a migration needs, asked for before anything is read."""

from __future__ import annotations

from importlib.util import find_spec

from tradewarden.errors import ExtraMissingError


def require_extra() -> None:
    """Raise `ConfigurationError` when LibCST or PyYAML is not installed."""
    if find_spec("libcst") is None or find_spec("yaml") is None:
        raise ExtraMissingError("rewriting needs LibCST and PyYAML", "migrate")
