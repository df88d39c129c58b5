"""How many threads: what cannot be is refused before anything is done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import h5burst
from h5burst import Array, Group

SMALL = Group({"a": Array(np.arange(3))})  # for which no thread is needed
VERBS: dict[str, Callable[..., Any]] = {
    "write_tree": lambda path, **options: h5burst.write_tree(path.with_name("new.h5"), SMALL, **options),
    "save": lambda path, **options: h5burst.save(path.with_name("new.h5"), {"a": 1}, **options),
    "repack": lambda path, **options: h5burst.repack(path, path.with_name("new.h5"), **options),
    "edit": lambda path, **options: h5burst.edit(path, **options),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    h5burst.write_tree(tmp_path / "a.h5", SMALL)
    return tmp_path / "a.h5"


@pytest.mark.parametrize("verb", VERBS)
def test_no_threads_are_refused_at_once(verb: str, path: Path) -> None:
    with pytest.raises(ValueError, match="threads must be at least 1, got 0"):
        VERBS[verb](path, threads=0)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("verb", VERBS)
def test_a_variable_that_is_no_number_is_named_at_once(verb: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("H5BURST_NUM_THREADS", "many")
    with pytest.raises(ValueError, match="H5BURST_NUM_THREADS must be a whole number of at least 1, got 'many'"):
        VERBS[verb](path)
    assert list(path.parent.iterdir()) == [path]


def test_no_threads_are_refused_for_a_graft(path: Path) -> None:
    with (
        h5burst.open_file(path, "r+") as file,
        pytest.raises(ValueError, match="threads must be at least 1, got 0"),
    ):
        h5burst.graft(file, "b", Array(np.arange(3)), threads=0)
