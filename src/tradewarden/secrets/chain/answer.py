"""A secret as the chain gives it. It shows its value to nobody who does not ask for `content`."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final, NoReturn, cast

if TYPE_CHECKING:
    from tradewarden.secrets.providers.provider import Content

_DIGEST_BYTES: Final = 16


class Answer:
    """One secret, read from one provider.

    `version` is the provider's own name for the version (empty where it has none). `read_at` is when that provider
    last gave it, seconds since the epoch. `stale` says that it could not be read again since `stale_since` and is the
    last known value.

    Always true here: an answer never changes, and neither does what others get of it (`content` is a copy where a
    copy is needed); its value is not in `repr`, cannot be pickled, and no JSON encoder takes it.
    """

    __slots__ = ("_content", "_nested", "name", "provider", "read_at", "stale_since", "version")

    name: str
    provider: str
    version: str
    read_at: float
    stale_since: float | None
    _content: Content
    _nested: bool

    def __init__(
        self,
        name: str,
        content: Content,
        provider: str,
        version: str,
        read_at: float,
        stale_since: float | None = None,
    ) -> None:
        keep = object.__setattr__
        keep(self, "name", name)
        keep(self, "provider", provider)
        keep(self, "version", version)
        keep(self, "read_at", read_at)
        keep(self, "stale_since", stale_since)
        keep(self, "_content", _copied(content))
        keep(self, "_nested", isinstance(content, dict) and any(isinstance(v, dict | list) for v in content.values()))

    @property
    def content(self) -> Content:
        """The value: a text, or a dict that is the caller's own."""
        content = self._content
        if isinstance(content, str):
            return content
        return cast("Content", _copied(content)) if self._nested else content.copy()

    @property
    def stale(self) -> bool:
        """Whether this is the last known value, given because the provider does not answer."""
        return self.stale_since is not None

    def since(self, stale_since: float | None) -> Answer:
        """Return the same answer, marked as not confirmed since then (None: confirmed)."""
        return Answer(self.name, self._content, self.provider, self.version, self.read_at, stale_since)

    def same(self, other: Answer) -> bool:
        """Return whether both hold the same value, written as JSON (to Python, True is 1)."""
        return self._text() == other._text()

    def digest(self, key: bytes) -> bytes:
        """Return a keyed digest of the value (BLAKE2b, RFC 7693): to know it again, and to tell nobody else."""
        return hashlib.blake2b(self._text(), key=key, digest_size=_DIGEST_BYTES).digest()

    def _text(self) -> bytes:
        return json.dumps(self._content, sort_keys=True).encode()

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"an Answer does not change: {name}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"an Answer does not change: {name}")

    def __repr__(self) -> str:
        mark = f", stale_since={self.stale_since}" if self.stale else ""
        return f"Answer(name={self.name!r}, provider={self.provider!r}, version={self.version!r}{mark})"

    def __copy__(self) -> Answer:
        return self

    def __deepcopy__(self, memo: object) -> Answer:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("an Answer holds a secret and is not pickled; hand on its name and read it there")


def _copied(value: object) -> object:
    if isinstance(value, dict):
        return {name: _copied(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_copied(each) for each in value]
    return value
