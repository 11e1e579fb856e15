"""How long the chain keeps what, and how much of it."""

from __future__ import annotations

import msgspec

from tradewarden.errors import ConfigurationError

_POSITIVE = ("ttl_seconds", "retry_seconds", "window_seconds")
_NOT_NEGATIVE = ("stale_seconds", "negative_seconds")
_AT_LEAST_ONE = ("max_entries", "breaker_failures", "workers")


class ChainPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds. Raises `ConfigurationError` that names every value that makes no sense.

    A value is given from the cache for `ttl_seconds`; from `refresh_ahead` of that time on, the next read (or the
    poll of a watched name) has it read again in the background. When the provider does not answer, the last known
    value is given until it is `stale_seconds` old, counted from the last time it was read; meanwhile the provider is
    asked again every `retry_seconds`. A name that no provider has is remembered for `negative_seconds`.

    After `breaker_failures` calls in a row that nobody answered, a provider is left alone for `retry_seconds`; then
    one caller tries it. `poll_seconds` (None: the time of refreshing ahead) is how often a watched name is read.
    `window_seconds` is how long cached reads are counted before they are recorded. `max_entries` bounds what is kept,
    values and missing names each; `workers` how many provider calls run at once.
    """

    ttl_seconds: float = 300.0
    refresh_ahead: float = 0.8
    stale_seconds: float = 3600.0
    negative_seconds: float = 5.0
    retry_seconds: float = 15.0
    poll_seconds: float | None = None
    window_seconds: float = 60.0
    breaker_failures: int = 3
    max_entries: int = 10_000
    workers: int = 4

    def __post_init__(self) -> None:
        mistakes = [f"{name} must be more than 0" for name in _POSITIVE if not getattr(self, name) > 0]
        mistakes += [f"{name} must be 0 or more" for name in _NOT_NEGATIVE if not getattr(self, name) >= 0]
        mistakes += [f"{name} must be 1 or more" for name in _AT_LEAST_ONE if getattr(self, name) < 1]
        if not 0 < self.refresh_ahead <= 1:
            mistakes.append("refresh_ahead must be more than 0 and at most 1")
        if self.poll_seconds is not None and not self.poll_seconds > 0:
            mistakes.append("poll_seconds must be more than 0")
        if mistakes:
            raise ConfigurationError(mistakes)

    @property
    def refresh_seconds(self) -> float:
        """The age from which a value is read again in the background."""
        return self.ttl_seconds * self.refresh_ahead

    @property
    def watch_seconds(self) -> float:
        """How often a watched name is read."""
        return self.refresh_seconds if self.poll_seconds is None else self.poll_seconds

    @property
    def kept_seconds(self) -> float:
        """The age at which a value leaves memory."""
        return max(self.ttl_seconds, self.stale_seconds)
