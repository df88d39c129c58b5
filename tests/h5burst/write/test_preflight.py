"""The check before the first byte: the compiled look finds what the slow one, node by node, finds."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import OrderedDict
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import random_trees

from h5burst import Array, Group, Storage, UnsupportedValueError, numbered_arrays
from h5burst.write import preflight
from h5burst.write.preflight import validate


def plain_tree() -> Group:
    def unit(i: int) -> Group:
        trials = numbered_arrays({k: np.arange(k + i) for k in range(40)}, np.dtype(np.int64))
        assert trials is not None
        return Group(
            {"trials": Group(dict(trials)), "rate": Array(np.ones(3, "f4"), {"unit": "Hz"})},
            {"row": i, "n": np.int64(i), "margin": np.array([0.0, 0.5]), "made": True},
        )

    return Group({"units": Group({f"unit_{i}": unit(i) for i in range(5)})})


class Itself(Group):
    pass


def deep(levels: int, end: Any) -> Group:
    group = Group({"end": end})
    for _ in range(levels):
        group = Group({"g": group})
    return group


def cycle(ways: int = 1) -> Group:
    group = Group()
    for number in range(ways):
        group.children[f"again {number}"] = group
    return group


class Numbers(np.ndarray[Any, Any]):
    pass


WRONG: dict[str, Any] = {
    "masked": Array(np.ma.masked_array([1, 2], mask=[0, 1])),
    "objects": Array(np.array([1, "a"], dtype=object)),
    "dates": Array(np.array(["2020"], dtype="M8[D]")),
    "data of no kind": Array([1, 2]),  # type: ignore[arg-type]
    "axes": Array(np.zeros((1,) * 33)),
    "integer": Array(np.arange(2), {"n": 2**70}),
    "text": Array(np.arange(2), {"t": "a\0b"}),
    "surrogate": Group({}, {"t": "\ud800"}),
    "list": Group({}, {"t": [1, 2]}),
    "a name": Group({1: Group()}),  # type: ignore[dict-item]
    "a long name": Group({"é" * 40_000: Group()}),
    "an attribute's name": Group({}, {3: 1}),  # type: ignore[dict-item]
    "no node": Group({"x": 3}),  # type: ignore[dict-item]
    "depth": deep(140, Group({"x": Group()})),
    "a cycle": cycle(),
    "a cycle of many ways": cycle(40),
    "a cycle of another class": Itself({"x": cycle()}),
}
FINE: dict[str, Any] = {
    "big endian": Array(np.arange(3, dtype=">i4")),
    "accents": Array(np.array(["a", "ü"], dtype=object), {"t": "ü", "b": b"x", "none": None}),
    "nothing": Array(None),
    "empty": Group({}, {"e": h5py.Empty("f8")}),
    "compound": Array(np.zeros(2, [("a", "i4"), ("b", "f8")])),
    "scalar": Array(np.array(3.0), {"c": 1j, "u": 2**63, "f": np.float32(1), "s": np.str_("x")}),
    "another class": Itself({"x": Array(np.arange(3))}),
    "another class of dict": Group(OrderedDict({"x": Array(np.arange(3), OrderedDict(unit="s"))})),
    "no dict": Group(MappingProxyType({"x": Group()}), MappingProxyType({"n": 1})),  # type: ignore[arg-type]
    "another class of array": Array(np.arange(3).view(Numbers)),
    "the same group twice": Group(dict.fromkeys("ab", Group(dict.fromkeys("ab", Array(np.arange(3)))))),
    "storage": Array(np.arange(30), storage=Storage("gzip", chunks=(7,))),
}


def found(check: Any, tree: Group) -> str:
    try:
        check(tree)
    except (UnsupportedValueError, AttributeError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


@pytest.mark.parametrize("what", [*WRONG, *FINE])
def test_finds_what_the_slow_check_finds(what: str) -> None:
    tree = plain_tree()
    tree["units/unit_3"].children["odd"] = {**WRONG, **FINE}[what]  # type: ignore[union-attr]
    slow = found(lambda tree: preflight._validate_each(tree, (), Storage()), tree)
    assert found(validate, tree) == slow
    assert bool(slow) == (what in WRONG)
    if slow:
        assert "/units/unit_3/odd" in slow


@given(st.integers(0, 2**32 - 1), st.sampled_from(["", *WRONG, *FINE]), st.integers(0, 2**16))
def test_finds_in_random_trees_what_the_slow_check_finds(seed: int, what: str, where: int) -> None:
    tree = random_trees.tree(seed)
    if what:
        groups = [tree, *(node for _, node in tree.walk() if isinstance(node, Group))]
        groups[where % len(groups)].children["odd"] = {**WRONG, **FINE}[what]
    slow = found(lambda tree: preflight._validate_each(tree, (), Storage()), tree)
    assert found(validate, tree) == slow
    assert bool(slow) == (what in WRONG)


def test_a_tree_that_threads_change_is_checked_or_refused() -> None:
    tree, ended, changes = plain_tree(), threading.Event(), 0
    children = tree["units/unit_2"].children  # type: ignore[union-attr]

    def change() -> None:
        nonlocal changes
        while not ended.is_set():
            children[f"more {changes % 50}"] = Array(np.arange(3), {"é": changes})
            children.pop(f"more {(changes + 25) % 50}", None)
            changes += 1

    thread, interval = threading.Thread(target=change), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread.start()
    try:
        while thread.is_alive() and changes < 20_000:
            with contextlib.suppress(RuntimeError):  # as of any dict that changes under a loop
                validate(tree)
    finally:
        ended.set()
        thread.join()
        sys.setswitchinterval(interval)


def test_a_node_without_one_of_its_attributes_is_refused() -> None:
    tree = plain_tree()
    del tree["units/unit_3/rate"].data  # type: ignore[union-attr]
    with pytest.raises(AttributeError, match="without one of its attributes"):
        validate(tree)


def test_chunks_by_default_are_compared_with_every_array() -> None:
    with pytest.raises(ValueError, match="do not fit an array"):
        validate(plain_tree(), storage=Storage(chunks=(2, 2)))


@pytest.mark.parametrize(
    ("data", "storage", "message"),
    [
        (np.arange(3), Storage("lzf", 4), "lzf has no levels"),
        (np.arange(3), Storage(level=4), "without a codec it does nothing"),
        (np.arange(3), Storage("default", 4), 'the codec "default" the level is that of the file'),
        (np.array(1.0), Storage(chunks=(5,)), r"chunks \(5,\) \(at /g/a\): a single value has no axes"),
        (None, Storage(chunks=(5,)), r"chunks \(5,\) \(at /g/a\): a null dataspace has no axes"),
        (None, Storage(maxshape=(None,)), r"maxshape \(None,\) \(at /g/a\): a null dataspace has no axes"),
        (np.array(["a"], object), Storage(fillvalue=3), r"the fill value 3 is not text, .* \(at /g/a\)"),
        (
            np.array(["a"], object),
            Storage(fillvalue="a\0b"),
            r"the fill value 'a\\x00b' is text with a NUL.* \(at /g/a\)",
        ),
    ],
)
def test_storage_that_would_do_nothing_is_refused(data: Any, storage: Storage, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validate(Group({"g": Group({"a": Array(data, storage=storage)})}))


def test_chunks_by_default_are_for_arrays_with_axes() -> None:
    validate(Group({"a": Array(np.arange(9)), "b": Array(np.array(1)), "c": Array(None)}), storage=Storage(chunks=(5,)))


def test_plain_nodes_cost_no_python_calls() -> None:
    tree, calls = plain_tree(), 0

    def note(frame: Any, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(note)
    try:
        validate(tree)
    finally:
        sys.setprofile(None)
    assert 0 < calls < 20


def test_numbered_arrays_are_made_of_plain_ones_alone() -> None:
    int64 = np.dtype(np.int64)
    made = numbered_arrays({3: np.arange(2), 1: np.arange(0)}, int64)
    assert made is not None
    assert [(name, node.data.tolist(), node.attrs, node.storage) for name, node in made.items()] == [
        ("3", [0, 1], {}, None),
        ("1", [], {}, None),
    ]
    made["3"].attrs["own"] = 1
    assert made["1"].attrs == {}
    for other in (
        [np.arange(2)],
        {"0": np.arange(2)},
        {True: np.arange(2)},
        {0: [1, 2]},
        {0: np.arange(2.0)},
        {0: np.ma.masked_array([1])},
    ):
        assert numbered_arrays(other, int64) is None
