"""Any tree, of every kind of node and value at every class of size: written, read, edited, written anew.

    H5BURST_RANDOM_TREES=3000 python -m pytest --timeout 0 tests/h5burst/foreign/test_random_trees.py

is the long run; a sample runs by default. The truth is h5py: what it reads from a file that it wrote itself.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings

from h5burst import Array, Group, compact, edit, read_tree, verify, write_tree
from reference.hdf5_reading import differences, read_plainly
from reference.hdf5_tree import content, write_plainly
from support import random_trees
from support.random_trees import SEEDS

EXAMPLES = int(os.environ.get("H5BURST_RANDOM_TREES", "15"))
ANY = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="H5BURST_RANDOM_TREES" not in os.environ,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],  # a seed cannot be made simpler
)


def assert_read_alike(path: Path) -> None:
    """Our reader, eagerly and lazily, gives what h5py reads."""
    expected = read_plainly(path)
    for lazy in (False, True):
        found = differences(sorted_by_name(read_tree(path, lazy=lazy)), sorted_by_name(expected))
        assert found == [], (lazy, found[:3])
    assert verify(path) == []


def sorted_by_name(node: Any) -> Any:
    """Order is another test's: of links and attributes, edits keep none."""
    attrs = dict(sorted(node.attrs.items()))
    if isinstance(node, Array):
        return Array(node.data, attrs)
    return Group({name: sorted_by_name(child) for name, child in sorted(node.children.items())}, attrs)


def edited(path: Path, tree: Group, rng: np.random.Generator) -> None:
    """Change the file in one transaction, and the tree alike."""
    with edit(path) as tx:
        for _ in range(int(rng.integers(1, 8))):
            places = [((), tree), *((place, node) for place, node in tree.walk())]
            place, node = places[rng.integers(len(places))]
            kind = rng.random()
            if kind < 0.3 and place:
                tx.remove(place)
                holder(tree, place).children.pop(place[-1])
            elif kind < 0.7 and isinstance(node, Group):
                new = random_trees.group(rng, 1, 10) if rng.random() < 0.4 else random_trees.array(rng)
                name = random_trees.name(rng, int(rng.integers(1000, 2000)))
                tx.put((*place, name), new)
                node.children[name] = new
            else:
                changed = {**random_trees.attributes(rng), **dict.fromkeys(list(node.attrs)[:2])}
                tx.set_attributes(place, changed)
                node.attrs = {
                    name: value
                    for name, value in {**node.attrs, **changed}.items()
                    if value is not None or (name in node.attrs and name not in changed)
                }


def holder(tree: Group, place: tuple[str, ...]) -> Group:
    found = tree[place[:-1]]
    assert isinstance(found, Group)
    return found


@ANY
@given(seed=SEEDS)
def test_any_tree_is_written_read_edited_and_written_anew(seed: int) -> None:
    tree, rng = random_trees.tree(seed), np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as directory:
        ours, theirs = Path(directory, "ours.h5"), Path(directory, "theirs.h5")
        write_tree(ours, tree)
        write_plainly(theirs, tree, libver=[("v110", "v110"), ("v108", "v110"), "latest"][seed % 3])
        assert content(ours) == content(theirs)
        for path in (ours, theirs):
            assert_read_alike(path)

        edited(ours, tree, rng)
        plain = Path(directory, "plain.h5")
        write_plainly(plain, tree)
        expected = content(plain)
        assert content(ours) == expected
        assert_read_alike(ours)

        compact(ours)
        assert content(ours) == expected
        write_tree(ours, read_tree(ours, lazy=True), overwrite=True)
        assert content(ours) == expected
        assert_read_alike(ours)
