"""The Merkle tree of RFC 6962 section 2.1 as pure functions: hashes, roots, proofs, their verification.

A node is `(level, number)`: the root of the complete subtree over leaves `number << level` to
`(number + 1) << level`. A proof is a list of subtree roots; `inclusion` and `consistency` say which
ranges of leaves these cover, `nodes` which complete nodes make up a range, `fold` joins them.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from tradewarden.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()
Range = tuple[int, int]


class Node(NamedTuple):
    """One complete subtree."""

    level: int
    number: int


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf: SHA-256(0x00 || data)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node: SHA-256(0x01 || left || right)."""
    return sha256(b"\x01" + left + right).digest()


def complete(hashes: Sequence[bytes]) -> bytes:
    """Return the root over a power of two of nodes of one level."""
    while len(hashes) > 1:
        pairs = zip(hashes[::2], hashes[1::2], strict=True)
        hashes = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
    return hashes[0]


def nodes(begin: int, end: int) -> list[Node]:
    """Return the complete nodes that make up the leaves `begin` to `end`, from left to right.

    `begin` must be a multiple of the largest power of two within the range, as in every proof.
    """
    found = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        found.append(Node(level, begin >> level))
        begin += 1 << level
    return found


def fold(hashes: Sequence[bytes]) -> bytes:
    """Return the root over the complete nodes of a range, from left to right."""
    if not hashes:
        return EMPTY_ROOT
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root


def root(leaves: Sequence[bytes]) -> bytes:
    """Return the root over leaf hashes (MTH, section 2.1)."""
    return fold([complete(leaves[i << k : (i + 1) << k]) for k, i in nodes(0, len(leaves))])


def _split(size: int) -> int:
    return 1 << ((size - 1).bit_length() - 1)


def inclusion(index: int, size: int) -> list[Range]:
    """Return the ranges of the audit path for leaf `index` in a tree of `size` (section 2.1.1)."""
    begin, end = 0, size
    path: list[Range] = []
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((begin, middle))
            begin = middle
    return path[::-1]


def consistency(first: int, second: int) -> list[Range]:
    """Return the ranges of the consistency proof between two sizes (section 2.1.2)."""
    if not 0 < first < second:
        return []
    begin, end = 0, second
    path: list[Range] = []
    while first != end:
        middle = begin + _split(end - begin)
        if first <= middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((begin, middle))
            begin = middle
    if begin > 0:
        path.append((begin, end))
    return path[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root_hash: bytes) -> None:
    """Check that the leaf with this hash stands at `index`; raises `IntegrityError`.

    RFC 9162 section 2.1.3.2, steps by its numbers.
    """
    if not 0 <= index < size or len(leaf) != HASH_BYTES:  # 1
        raise IntegrityError("The inclusion proof is for an entry outside of the tree")
    position, last, running = index, size - 1, leaf  # 2, 3
    for each in proof:  # 4
        if last == 0:
            raise IntegrityError("The inclusion proof is longer than the tree is high")
        if position & 1 or position == last:
            running = node_hash(each, running)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            running = node_hash(running, each)
        position, last = position >> 1, last >> 1
    if last != 0 or running != root_hash:  # 5
        raise IntegrityError("The inclusion proof does not lead to the root")


def verify_consistency(first: int, first_root: bytes, second: int, second_root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the tree of size `second` only adds to that of size `first`; raises `IntegrityError`.

    RFC 9162 section 2.1.4.2, steps by its numbers. Two equal trees need an empty proof; about an empty
    tree nothing can be proven.
    """
    if 0 < first == second and not proof and first_root == second_root:
        return
    path = list(proof)
    if first & (first - 1) == 0:  # 1
        path.insert(0, first_root)
    if not 0 < first < second or not proof:
        raise IntegrityError("The consistency proof does not fit the two sizes")
    old, last = first - 1, second - 1  # 2
    while old & 1:  # 3
        old, last = old >> 1, last >> 1
    old_root = new_root = path[0]  # 4
    for each in path[1:]:  # 5
        if last == 0:
            raise IntegrityError("The consistency proof is longer than the tree is high")
        if old & 1 or old == last:
            old_root, new_root = node_hash(each, old_root), node_hash(each, new_root)
            while not old & 1 and old:
                old, last = old >> 1, last >> 1
        else:
            new_root = node_hash(new_root, each)
        old, last = old >> 1, last >> 1
    if last != 0 or old_root != first_root or new_root != second_root:  # 6
        raise IntegrityError("The later tree does not contain the earlier one unchanged")


class Frontier:
    """The right edge of a growing tree: enough to add leaves and tell the root, in O(log n) memory."""

    __slots__ = ("_stack", "size")

    def __init__(self, size: int = 0, stack: Iterable[bytes] = ()) -> None:
        self.size = size
        self._stack = list(stack)

    def copy(self) -> Frontier:
        """Return another one that goes on from here by itself."""
        return Frontier(self.size, self._stack)

    def append(self, leaf: bytes) -> None:
        """Add a leaf's hash at the end."""
        stack, size = self._stack, self.size
        while size & 1:
            leaf = sha256(b"\x01" + stack.pop() + leaf).digest()
            size >>= 1
        stack.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """Return the root as of now."""
        return fold(self._stack)
