"""Walking Vault's folders gives what sorting all names would give, whatever the names are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tradewarden.secrets.providers.vault.engine import Engine

SEGMENTS = st.text("aB0-./_~", min_size=1, max_size=3).filter(lambda text: "/" not in text and text.strip("."))
NAMES = st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join)


class Folders(Engine):
    """An engine whose folders are in memory; it counts what it reads."""

    def __init__(self, names: set[str]) -> None:
        self.names_held = names
        self.read_folders: list[str] = []

    def _keys(self, folder: str) -> list[str]:
        self.read_folders.append(folder)
        below = [name.removeprefix(folder) for name in self.names_held if name.startswith(folder)]
        return sorted({rest.partition("/")[0] + ("/" if "/" in rest else "") for rest in below})


@given(names=st.sets(NAMES, max_size=30), prefix=st.one_of(st.just(""), NAMES), after=st.one_of(st.just(""), NAMES))
def test_a_walk_is_a_sorted_and_filtered_list(names: set[str], prefix: str, after: str) -> None:
    """Order, prefix and continuation hold over all folders, and no folder is read twice."""
    engine = Folders(names)
    assert list(engine.names(prefix, after)) == sorted(
        name for name in names if name.startswith(prefix) and name > after
    )
    assert len(engine.read_folders) == len(set(engine.read_folders))
