"""Listings that come in pages, gathered up to what was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from tradewarden.cli.output import show_json
from tradewarden.cli.terminal import note

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tradewarden.cli.client import Client

T = TypeVar("T")
_PAGE = 200


class Listing:
    """Items as the service wrote them, and where to go on (empty: that was all)."""

    def __init__(self, field: str, items: list[msgspec.Raw], following: str) -> None:
        self._field = field
        self._items = items
        self._next = following

    @property
    def raw(self) -> list[msgspec.Raw]:
        """The items as JSON."""
        return self._items

    def rows(self, kind: type[T]) -> Iterator[T]:
        """Yield the items as values."""
        return (msgspec.json.decode(item, type=kind) for item in self._items)

    def show_json(self) -> None:
        """Print the whole listing as the service would have written it in one page."""
        show_json({self._field: self._items, "next": self._next or None})

    def note_more(self) -> None:
        """Say on stderr that there are more."""
        if self._next:
            note(f"There are more: --after '{self._next}' goes on, --limit shows more at once")


def gather(
    client: Client,
    path: str,
    field: str,
    query: Mapping[str, str | int],
    *,
    limit: int,
    after: str = "",
    cursor: str = "after",
) -> Listing:
    """Read pages until there are `limit` items or no more; `cursor` is the parameter that continues."""
    items: list[msgspec.Raw] = []
    while True:
        asked = {**query, cursor: after, "limit": min(_PAGE, limit - len(items))}
        page = msgspec.json.decode(client.get(path, asked), type=dict[str, msgspec.Raw])
        items += msgspec.json.decode(page[field], type=list[msgspec.Raw])
        after = msgspec.json.decode(page["next"], type=str | None) or ""
        if not after or len(items) >= limit:
            return Listing(field, items, after)
