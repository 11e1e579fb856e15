"""The environment, read once, checked as a whole, and handed on as one frozen value.

`table` names every variable with its type, default and effect; reading, `.env.example` and the
configuration page all come from it. A start either gets complete `Settings` or one
`ConfigurationError` that lists every mistake.
"""

from tradewarden.settings.kinds import RateLimit
from tradewarden.settings.load import load_settings
from tradewarden.settings.model import Settings
from tradewarden.settings.secret import Secret

__all__ = ["RateLimit", "Secret", "Settings", "load_settings"]
