"""A part of h5py's own tests with and without `h5burst.auto`; `tests/peer_suites.py` runs all of them, and others'."""

from __future__ import annotations

from pathlib import Path

import peer_suites

MODULES = ("test_slicing", "test_h5d_direct_chunk")

OF_BYTES = "TestReadDirectChunk::test_read_compressed_offsets"


def test_h5pys_tests_end_as_without_it(tmp_path: Path) -> None:
    arguments = ("--pyargs", *(f"h5py.tests.{module}" for module in MODULES))
    alone, auto = (
        peer_suites.outcomes("h5py", arguments, tmp_path, tmp_path, is_auto=is_auto) for is_auto in (False, True)
    )
    different = {test for test in alone if auto.get(test) != alone[test]}
    assert alone.keys() == auto.keys()
    assert len(alone) > 40
    assert [test.rsplit(".", 1)[-1] for test in different] == [OF_BYTES]  # so it is on
    assert OF_BYTES in peer_suites.OF_COMPRESSED_BYTES
