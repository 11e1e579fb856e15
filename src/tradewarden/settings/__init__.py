"""The environment, read once, checked as a whole, and handed on as one frozen value.

`table` names every variable with its type, default and effect; reading, `.env.example` and the
configuration page all come from it. A start either gets complete `Settings` or one
`ConfigurationError` that lists every mistake. A program that only reads secrets takes the few rows
that say where they are (`load_provider_settings`).
"""

from tradewarden.settings.kinds import RateLimit
from tradewarden.settings.library import ProviderSettings, load_provider_settings
from tradewarden.settings.load import load_settings
from tradewarden.settings.model import Settings
from tradewarden.settings.secret import Secret

__all__ = ["ProviderSettings", "RateLimit", "Secret", "Settings", "load_provider_settings", "load_settings"]
