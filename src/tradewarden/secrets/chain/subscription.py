"""Who learns of a changed secret: callbacks by name, and the digest of the value that they know.

Always true here: a callback is called for a change of value and for nothing else; callbacks are called one after
another on one thread of the chain, in the order of the changes; an error in one is logged (by its type: a message may
quote the value) and stops no other.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from tradewarden.secrets.chain.answer import Answer

    Changed = Callable[[Answer], None]
    Gone = Callable[[], None]
    Post = Callable[[Callable[[], None]], None]

_log = logging.getLogger("tradewarden.secrets")
_GONE: Final = b"gone"


class Subscription:
    """One subscriber of one name, until `close` (or the end of the `with` block)."""

    def __init__(self, name: str, changed: Changed, gone: Gone | None, leave: Callable[[Subscription], None]) -> None:
        self.name = name
        self._changed = changed
        self._gone = gone
        self._leave = leave
        self.closed = False
        self.on_end: Callable[[], None] | None = None
        """Called when the chain is closed; for those who wait."""

    def tell(self, answer: Answer | None) -> None:
        """Call the subscriber, unless it has left; None: the secret is gone."""
        if self.closed:
            return
        try:
            if answer is not None:
                self._changed(answer)
            elif self._gone is not None:
                self._gone()
        except Exception as error:  # noqa: BLE001 - theirs, and the next one wants to know too
            _log.error("A subscriber of secret %r failed: %s", self.name, type(error).__name__)

    def close(self) -> None:
        """Leave; no call begins after this."""
        self.closed = True
        self._leave(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Watched:
    def __init__(self, known: bytes | None, due: float) -> None:
        self.subscribers: list[Subscription] = []
        self.known = known
        self.due = due


class Subscriptions:
    """All subscribers of a chain, and when each name is to be read again. Called under the chain's lock."""

    def __init__(self, post: Post, key: bytes) -> None:
        self._post = post
        self._key = key
        self._watched: dict[str, _Watched] = {}

    def add(self, subscription: Subscription, answer: Answer | None, due: float) -> None:
        """Take a subscriber in; `answer` is the value that it is taken to know, None: the next that is read."""
        watched = self._watched.get(subscription.name)
        if watched is None:
            known = None if answer is None else answer.digest(self._key)
            watched = self._watched[subscription.name] = _Watched(known, due)
        watched.subscribers.append(subscription)

    def remove(self, subscription: Subscription) -> None:
        """Let a subscriber go; twice changes nothing."""
        watched = self._watched.get(subscription.name)
        if watched is None or subscription not in watched.subscribers:
            return
        watched.subscribers.remove(subscription)
        if not watched.subscribers:
            del self._watched[subscription.name]

    def clear(self, *, tell: bool = True) -> None:
        """Let all of them go; with `tell`, those who wait learn of it."""
        for watched in self._watched.values():
            for subscription in watched.subscribers:
                subscription.closed = True
                if tell and subscription.on_end is not None:
                    subscription.on_end()
        self._watched.clear()

    def has(self, name: str) -> bool:
        """Return whether somebody wants to know of `name`."""
        return name in self._watched

    def publish(self, name: str, answer: Answer | None) -> None:
        """Tell the subscribers what was read, if it is news to them; None: no provider has it."""
        watched = self._watched.get(name)
        if watched is None:
            return
        digest = _GONE if answer is None else answer.digest(self._key)
        known, watched.known = watched.known, digest
        if known is None or known == digest:
            return
        for subscription in watched.subscribers:
            self._post(lambda each=subscription: each.tell(answer))  # type: ignore[misc]

    def schedule(self, name: str, due: float) -> None:
        """Have a watched name read at `due` (monotonic)."""
        if name in self._watched:
            self._watched[name].due = due

    def due(self, now: float) -> list[str]:
        """Return the names that are to be read now."""
        return [name for name, watched in self._watched.items() if watched.due <= now]

    def next_due(self) -> float | None:
        """Return when the next name is to be read; None: nobody watches."""
        return min((watched.due for watched in self._watched.values()), default=None)
