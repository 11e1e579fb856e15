"""The settings that a command works with: the environment and `.env`, as the service itself reads them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tradewarden.settings import Settings

URL = "TRADEWARDEN_URL"
TOKEN = "TRADEWARDEN_TOKEN"  # noqa: S105 - a name
TOKEN_FILE = "TRADEWARDEN_TOKEN_FILE"  # noqa: S105 - a name
CA_FILE = "TRADEWARDEN_CA_FILE"


def settings() -> Settings:
    """Return the settings; raises `ConfigurationError` listing every mistake."""
    from tradewarden.settings import load_settings

    return load_settings(os.environ, Path(".env"))
