"""Groups of the older format whose structures claim more than the file holds."""

from __future__ import annotations

import os
import struct
import tracemalloc
from pathlib import Path

import pytest

from h5burst._ext.h5parse import Source, SymbolTable
from h5burst.model.errors import CorruptStructureError

LENGTH = 1 << 20  # of the one name in the heap
COUNT = 1000  # of links and of children


@pytest.mark.parametrize("is_wanted", [True, False])
def test_many_links_to_one_long_name_take_memory_as_one(tmp_path: Path, is_wanted: bool) -> None:
    name = b"n" * (LENGTH - 1)
    heap, names = 0, 32
    tree = names + LENGTH
    leaf = tree + 24 + 8 + 16 * COUNT
    content = struct.pack("<5s3xQQQ", b"HEAP\0", LENGTH, 0, names) + name + b"\0"
    content += struct.pack("<4sBBHQQ", b"TREE", 0, 0, COUNT, 0, 0) + bytes(8) + struct.pack("<QQ", leaf, 0) * COUNT
    content += struct.pack("<5sxH", b"SNOD\1", COUNT) + (struct.pack("<QQI", 0, 99, 0) + bytes(20)) * COUNT
    (tmp_path / "links").write_bytes(content)
    descriptor = os.open(tmp_path / "links", os.O_RDONLY)
    try:
        source = Source(descriptor, len(content), 0, 1 << 16, 64)
        tracemalloc.start()
        if is_wanted:
            with pytest.raises(CorruptStructureError, match="names in a local heap overlap"):
                SymbolTable(source, tree, heap).find(name)
        else:
            assert SymbolTable(source, tree, heap).find(b"z") is None
        assert tracemalloc.get_traced_memory()[1] < 10 * len(content)
    finally:
        tracemalloc.stop()
        os.close(descriptor)
