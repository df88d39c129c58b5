"""Files that the first round of this package wrote stay readable, to the bit."""

from __future__ import annotations

from pathlib import Path

import first_round
import pytest

from scpstore import load_hdf5

DATA = Path(__file__).parents[1] / "data" / "scpstore"


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("content", [first_round.frames, first_round.sparse])
def test_a_file_of_the_first_round_loads_equal(content: object, lazy: bool, tmp_path: Path) -> None:
    expected = content()  # type: ignore[operator]
    loaded = load_hdf5(DATA / f"first_round_{content.__name__}.h5", lazy=lazy)  # type: ignore[attr-defined]
    assert loaded == expected
    loaded.save(tmp_path / "again.h5")
    assert load_hdf5(tmp_path / "again.h5") == expected
