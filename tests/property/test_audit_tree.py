"""The tiled tree against a naive one, as a state machine; proofs against every change of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tradewarden.audit.tiles import Tiles, edge, extend, places_of, range_hash
from tradewarden.audit.tree import (
    Frontier,
    consistency,
    inclusion,
    leaf_hash,
    node_hash,
    verify_consistency,
    verify_inclusion,
)
from tradewarden.errors import IntegrityError


def naive_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1, word by word, over leaf hashes."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(naive_root(leaves[:split]), naive_root(leaves[split:]))


def naive_path(index: int, leaves: list[bytes]) -> list[bytes]:
    """PATH of RFC 6962 section 2.1.1, word by word."""
    if len(leaves) == 1:
        return []
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if index < split:
        return [*naive_path(index, leaves[:split]), naive_root(leaves[split:])]
    return [*naive_path(index - split, leaves[split:]), naive_root(leaves[:split])]


class TreeMachine(RuleBasedStateMachine):
    """Grows a tree by batches of any size and asks for proofs between all sizes it had."""

    def __init__(self) -> None:
        super().__init__()
        self.leaves: list[bytes] = []
        self.tiles: Tiles = {}
        self.frontier = Frontier()

    @rule(count=st.one_of(st.integers(1, 5), st.sampled_from([250, 256, 257, 700])))
    def append(self, count: int) -> None:
        """Add leaves; only the last tile of each level is looked at."""
        size = len(self.leaves)
        added = [leaf_hash(str(size + each).encode()) for each in range(count)]
        last = {each: self.tiles[each] for each in edge(size)}
        self.tiles |= extend(size, last, added)
        self.leaves += added
        for leaf in added:
            self.frontier.append(leaf)

    @precondition(lambda self: self.leaves)
    @rule(data=st.data())
    def include(self, data: st.DataObject) -> None:
        """Any leaf is proven in any size that the tree had."""
        size = data.draw(st.integers(1, len(self.leaves)))
        index = data.draw(st.integers(0, size - 1))
        proof = self._hashes(inclusion(index, size))
        assert proof == naive_path(index, self.leaves[:size])
        verify_inclusion(self.leaves[index], index, size, proof, naive_root(self.leaves[:size]))

    @precondition(lambda self: self.leaves)
    @rule(data=st.data())
    def agree(self, data: st.DataObject) -> None:
        """Any two sizes that the tree had are proven to agree."""
        second = data.draw(st.integers(1, len(self.leaves)))
        first = data.draw(st.integers(1, second))
        proof = self._hashes(consistency(first, second))
        roots = naive_root(self.leaves[:first]), naive_root(self.leaves[:second])
        verify_consistency(first, roots[0], second, roots[1], proof)

    def _hashes(self, ranges: list[tuple[int, int]]) -> list[bytes]:
        needed = {each: self.tiles[each] for each in places_of(ranges)}
        return [range_hash(needed, each) for each in ranges]

    @invariant()
    def root_is_right(self) -> None:
        """The root is the naive one, by both ways."""
        if self.leaves:
            assert self.frontier.root() == naive_root(self.leaves)
            assert range_hash(self.tiles, (0, len(self.leaves))) == self.frontier.root()


TreeMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=10, deadline=None)
TestTree = TreeMachine.TestCase


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_changed_proof_is_refused(data: st.DataObject) -> None:
    """No bit of a proof, no leaf, no index and no size can be another one."""
    size = data.draw(st.integers(2, 40))
    leaves = [leaf_hash(bytes([each])) for each in range(size)]
    index = data.draw(st.integers(0, size - 1))
    tiles = extend(0, {}, leaves)
    proof = [range_hash(tiles, each) for each in inclusion(index, size)]
    root = naive_root(leaves)
    at, bit = data.draw(st.integers(0, len(proof) - 1)), data.draw(st.integers(0, 255))
    bent = list(proof)
    bent[at] = (int.from_bytes(proof[at]) ^ (1 << bit)).to_bytes(32)
    other = data.draw(st.integers(0, size - 1).filter(lambda each: each != index))
    for leaf, place, path in (
        (leaves[index], index, bent),
        (leaves[other], index, proof),
        (leaves[index], other, proof),
        (leaves[index], index, proof[:-1]),
        (leaves[index], index, [*proof, root]),
    ):
        with pytest.raises(IntegrityError):
            verify_inclusion(leaf, place, size, path, root)
