"""The revocation lists that peers are checked against: of each issuing CA that can be met, never an older one.

The service gives all of them together: of the CA that issues now, of those before it whose certificates still live, and
of the next one, so that a peer is known the moment after a rotation. A list that the service has no more is let go,
and with it whoever its CA has certified: the list of a revoked CA, above all. That of a root stays as long as the root
is trusted, because it names such CAs.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.serialization import Encoding

from tradewarden.errors import IntegrityError, StorageUnavailableError
from tradewarden.workload.lists import Lists, newer, read_lists

if TYPE_CHECKING:
    from collections.abc import Callable

    from tradewarden.workload.directory import IdentityDirectory
    from tradewarden.workload.door import Fetched
    from tradewarden.workload.pair import Pair

_LOG: Final = logging.getLogger("tradewarden.workload")


class Revocation:
    """The lists that are held, on disk and in memory."""

    def __init__(self, directory: IdentityDirectory) -> None:
        self._directory = directory
        self._lists: Lists = {}
        self._tag = ""
        self.pem = b""

    def load(self) -> None:
        """Read what an earlier process fetched; what cannot be read is left out, and so nobody is let in by it."""
        try:
            self._hold(read_lists(self._directory.crls()))
        except ValueError:
            self._hold({})

    def refresh(self, pair: Pair, fetch: Callable[[Pair, str], Fetched | None]) -> bool:
        """Fetch the lists, unless they are still those of the held tag; return whether anything is new."""
        answer = fetch(pair, self._tag if self._lists else "")
        roots = {each.subject for each in pair.roots}
        kept = {whose: each for whose, each in self._lists.items() if each.issuer in roots}
        if answer is None:
            return self._replace(kept, "")
        if not answer.fresh:
            return False
        try:
            fetched = read_lists(answer.content)
        except ValueError as error:
            raise IntegrityError("The service's revocation lists cannot be read") from error
        if not fetched:
            raise IntegrityError("What the service answers holds no revocation list")
        newest = {whose: newer(each, self._lists.get(whose)) for whose, each in fetched.items()}
        return self._replace(kept | newest, answer.tag)

    def _replace(self, lists: Lists, tag: str) -> bool:
        self._tag = tag
        if lists == self._lists:
            return False
        self._hold(lists)
        try:
            self._directory.put_crls(self.pem)
        except StorageUnavailableError as error:
            _LOG.warning("revocation lists are used and could not be kept: %s", error.detail)
        return True

    def _hold(self, lists: Lists) -> None:
        self._lists = lists
        self.pem = b"".join(each.public_bytes(Encoding.PEM) for each in lists.values())
