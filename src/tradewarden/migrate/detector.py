"""detect-secrets as a library: its plugins for the tokens of many services, on lines that can hold one.

Its scanner, its settings and its verification, which calls the services, are not used: a plugin is asked for the
credentials in one line and nothing else, so nothing here ever reaches the network.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, Protocol

from tradewarden.errors import ExtraMissingError
from tradewarden.migrate.rules import values
from tradewarden.migrate.rules.shapes import Hit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_PLUGINS: Final = (
    ("artifactory", "ArtifactoryDetector", "AKC", r"AKC[A-Za-z0-9]{10}"),
    ("azure_storage_key", "AzureStorageKeyDetector", "AccountKey=", r"AccountKey=\w"),
    ("discord", "DiscordBotTokenDetector", ".", r"\.[\w-]{6}\.[\w-]{27}"),
    ("github_token", "GitHubTokenDetector", "gh", r"gh[pousr]_\w"),
    ("gitlab_token", "GitLabTokenDetector", "gl", r"gl[a-z]{1,6}-\w"),
    ("gitlab_token", "GitLabTokenDetector", "GR1348941", r"GR1348941"),
    ("jwt", "JwtTokenDetector", "eyJ", r"(?<![\w-])eyJ[\w-]{8,2000}\.[\w-]"),
    ("mailchimp", "MailchimpDetector", "-us", r"-us\d"),
    ("npm", "NpmDetector", ":_authToken=", r":_authToken=\s*\w"),
    ("openai", "OpenAIDetector", "T3BlbkFJ", r"T3BlbkFJ"),
    ("pypi_token", "PypiTokenDetector", "pypi-Ag", r"pypi-Ag"),
    ("sendgrid", "SendGridDetector", "SG.", r"SG\.[\w-]{22}\."),
    ("slack", "SlackDetector", "xox", r"xox[abposr]-"),
    ("square_oauth", "SquareOAuthDetector", "sq0csp-", r"sq0csp-"),
    ("stripe", "StripeDetector", "k_live_", r"[rs]k_live_\w"),
)
"""Module, class, and what a text and then a line must hold for the plugin to be asked: this makes it fast."""

_ANCHORS: Final = tuple((name, piece, re.compile(anchor)) for name, _, piece, anchor in _PLUGINS)
_BEFORE: Final = 200
_AFTER: Final = 1_500
"""So much of a line is looked at around an anchor; a plugin's pattern may take the square of that."""
_SHORTEST: Final = 12
_MORE: Final = re.compile(r"(?:[A-Za-z0-9_+/=-]|\.(?=[A-Za-z0-9_-])){1,2000}")
"""Some patterns stop before the token does."""


_NAMED: Final = re.compile(r"[A-Z][A-Za-z]{2,30}=(?=[^=]{12})")
"""Some patterns begin with the name: `AccountKey=`."""


class _Plugin(Protocol):
    @property
    def denylist(self) -> Iterable[re.Pattern[str]]: ...


def require() -> None:
    """Raises ConfigurationError where detect-secrets is not installed."""
    if find_spec("detect_secrets") is None:
        raise ExtraMissingError("Finding credentials needs detect-secrets", "migrate")


def detected(text: str) -> Iterator[Hit]:
    """Yield what detect-secrets' plugins find."""
    for name, piece, pattern in _ANCHORS:
        searched = 0
        for anchor in pattern.finditer(text) if piece in text else ():
            if anchor.start() < searched:
                continue
            start = max(text.rfind("\n", 0, anchor.start()) + 1, anchor.start() - _BEFORE, searched)
            end = text.find("\n", anchor.end())
            searched = min(len(text) if end < 0 else end, anchor.end() + _AFTER)
            yield from _between(name, text, start, searched)


def _between(name: str, text: str, start: int, end: int) -> Iterator[Hit]:
    """Its patterns are used and not its `analyze_string`, which gives only the prefix of some tokens."""
    plugin = _plugin(name)
    valid: Callable[[str], bool] = getattr(plugin, "is_formally_valid", bool)
    line, last = text[start:end], start
    for match in (each for pattern in plugin.denylist for each in pattern.finditer(line)):
        begin, close = (start + place for place in _credential(match))
        if begin < last:
            continue
        more = _MORE.match(text, close)
        close = more.end() if more else close
        last, value = close, text[begin:close]
        if _SHORTEST <= len(value) <= values.MAX_VALUE and valid(value) and not values.placeholder(value):
            yield Hit(begin, close, f"detect-secrets-{name.replace('_', '-')}")


def _credential(match: re.Match[str]) -> tuple[int, int]:
    """Where the token stands in what a pattern matched: in its longest group, if that can be a whole token."""
    spans = [match.span(number) for number in range(1, (match.lastindex or 0) + 1)]
    begin, end = max(spans, key=lambda span: span[1] - span[0], default=(0, 0))
    begin, end = (begin, end) if end - begin >= _SHORTEST else match.span()
    inside = match.string[begin:end]
    trimmed = inside.strip(" \t\"':=")
    start = begin + inside.index(trimmed)
    named = _NAMED.match(trimmed)
    return start + (named.end() if named else 0), start + len(trimmed)


@cache
def _plugin(name: str) -> _Plugin:
    class_name = next(each for module, each, *_ in _PLUGINS if module == name)
    plugin: _Plugin = getattr(import_module(f"detect_secrets.plugins.{name}"), class_name)()
    return plugin
