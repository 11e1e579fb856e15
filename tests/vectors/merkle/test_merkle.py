"""The tree against the published RFC 6962 vectors, every failure class of them."""

from __future__ import annotations

import json
from base64 import b64decode
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from tradewarden.audit.tiles import extend, places_of, range_hash
from tradewarden.audit.tree import (
    Frontier,
    consistency,
    inclusion,
    leaf_hash,
    root,
    verify_consistency,
    verify_inclusion,
)
from tradewarden.errors import IntegrityError

_HERE = Path(__file__).parent
_ROOTS = json.loads((_HERE / "roots.json").read_text())
LEAVES = [leaf_hash(bytes.fromhex(each)) for each in _ROOTS["leaves"]]
ROOTS = [bytes.fromhex(each) for each in _ROOTS["roots"]]


def _vectors(kind: str) -> list[Any]:
    vectors = json.loads((_HERE / f"{kind}.json").read_text())
    return [pytest.param(each, id=each["name"]) for each in vectors]


def _proof(vector: dict[str, Any]) -> list[bytes]:
    return [b64decode(each) for each in vector["proof"] or ()]


def _expected(vector: dict[str, Any]) -> AbstractContextManager[object]:
    return pytest.raises(IntegrityError) if vector["wantErr"] else nullcontext()


@pytest.mark.parametrize("vector", _vectors("inclusion"))
def test_inclusion(vector: dict[str, Any]) -> None:
    """An inclusion proof holds exactly when the vector says so."""
    leaf, root_hash = b64decode(vector["leafHash"]), b64decode(vector["root"])
    with _expected(vector):
        verify_inclusion(leaf, vector["leafIdx"], vector["treeSize"], _proof(vector), root_hash)


@pytest.mark.parametrize("vector", _vectors("consistency"))
def test_consistency(vector: dict[str, Any]) -> None:
    """A consistency proof holds exactly when the vector says so."""
    roots = b64decode(vector["root1"]), b64decode(vector["root2"])
    with _expected(vector):
        verify_consistency(vector["size1"], roots[0], vector["size2"], roots[1], _proof(vector))


@pytest.mark.parametrize("size", range(9))
def test_roots(size: int) -> None:
    """The root over the first leaves is the published one, by each of three ways."""
    tiles = extend(0, {}, LEAVES[:size])
    frontier = Frontier()
    for leaf in LEAVES[:size]:
        frontier.append(leaf)
    assert root(LEAVES[:size]) == frontier.root() == range_hash(tiles, (0, size)) == ROOTS[size]


@pytest.mark.parametrize("vector", [each for each in _vectors("inclusion") if "happy" in each.id])
def test_our_inclusion_proofs(vector: dict[str, Any]) -> None:
    """The proof that we make for a published leaf is the published one."""
    tiles = extend(0, {}, LEAVES[: vector["treeSize"]])
    ranges = inclusion(vector["leafIdx"], vector["treeSize"])
    assert set(places_of(ranges)) <= set(tiles)
    assert [range_hash(tiles, each) for each in ranges] == _proof(vector)


@pytest.mark.parametrize("vector", [each for each in _vectors("consistency") if "happy" in each.id])
def test_our_consistency_proofs(vector: dict[str, Any]) -> None:
    """The consistency proof that we make is the published one."""
    tiles = extend(0, {}, LEAVES[: vector["size2"]])
    made = [range_hash(tiles, each) for each in consistency(vector["size1"], vector["size2"])]
    assert made == _proof(vector)
