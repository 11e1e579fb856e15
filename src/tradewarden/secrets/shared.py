"""The secrets of this process for code that needs one text and nothing else: `platform_secret("polygon_api_key")`.

Always true here: the process has one `PlatformSecrets`, opened from its environment with the first read, whatever the
number of modules that read.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tradewarden.errors import SecretNotFoundError
from tradewarden.secrets.providers.content import as_text

if TYPE_CHECKING:
    from tradewarden.secrets.platform import PlatformSecrets

_lock = threading.Lock()
_opened: list[PlatformSecrets] = []


def platform_secrets() -> PlatformSecrets:
    """Return the process's `PlatformSecrets`."""
    with _lock:
        if not _opened:
            from tradewarden.secrets.platform import PlatformSecrets

            _opened.append(PlatformSecrets.from_environment())
        return _opened[0]


def platform_secret(name: str, field: str = "") -> str:
    """Return a secret's text, or the text of one of its fields: `platform_secret("binance_credentials", "api_key")`.

    Raises `SecretNotFoundError` when there is no such secret or field, and what the providers raise (see
    `tradewarden.secrets.providers.provider`).
    """
    content = platform_secrets().get(name).content
    if not field:
        return as_text(content)
    held = content.get(field) if isinstance(content, dict) else None
    if held is None:
        raise SecretNotFoundError(f"{name}#{field}", reason="the secret has no such field")
    return held if isinstance(held, str) else str(held)
